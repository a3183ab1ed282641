"""Reading entries back from segments, with whatever befell them."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass

from gateway.adapters.journal.entries import Entry, Unreadable, decode
from gateway.adapters.journal.folders import Folder, Position
from gateway.adapters.journal.framing import Damage, Frame, scan

_WINDOW_BYTES = 256 * 1024
_SLICE = 16
"""Entries decoded before other tasks get a turn: a third of a millisecond.

In a thread of its own decoding would disturb requests more. Each of their writes to the journal lets go
of the interpreter's lock, and would then wait for that thread, up to five milliseconds each time.
"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """Some entries in their order, each with the position behind it, and where to read on.

    ``damaged`` counts the places that were passed over because they hold no sound frame; a torn tail
    is none of them.
    """

    entries: tuple[tuple[Entry | Unreadable, Position], ...]
    next: Position
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class _Window:
    """Bytes of a segment; ``left`` more or less are there up to the end of reading."""

    data: bytes
    left: int


async def read(folder: Folder, start: Position, until: Position) -> Reading:
    """Some of the entries from ``start``, where one begins, to ``until``, where one ends.

    Gets on by at least one entry, or one damaged place, or one segment. Raises OSError.
    """
    number = start[0]
    if number < until[0] and not folder.segment(number).exists():
        following = min(candidate for candidate in (*folder.segments(), until[0]) if candidate > number)
        return Reading((), (following, 0))
    size = _WINDOW_BYTES
    while (window := await asyncio.to_thread(_load, folder, start, until, size)).data:
        reading = await _decode(folder, start, window.data, is_last=len(window.data) == window.left)
        if reading.next != start:
            return reading
        size *= 2
    return Reading((), until if number == until[0] else (number + 1, 0))


def _load(folder: Folder, start: Position, until: Position, size: int) -> _Window:
    number, offset = start
    with folder.segment(number).open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        left = max(0, (min(end, until[1]) if number == until[0] else end) - offset)
        return _Window(os.pread(file.fileno(), min(size, left), offset), left)


async def _decode(folder: Folder, start: Position, data: bytes, *, is_last: bool) -> Reading:
    number, offset = start
    entries: list[tuple[Entry | Unreadable, Position]] = []
    damaged = 0
    position = start
    for found in scan(data, is_last=is_last):
        position = (number, offset + found.end)
        if isinstance(found, Frame):
            entries.append((_entry(found), position))
            if len(entries) % _SLICE == 0:
                await asyncio.sleep(0)
        else:
            damaged += not found.is_tail
            _report(found, folder.segment(number).name, offset)
    return Reading(tuple(entries), position, damaged)


def _entry(found: Frame) -> Entry | Unreadable:
    try:
        return decode(found.payload)
    except Unreadable as fault:
        return fault


def _report(damage: Damage, name: str, offset: int) -> None:
    _log.log(
        logging.INFO if damage.is_tail else logging.ERROR,
        "%s: %d bytes at %d are no entry and were passed over%s",
        name,
        damage.end - damage.start,
        offset + damage.start,
        " (the end of a write that was cut short)" if damage.is_tail else "",
    )
