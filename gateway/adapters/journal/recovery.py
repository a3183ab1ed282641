"""Recovery: what processes that are gone left in the journal reaches the database.

A settled request is moved as it is. One that was opened and never settled becomes a record of its
own, interrupted, with an unknown cost: it may have been answered and billed, and nobody can know. It is
charged what it held at last.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.adapters.journal.entries import Unreadable
from gateway.adapters.journal.folders import Folder, Progress, adopt
from gateway.adapters.journal.mover import Batch, Mover, Source
from gateway.adapters.journal.reading import read
from gateway.domain.record import Opening, RaisedCeiling, RequestRecord, interrupted

_log = logging.getLogger(__name__)


class Orphan:
    """What a process that is gone left. Satisfies :class:`~gateway.adapters.journal.mover.Source`."""

    def __init__(self, folder: Folder, *, batch_size: int) -> None:
        self.damaged = 0
        self.fault: str | None = None
        """Why not everything could be read; what follows is left where it is."""
        self.interrupted: list[Opening] = []
        """Opened and never settled; complete once everything was taken."""
        self._folder = folder
        self._batch_size = batch_size
        self._moved_to = folder.progress().position
        # Read from the segment's beginning: the requests that were open there stand in it.
        self._at = (self._moved_to[0], 0)
        self._until = folder.end()
        self._open: dict[str, Opening] = {}

    async def take(self) -> Batch | None:
        """The next records: the settled ones, then those of the interrupted requests."""
        try:
            settled = await self._settled()
        except OSError as fault:
            self.fault = f"it cannot be read ({os.strerror(fault.errno or 0)})"
            return None
        if settled:
            return Batch(tuple(settled), self._at)
        if self.fault is not None:
            return None
        openings = [self._open.pop(request) for request in list(self._open)[: self._batch_size]]
        self.interrupted += openings
        return Batch(tuple(interrupted(opening) for opening in openings), None) if openings else None

    async def _settled(self) -> list[RequestRecord]:
        records: list[RequestRecord] = []
        while self._at < self._until and len(records) < self._batch_size and self.fault is None:
            reading = await read(self._folder, self._at, self._until)
            self.damaged += reading.damaged
            for entry, end in reading.entries:
                if isinstance(entry, Unreadable):
                    self.fault = str(entry)
                    return records
                self._at = end
                if isinstance(entry, Opening):
                    self._open[entry.id] = entry
                    continue
                if isinstance(entry, RaisedCeiling):
                    self._raise(entry)
                    continue
                self._open.pop(entry.id, None)
                if end > self._moved_to:
                    records.append(entry)
            self._at = reading.next
        return records

    def _raise(self, raised: RaisedCeiling) -> None:
        opening = self._open.get(raised.id)
        if opening is not None:  # else its opening is damaged, or it was settled
            self._open[raised.id] = replace(opening, ceiling=raised.ceiling)

    def moved(self, batch: Batch) -> None:
        """Note the checkpoint. Interrupted requests have none: they are found again, and kept once."""
        if batch.end is not None:
            self._folder.note(Progress(batch.end))

    def is_catching_up(self) -> bool:
        """Never: a start waits for it, so that balances count what it left."""
        return False

    def finish(self) -> None:
        """Note that nothing is left."""
        self._folder.note(Progress(self._until, is_finished=True))


class Recovery:
    """Adopts the folders of processes that are gone, and deletes them some time after they were moved."""

    def __init__(self, root: Path, mover: Callable[[Source], Mover], *, batch_size: int, keep_moved_s: float) -> None:
        self.folders = self.damaged = self.interrupted = 0
        self.finished: list[str] = []
        """The names of the folders that were moved wholly."""
        self._root = root
        self._mover = mover
        self._batch_size = batch_size
        self._keep_moved_s = keep_moved_s
        self._adopted: list[Folder] = []
        """Being moved, the first of them now."""
        self._moved: list[Folder] = []
        self._set_aside: set[Path] = set()

    async def sweep(self) -> tuple[Opening, ...]:
        """Move what lies there from processes that are gone; the interrupted requests among it.

        Raises OSError when the journal's folder cannot be searched.
        """
        found: list[Opening] = []
        await _undisturbed(self._adopt)
        while self._adopted:
            found += await self._move(self._adopted[0])
            self._adopted.pop(0)
        await _undisturbed(self._delete_expired)
        return tuple(found)

    def _adopt(self) -> None:
        self._adopted = adopt(self._root, ignoring=self._set_aside)

    async def _move(self, folder: Folder) -> list[Opening]:
        if folder.progress().is_finished:
            self._finish(folder)
            return []
        orphan = Orphan(folder, batch_size=self._batch_size)
        folder.claim()
        await self._mover(orphan).run()
        self.folders += 1
        self.damaged += orphan.damaged
        self.interrupted += len(orphan.interrupted)
        if orphan.fault is not None:
            _log.error(
                "the journal of a process that is gone, %s, was moved up to what this release cannot read and is "
                "left there: %s; start the release that wrote it once more",
                folder.path.name,
                orphan.fault,
            )
            self._set_aside.add(folder.path)
            folder.close()
            return []
        orphan.finish()
        self._finish(folder)
        if orphan.interrupted:
            _log.warning(
                "%d requests were interrupted when their process ended; their cost is unknown", len(orphan.interrupted)
            )
        return orphan.interrupted

    def _finish(self, folder: Folder) -> None:
        self._moved.append(folder)
        self.finished.append(folder.path.name)

    def _delete_expired(self) -> None:
        expired = time.time() - self._keep_moved_s
        kept = []
        for folder in self._moved:
            if folder.noted_at() < expired:
                folder.remove()
            else:
                kept.append(folder)
        self._moved = kept

    def close(self) -> None:
        """Let go of the folders; the next process deletes them."""
        for folder in (*self._adopted, *self._moved):
            folder.close()


async def _undisturbed(work: Callable[[], None]) -> None:
    """Do it in a thread, and to its end even when cancelled meanwhile: it holds files."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
