"""Folders: whose a process's part of the journal is, and how far it has been moved.

Each process writes into a folder of its own and holds the lock on the ``owner`` file in it. The
kernel lets go of a lock when its process ends, however it ends; a folder whose lock is free is an
orphan, and whoever takes the lock adopts it. ``checkpoint`` says how far its records have reached the
database. Locks are the kernel's (flock), so the journal must lie on a disk of this machine.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from zlib import crc32

Position: TypeAlias = tuple[int, int]
"""A segment's number and an offset in it; positions compare as they were written."""

BEGINNING: Position = (0, 0)

_OWNER, _CHECKPOINT, _SUFFIX = "owner", "checkpoint", ".seg"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a folder has been moved: before ``position`` every record is in the database.

    ``is_finished`` says that there is nothing left, interrupted requests included.
    """

    position: Position
    is_finished: bool = False


class Folder:
    """A process's part of the journal, ours for as long as this object is open."""

    def __init__(self, path: Path, owner: int) -> None:
        self.path = path
        self._owner = owner
        self._checkpoint = os.open(path / _CHECKPOINT, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, progress: Progress) -> None:
        """Write the checkpoint; in one small write, so that a crash leaves the old one or the new one.

        A disk that does not take it is no harm: what was moved since is moved again.
        """
        with suppress(OSError):
            os.pwrite(self._checkpoint, _pack(progress), 0)

    def progress(self) -> Progress:
        """The checkpoint; the beginning where it cannot be relied upon.

        The database commits without waiting for its disk, so what it held before a power cut it may
        have lost. A folder that an earlier start of the machine left is therefore moved again from
        its beginning: that changes nothing where the records are there.
        """
        if os.pread(self._owner, 64, 0) != _boot_id():
            return Progress(BEGINNING)
        return _unpack(os.pread(self._checkpoint, _PROGRESS.size, 0))

    def noted_at(self) -> float:
        """When the checkpoint was written last, in Unix seconds."""
        return os.fstat(self._checkpoint).st_mtime

    def claim(self) -> None:
        """Rely on the checkpoint as it stands now, and on what is noted from now on."""
        os.ftruncate(self._owner, 0)
        os.pwrite(self._owner, _boot_id(), 0)

    def segments(self) -> list[int]:
        """The numbers of its segments, the oldest first."""
        return sorted(
            int(path.stem) for path in self.path.iterdir() if path.suffix == _SUFFIX and path.stem.isdecimal()
        )

    def segment(self, number: int) -> Path:
        """Where the segment with this number lies."""
        return self.path / f"{number:08d}{_SUFFIX}"

    def end(self) -> Position:
        """Behind the last byte written; only for a folder that nobody writes to any more."""
        numbers = self.segments()
        return (numbers[-1], self.segment(numbers[-1]).stat().st_size) if numbers else BEGINNING

    def retire(self, *, before: Position, unchanged_since: float) -> None:
        """Delete the segments that lie wholly before a position and were last written before a time."""
        for number in self.segments():
            path = self.segment(number)
            if number >= before[0] or path.stat().st_mtime >= unchanged_since:
                return
            path.unlink()

    def remove(self) -> None:
        """Delete the folder with all that is in it, and let go of it."""
        with _entrance(self.path.parent):
            shutil.rmtree(self.path)
        self.close()

    def close(self) -> None:
        """Let go of it; another process may then adopt it."""
        os.close(self._checkpoint)
        os.close(self._owner)


def create(root: Path) -> Folder:
    """A new folder of our own under ``root``, which is made as well."""
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
    with _entrance(root):
        path = root / str(uuid.uuid4())
        path.mkdir(mode=0o700)
        owner = os.open(path / _OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = Folder(path, owner)
        folder.claim()
    for changed in (root.parent, root):
        _sync(changed)
    return folder


def adopt(root: Path, *, ignoring: Collection[Path]) -> list[Folder]:
    """The folders under ``root`` whose processes are gone: ours from now on."""
    with _entrance(root):
        return [
            Folder(path, owner)
            for path in sorted(root.iterdir())
            if path not in ignoring and _is_ours(path) and (owner := _lock(path)) is not None
        ]


def _is_ours(path: Path) -> bool:
    try:
        return path.is_dir() and str(uuid.UUID(path.name)) == path.name
    except ValueError:
        return False


def _lock(path: Path) -> int | None:
    """The owner file's descriptor, locked by us; None while its process lives."""
    owner = os.open(path / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(owner)
        return None
    return owner


@contextmanager
def _entrance(root: Path) -> Iterator[None]:
    """Alone among all processes: a folder is never seen between its making and its locking."""
    lock = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _sync(folder: Path) -> None:
    """Put a folder's own entries on the disk: a synced file in it could not be found without them."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _boot_id() -> bytes:
    """Changes with every start of the machine; empty where the system does not tell."""
    try:
        return _BOOT_ID.read_bytes().strip()
    except OSError:
        return b""


_PROGRESS = struct.Struct("<QQ?I")


def _pack(progress: Progress) -> bytes:
    values = (*progress.position, progress.is_finished)
    return _PROGRESS.pack(*values, crc32(repr(values).encode()))


def _unpack(data: bytes) -> Progress:
    if len(data) == _PROGRESS.size:
        *values, check = _PROGRESS.unpack(data)
        if crc32(repr(tuple(values)).encode()) == check:
            number, offset, is_finished = values
            return Progress((number, offset), is_finished)
    return Progress(BEGINNING)
