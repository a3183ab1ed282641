"""The configuration as a thing that changes: says when to read it again, and reads nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeAlias

_LOOK_EVERY_S = 0.5

_Stamp: TypeAlias = tuple[int, int, int] | None
"""Which file it is, when it was written and how long it is; None where there is none."""


def _nothing() -> object:
    return None


class ConfigFile:
    """Watches one file by looking at it: that works on every disk, mounted volumes and network disks included.

    ``beside`` tells what else belongs to the configuration, by a value that changes when that does.
    """

    def __init__(
        self, path: Path, *, beside: Callable[[], object] = _nothing, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        self._path = path
        self._beside = beside
        self._look_every_s = look_every_s
        self._asked = asyncio.Event()
        self._known = self._look()

    def ask(self) -> None:
        """Report a change now, whether or not there is one."""
        self._asked.set()

    async def changes(self) -> AsyncIterator[None]:
        """One item for each change, and for each time that somebody asked.

        A change is reported when two looks agree: an editor that empties the file before it writes is
        not caught in between, when a part of the file can be valid and mean less.
        """
        seen = self._known
        while True:
            try:
                async with asyncio.timeout(self._look_every_s):
                    await self._asked.wait()
            except TimeoutError:
                pass
            now = self._look()
            is_written = now == seen
            seen = now
            if self._asked.is_set() or (is_written and now != self._known):
                self._asked.clear()
                self._known = now
                yield

    def _look(self) -> tuple[_Stamp, object]:
        try:
            status = self._path.stat()
        except OSError:
            return None, self._beside()
        return (status.st_ino, status.st_mtime_ns, status.st_size), self._beside()
