"""Putting what was written on the disk: a thread that syncs once for all that was written meanwhile.

A write is safe from a crash of the process as soon as it is made, since the kernel holds it. Against a
power cut it is safe once it is synced, which takes milliseconds; so requests do not wait for it.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

_log = logging.getLogger(__name__)
_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


class Syncer:
    """Syncs a file some time after it was written to, and closes files that are written no more."""

    def __init__(self, folder: Path, *, every_s: float) -> None:
        self.is_due = False
        """Something was written since the last sync began. Looked at for each write, hence no method."""
        self.fault: str | None = None
        """Why the last sync failed; None once one succeeded."""
        self._every_s = every_s
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._current: int | None = None
        self._finished: list[int] = []
        self._is_folder_changed = False
        self._lock = threading.Lock()
        """Between the writer's thread, which changes files, and ours, which alone closes them."""
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ponder-journal-sync", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Sync within the interval; called when :attr:`is_due` is not set."""
        self.is_due = True
        self._wake.set()

    def take_over(self, descriptor: int) -> None:
        """The file written to from now on, in the folder it was made in; the one before is closed once synced."""
        with self._lock:
            if self._current is not None:
                self._finished.append(self._current)
            self._current = descriptor
            self._is_folder_changed = True
        self.wake()

    def close(self) -> None:
        """Sync all that was written, close the files and end the thread. Blocks for as long as the disk takes."""
        self._stop.set()
        self._wake.set()
        self._thread.join()
        if self._current is not None:
            self._finished.append(self._current)
            self._current = None
        self._sync()
        os.close(self._folder)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._stop.wait(self._every_s)
            self._wake.clear()
            self._sync()

    def _sync(self) -> None:
        self.is_due = False  # before syncing: what is written during it waits for the next
        with self._lock:
            finished, self._finished = self._finished, []
            current, is_folder_changed = self._current, self._is_folder_changed
            self._is_folder_changed = False
        fault = None
        for descriptor in (*finished, current, self._folder if is_folder_changed else None):
            if descriptor is None:
                continue
            try:
                os.fsync(descriptor) if descriptor == self._folder else _sync_data(descriptor)
            except OSError as failure:
                fault = os.strerror(failure.errno or 0)
        for descriptor in finished:
            os.close(descriptor)
        if fault is not None and self.fault is None:
            _log.error("the journal could not be synced to its disk (%s): a power cut may take what was written", fault)
        self.fault = fault
