"""Reading entries back from segments, with whatever befell them."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

from gateway.adapters.journal.entries import Entry, Unreadable, decode
from gateway.adapters.journal.folders import Folder, Position
from gateway.adapters.journal.framing import Frame, scan

_WINDOW_BYTES = 128 * 1024
"""Some hundred records: they are decoded within a millisecond or two, then other threads get a turn."""
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


def read(folder: Folder, start: Position, until: Position) -> Reading:
    """Some of the entries from ``start``, where one begins, to ``until``, where one ends. Blocks on the disk.

    Gets on by at least one entry, or one damaged place, or one segment.
    """
    number, offset = start
    if number < until[0] and not folder.segment(number).exists():
        following = min(candidate for candidate in (*folder.segments(), until[0]) if candidate > number)
        return Reading((), (following, 0))
    with folder.segment(number).open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        left = (min(end, until[1]) if number == until[0] else end) - offset
        size = min(_WINDOW_BYTES, left)
        while size > 0:
            data = os.pread(file.fileno(), size, offset)
            reading = _read_window(folder, start, data, is_last=size == left)
            if reading.next != start:
                return reading
            size = min(2 * size, left)
    return Reading((), until if number == until[0] else (number + 1, 0))


def _read_window(folder: Folder, start: Position, data: bytes, *, is_last: bool) -> Reading:
    number, offset = start
    entries: list[tuple[Entry | Unreadable, Position]] = []
    damaged = 0
    position = start
    for found in scan(data, is_last=is_last):
        after = (number, offset + found.end)
        if isinstance(found, Frame):
            try:
                entries.append((decode(found.payload), after))
            except Unreadable as fault:
                entries.append((fault, after))
        else:
            damaged += not found.is_tail
            _log.log(
                logging.INFO if found.is_tail else logging.ERROR,
                "%s: %d bytes at %d are no entry and were passed over%s",
                folder.segment(number).name,
                found.end - found.start,
                offset + found.start,
                " (the end of a write that was cut short)" if found.is_tail else "",
            )
        position = after
    return Reading(tuple(entries), position, damaged)
