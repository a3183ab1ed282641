"""Segments: the files that a process's entries are appended to, one after the other."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress

from gateway.adapters.journal.folders import Folder, Position
from gateway.adapters.journal.syncing import Syncer


class SegmentWriter:
    """Appends frames to the newest segment, and begins another when that one is large or old.

    A new segment begins with what ``carried`` returns: the frames of the requests that are open. So
    every segment can be understood without those before it, and these can be deleted.
    """

    def __init__(self, folder: Folder, syncer: Syncer, *, limit_bytes: int, carried: Callable[[], bytes]) -> None:
        self.number = 0
        self.offset = 0
        """Where the next frame goes. Read for each frame, hence no methods."""
        self._folder = folder
        self._syncer = syncer
        self._limit_bytes = limit_bytes
        self._carried = carried
        self._descriptor = -1
        self._begun = 0.0
        self.rotate()

    @property
    def head(self) -> Position:
        """Behind the last frame."""
        return (self.number, self.offset)

    def append(self, frame: bytes) -> None:
        """Write the frame whole; raises OSError, and nothing of it then counts."""
        if self.offset >= self._limit_bytes:
            # Without space or descriptors for a new file the old one grows on.
            with suppress(OSError):
                self.rotate()
        if os.write(self._descriptor, frame) != len(frame):
            self._finish(frame)
        self.offset += len(frame)
        if not self._syncer.is_due:
            self._syncer.wake()

    def rotate(self) -> None:
        """Begin the next segment; raises OSError, and the one before then stays in use."""
        number = self.number + 1
        path = self._folder.segment(number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        left = self._carried()
        carried_bytes = len(left)
        with suppress(OSError):
            left = left[os.write(descriptor, left) :]
        if left:
            os.close(descriptor)
            path.unlink()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._descriptor, self.number, self.offset = descriptor, number, carried_bytes
        self._begun = time.monotonic()
        self._syncer.take_over(descriptor)

    def rotate_after(self, age_s: float) -> None:
        """Begin the next segment if this one holds something and is older than ``age_s``."""
        if self.offset and time.monotonic() - self._begun > age_s:
            with suppress(OSError):
                self.rotate()

    def close(self) -> None:
        """Write no more; the syncer closes the file."""
        self._descriptor = -1

    def _finish(self, frame: bytes) -> None:
        """Write what a first write left over; on failure take the beginning back.

        A short write means a full disk in most cases, and the next one then says why.
        """
        written = os.fstat(self._descriptor).st_size - self.offset
        try:
            while written < len(frame):
                written += os.write(self._descriptor, frame[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.offset)
            # Where that failed too, the frame's beginning stays and is passed over when read.
            self.offset = os.fstat(self._descriptor).st_size
            raise
