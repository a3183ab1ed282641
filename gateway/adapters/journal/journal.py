"""The journal of one process: what requests are open and how they ended, safe before their answers leave."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gateway.adapters.journal.backlog import Backlog
from gateway.adapters.journal.entries import EncodedPlan, encode_opening, encode_plan, encode_raised, encode_record
from gateway.adapters.journal.folders import create
from gateway.adapters.journal.framing import frame
from gateway.adapters.journal.mover import Mover, MoverState, Source
from gateway.adapters.journal.recovery import Recovery
from gateway.adapters.journal.segments import SegmentWriter
from gateway.adapters.journal.syncing import Syncer
from gateway.domain.plan import Plan
from gateway.domain.record import Opening, RaisedCeiling, RequestRecord
from gateway.errors import ConfigurationError, Unavailable
from gateway.ports import RecordStore
from gateway.telemetry import Meter

_RETRY_AFTER_S = 10.0
_UNENCODED_BYTES = 4096
"""What a record without text takes in memory, where its encoded size is not known."""
_log = logging.getLogger(__name__)


class OnFullDisk(StrEnum):
    """What becomes of new requests while the journal cannot be written."""

    REFUSE = "refuse"
    SERVE_UNRECORDED = "serve_unrecorded"
    """Serve them; their records go to the database from memory, and are lost with the process."""


@dataclass(frozen=True, slots=True)
class JournalTerms:
    """How the journal is kept.

    Moved segments stay for ``keep_moved_s``, since databases commit before their own disks have
    everything: after a power cut they are moved once more. The kernel writes within half a minute.
    A record in memory takes 2 to 4 KB; beyond the bounds it is read back from the disk.
    """

    on_full_disk: OnFullDisk
    segment_bytes: int = 32 * 1024 * 1024
    segment_age_s: float = 600.0
    keep_moved_s: float = 120.0
    sync_every_s: float = 0.05
    sweep_every_s: float = 10.0
    memory_records: int = 5_000
    memory_bytes: int = 16 * 1024 * 1024
    batch_size: int = 500
    batch_delay_s: float = 0.25
    first_retry_s: float = 0.1
    longest_retry_s: float = 5.0


@dataclass(frozen=True, slots=True)
class JournalState:
    """How the journal stands: for readiness, metrics and shutdown.

    ``waiting`` records are not in the database yet, ``unwritten`` ones among them not on the disk
    either. ``refused`` records hold what the database cannot; ``lost`` ones could be kept nowhere.
    ``unopened`` requests were served, and ``turned_away`` ones were not, while the disk took nothing.
    """

    waiting: int
    unwritten: int
    moved: int
    refused: int
    lost: int
    unopened: int
    turned_away: int
    adopted: int
    interrupted: int
    damaged: int
    database_fault: str | None
    write_fault: str | None
    sync_fault: str | None

    def degraded(self) -> tuple[str, ...]:
        """What is not as it should be, in words for an operator."""
        states = []
        if self.write_fault is not None:
            states.append(
                f"the journal cannot be written ({self.write_fault}): {self.turned_away} requests were turned away, "
                f"{self.unopened} were served unrecorded so far"
            )
        if self.sync_fault is not None:
            states.append(f"the journal cannot be synced to its disk: {self.sync_fault}")
        if self.database_fault is not None:
            states.append(f"{self.waiting} records wait in the journal: {self.database_fault}")
        if self.lost:
            states.append(f"{self.lost} records were lost while the journal could not be written")
        if self.damaged:
            states.append(f"{self.damaged} entries of the journal were damaged and passed over; see the log")
        return tuple(states)


class _Opened:
    """A request that is open: its frames so far, and its plan as they have it."""

    __slots__ = ("encoded_plan", "frames", "plan")

    def __init__(self, frames: bytes, plan: Plan | None, encoded_plan: EncodedPlan | None) -> None:
        self.frames = frames
        self.plan = plan
        self.encoded_plan = encoded_plan


class LocalJournal:
    """Satisfies :class:`gateway.ports.Journal` with files under ``root``, moved to ``store`` in the background."""

    def __init__(self, root: Path, store: RecordStore, terms: JournalTerms) -> None:
        self._terms = terms
        self._store = store
        self._open: dict[str, _Opened] = {}
        try:
            self._folder = create(root)
            self._syncer = Syncer(self._folder.path, every_s=terms.sync_every_s)
            self._segments = SegmentWriter(
                self._folder,
                self._syncer,
                limit_bytes=terms.segment_bytes,
                carried=lambda: b"".join([each.frames for each in self._open.values()]),
            )
        except OSError as fault:
            raise ConfigurationError(
                f"the journal's folder {root} cannot be written ({os.strerror(fault.errno or 0)}); "
                "make it writable, or free space on its disk"
            ) from fault
        self._backlog = Backlog(
            self._folder,
            self._segments,
            most_records=terms.memory_records,
            most_bytes=terms.memory_bytes,
            batch_size=terms.batch_size,
            batch_delay_s=terms.batch_delay_s,
        )
        self._mover_state = MoverState()
        self._movers: list[Mover] = []
        self._recovery = Recovery(root, self._mover, batch_size=terms.batch_size, keep_moved_s=terms.keep_moved_s)
        self._recovered: asyncio.Future[tuple[Opening, ...]] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._write_fault: str | None = None
        self._unopened = self._turned_away = self._lost = 0

    def open(self, opening: Opening) -> None:
        """Note that a request is about to call a model: before its first call, again if its plan changes.

        Raises :class:`Unavailable` when that cannot be written and requests are then to be refused.
        """
        encoded_plan = encode_plan(opening.plan)
        entry = frame(encode_opening(opening, encoded_plan))
        try:
            is_written = self._append(entry)
        except Unavailable:
            self._turned_away += 1
            raise
        if is_written:
            self._open[opening.id] = _Opened(entry, opening.plan, encoded_plan)
        else:
            self._unopened += 1

    def raise_ceiling(self, raised: RaisedCeiling) -> None:
        """Note that an open request holds more; before the call that it holds more for.

        Raises :class:`Unavailable` as :meth:`open` does. Of a request that was served unopened nothing is kept.
        """
        opened = self._open.get(raised.id)
        if opened is not None:
            entry = frame(encode_raised(raised))
            self._append(entry)
            # What a full disk did not take is carried into the next segment.
            opened.frames += entry

    def settle(self, record: RequestRecord) -> None:
        """Keep the record of a request that ended, opened before or not; before the answer's last byte leaves.

        Never fails: what the disk does not take waits for the database in memory.
        """
        opened = self._open.pop(record.id, None)
        # A request that fell back to another arm ends with another plan than it began with.
        encoded_plan = opened.encoded_plan if opened is not None and opened.plan is record.plan else None
        try:
            entry = frame(encode_record(record, encoded_plan))
            self._segments.append(entry)
        except OSError as fault:
            self._note_unwritable(fault)
            self._keep_unwritten(record)
            return
        except ValueError as fault:
            _log.error("request %s cannot be journaled: %s", record.id, fault)
            self._keep_unwritten(record)
            return
        self._backlog.add(record, len(entry))
        if self._write_fault is not None:
            self._note_writable()

    @property
    def name(self) -> str:
        """Which part of the journal is this process's."""
        return self._folder.path.name

    def take_finished(self) -> tuple[str, ...]:
        """The names of ended processes' parts that have been moved wholly since this was asked last."""
        finished = tuple(self._recovery.finished)
        self._recovery.finished.clear()
        return finished

    @property
    def waiting(self) -> int:
        """How many records are not in the database yet."""
        return self._backlog.waiting

    @property
    def state(self) -> JournalState:
        """How the journal stands now."""
        return JournalState(
            waiting=self._backlog.waiting,
            unwritten=self._backlog.unwritten,
            moved=self._mover_state.moved,
            refused=self._mover_state.refused,
            lost=self._lost,
            unopened=self._unopened,
            turned_away=self._turned_away,
            adopted=self._recovery.folders,
            interrupted=self._recovery.interrupted,
            damaged=self._recovery.damaged + self._backlog.damaged,
            database_fault=self._mover_state.fault,
            write_fault=self._write_fault,
            sync_fault=self._syncer.fault,
        )

    def start(self) -> None:
        """Begin to move records and to adopt what others left; call once, in the event loop."""
        self._recovered = asyncio.get_running_loop().create_future()
        mover = self._mover(self._backlog)
        self._tasks = [
            asyncio.create_task(mover.run(), name="journal-mover"),
            asyncio.create_task(self._recover(self._recovered), name="journal-recovery"),
            asyncio.create_task(self._keep_house(), name="journal-house"),
        ]

    def watch(self, meter: Meter) -> None:
        """Expose what became of records, and of requests while they could not be written down."""
        meter.watch("ponder_records_queued", "Records waiting for the database.", lambda: self.waiting)
        for name, what, read in (
            ("written", "Records in the database.", lambda: self.state.moved),
            ("dropped", "Records lost.", lambda: self.state.lost),
            ("refused", "Records that the database cannot hold.", lambda: self.state.refused),
            ("damaged", "Damaged places passed over in the journal.", lambda: self.state.damaged),
            ("interrupted", "Requests that an ended process left open.", lambda: self.state.interrupted),
        ):
            meter.watch(f"ponder_records_{name}", what, read, is_counter=True)
        unrecorded = "Requests served while the journal could not be written."
        meter.watch("ponder_requests_unrecorded", unrecorded, lambda: self.state.unopened, is_counter=True)
        turned_away = "Requests refused because the journal could not be written."
        meter.watch("ponder_requests_turned_away", turned_away, lambda: self.state.turned_away, is_counter=True)

    async def recovered(self) -> tuple[Opening, ...]:
        """Wait until what was left before this start is in the database; the requests that were interrupted.

        Lasts while the database is away.
        """
        if self._recovered is None:
            return ()
        return await asyncio.shield(self._recovered)

    async def flush(self) -> None:
        """Wait until what is settled now is in the database; lasts while that is away."""
        await self._backlog.flush()

    async def close(self, *, within_s: float) -> None:
        """Move what waits, within the given time, and stop; what is left stays on the disk for the next process."""
        self._backlog.close()
        for mover in self._movers:
            mover.hasten()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=within_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._backlog.unwritten:
            self._lost += self._backlog.unwritten
            _log.error("%d requests were not recorded: neither disk nor database took them", self._backlog.unwritten)
        self._backlog.end_flushes()
        if self._recovered is not None:
            self._recovered.cancel()
        self._segments.close()
        await asyncio.to_thread(self._syncer.close)
        self._backlog.note()
        self._recovery.close()
        self._folder.close()
        await self._store.close()

    def _mover(self, source: Source) -> Mover:
        mover = Mover(
            source,
            self._store,
            self._mover_state,
            first_retry_s=self._terms.first_retry_s,
            longest_retry_s=self._terms.longest_retry_s,
        )
        self._movers = [*self._movers[:1], mover]  # our own, and that of the folder being recovered
        return mover

    async def _recover(self, first: asyncio.Future[tuple[Opening, ...]]) -> None:
        while True:
            try:
                found = await self._recovery.sweep()
            except OSError as fault:
                _log.error("the journal's folder cannot be searched: %s", os.strerror(fault.errno or 0))
                found = ()
            if not first.done():
                first.set_result(found)
            await asyncio.sleep(self._terms.sweep_every_s)

    async def _keep_house(self) -> None:
        """End old segments and delete those that were moved some time ago."""
        while True:
            await asyncio.sleep(self._terms.sweep_every_s)
            self._segments.rotate_after(self._terms.segment_age_s)
            try:
                self._backlog.note()
                await asyncio.to_thread(
                    self._folder.retire,
                    before=self._backlog.moved_to,
                    unchanged_since=time.time() - self._terms.keep_moved_s,
                )
            except OSError as fault:
                _log.error("moved segments cannot be deleted: %s", os.strerror(fault.errno or 0))

    def _append(self, entry: bytes) -> bool:
        """Write an entry without which no model is called; False where one is called all the same.

        Raises :class:`Unavailable` when it cannot be written and requests are then to be refused.
        """
        try:
            self._segments.append(entry)
        except OSError as fault:
            self._note_unwritable(fault)
            if self._terms.on_full_disk is OnFullDisk.REFUSE:
                raise Unavailable(
                    f"requests cannot be recorded ({self._write_fault}) and are refused until they can",
                    retry_after_s=_RETRY_AFTER_S,
                ) from fault
            return False
        if self._write_fault is not None:
            self._note_writable()
        return True

    def _keep_unwritten(self, record: RequestRecord) -> None:
        text = record.text
        size = _UNENCODED_BYTES + (0 if text is None else len(text.request) + len(text.answer))
        if not self._backlog.add_unwritten(record, size):
            self._lost += 1

    def _note_unwritable(self, fault: OSError) -> None:
        reason = os.strerror(fault.errno) if fault.errno else str(fault)
        if self._write_fault is None:
            _log.error("the journal cannot be written: %s", reason)
        self._write_fault = reason

    def _note_writable(self) -> None:
        _log.info("the journal can be written again")
        self._write_fault = None
