"""Processes of this machine, as tests see them from outside of all walls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

_PATIENCE_S = 60.0


def _stats() -> Iterator[tuple[int, list[str]]]:
    """Each living process, and its fields from the state on, as proc(5) numbers them from 3."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                yield int(folder.name), fields


def leaders(parent: int) -> set[int]:
    """The children of a process that lead a session of their own."""
    return {process for process, fields in _stats() if int(fields[1]) == parent and int(fields[3]) == process}


def members(session: int) -> list[int]:
    """The processes of a session."""
    return [process for process, fields in _stats() if int(fields[3]) == session]


async def until(holds: Callable[[], object]) -> None:
    """Wait for something to become true; fails where it does not within a minute."""
    async with asyncio.timeout(_PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - no event tells of another process's children
            await asyncio.sleep(0.01)
