"""The mover: takes settled records from the journal to the database in batches, each exactly once.

A batch is tried until the database has it; only then the checkpoint passes it. A crash in between
moves the batch again, which changes nothing: the database keeps a record once, by its request's id.

After an outage much waits at once. To move it as fast as it goes would take the processor from the requests
that come meanwhile, so after a batch the mover rests twice as long as that took, while less and less waits.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from gateway.adapters.journal.folders import Position
from gateway.domain.record import RequestRecord
from gateway.errors import PonderError
from gateway.ports import RecordStore

_REST = 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to be written together; before ``end`` everything is moved then.

    ``end`` is None for records that the journal's disk did not take.
    """

    records: tuple[RequestRecord, ...]
    end: Position | None


class Source(Protocol):
    """Where records come from."""

    async def take(self) -> Batch | None:
        """The oldest records not moved yet; waits for some, and returns None when none will come."""
        ...

    def moved(self, batch: Batch) -> None:
        """Note that the database has them."""
        ...

    def is_catching_up(self) -> bool:
        """Whether much waits, and less and less, so that moving it may take its time."""
        ...


@dataclass(slots=True)
class MoverState:
    """How all the moving of one process stands; ``fault`` is why the last attempt failed, None when it did not."""

    moved: int = 0
    refused: int = 0
    fault: str | None = None


class Mover:
    """Moves everything from one source."""

    def __init__(
        self, source: Source, store: RecordStore, state: MoverState, *, first_retry_s: float, longest_retry_s: float
    ) -> None:
        self._source = source
        self._store = store
        self._state = state
        self._first_retry_s = first_retry_s
        self._longest_retry_s = longest_retry_s
        self._closing = asyncio.Event()

    async def run(self) -> None:
        """Move until the source is at its end."""
        batch: Batch | None = None
        retry_s = self._first_retry_s
        now = asyncio.get_running_loop().time
        while True:
            try:
                if batch is None and (batch := await self._source.take()) is None:
                    return
                began = now()
                refused = await self._store.keep(batch.records)
            except PonderError as fault:
                self._note_failure(fault.message, retry_s)
            except Exception as fault:  # noqa: BLE001 - the outermost loop: a fault of ours must not end recording
                _log.debug("unexpected fault while moving records", exc_info=True)
                self._note_failure(f"unexpected {type(fault).__name__}", retry_s)
            else:
                self._source.moved(batch)
                self._note_success(len(batch.records), refused)
                batch, retry_s = None, self._first_retry_s
                if self._source.is_catching_up():
                    await self._rest(_REST * (now() - began))
                continue
            await self._pause(retry_s)
            retry_s = min(2 * retry_s, self._longest_retry_s)

    def hasten(self) -> None:
        """Make the pauses between attempts short: the time left is bounded."""
        self._closing.set()

    def _note_failure(self, reason: str, retry_s: float) -> None:
        if self._state.fault is None:
            _log.warning("records wait in the journal: %s; next attempt in %g s", reason, retry_s)
        self._state.fault = reason

    def _note_success(self, records: int, refused: int) -> None:
        self._state.moved += records - refused
        self._state.refused += refused
        if self._state.fault is not None:
            self._state.fault = None
            _log.info("records reach the database again")

    async def _pause(self, seconds: float) -> None:
        if self._closing.is_set():
            await asyncio.sleep(self._first_retry_s)
        else:
            await self._rest(seconds)

    async def _rest(self, seconds: float) -> None:
        """Let so much time pass, or less when the end comes."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
