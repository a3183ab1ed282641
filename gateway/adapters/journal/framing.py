"""Frames: how entries lie in a segment, and how they are found again in a damaged one. Pure.

A frame is a mark of two bytes, the payload's length and its CRC-32 (both 32 bits, little-endian), and
the payload. The CRC begins with the length as its seed, so a damaged length is noticed as well. The
mark's first byte never occurs in UTF-8 text, of which every payload is made; so no payload, whoever
chose its content, can hold the beginning of a frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias
from zlib import crc32

MARK = b"\xff\x01"
"""The second byte is the version of the framing."""
LARGEST_PAYLOAD = 512 * 1024 * 1024
"""Beyond any request with its stored text; a length above it is damage."""

_HEADER = struct.Struct("<2sII")
HEADER_BYTES = _HEADER.size


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame at ``start`` to ``end`` of what was scanned."""

    payload: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes at ``start`` to ``end`` that are no frame.

    ``is_tail`` says that no frame follows: most likely a write that a crash cut short.
    """

    start: int
    end: int
    is_tail: bool


class _Fault(Enum):
    INCOMPLETE = "the data ends before the frame does"
    BROKEN = "no frame begins here, or its check fails"


Found: TypeAlias = Frame | Damage


def frame(payload: bytes) -> bytes:
    """The frame that holds ``payload``."""
    length = len(payload)
    return _HEADER.pack(MARK, length, crc32(payload, length)) + payload


def scan(data: bytes, *, is_last: bool) -> Iterator[Found]:
    """The frames in ``data``, which begins at a frame, and the damage between them.

    Unless ``is_last``, scanning stops at the first frame that is incomplete or broken: only with all
    of a segment's remaining bytes can a broken length be told from a frame that goes on.
    """
    at = 0
    while at < len(data):
        found = _frame_at(data, at)
        if isinstance(found, _Fault):
            if not is_last:
                return
            following = _next_frame(data, at + 1)
            yield Damage(at, len(data) if following is None else following.start, is_tail=following is None)
            if following is None:
                return
            found = following
        yield found
        at = found.end


def _frame_at(data: bytes, start: int) -> Frame | _Fault:
    begin = start + HEADER_BYTES
    if begin > len(data):
        return _Fault.INCOMPLETE
    mark, length, check = _HEADER.unpack_from(data, start)
    if mark != MARK or not 0 < length <= LARGEST_PAYLOAD:
        return _Fault.BROKEN
    end = begin + length
    if end > len(data):
        return _Fault.INCOMPLETE
    payload = data[begin:end]
    return Frame(payload, start, end) if crc32(payload, length) == check else _Fault.BROKEN


def _next_frame(data: bytes, start: int) -> Frame | None:
    """The first whole frame at or after ``start``."""
    at = data.find(MARK, start)
    while at >= 0:
        found = _frame_at(data, at)
        if isinstance(found, Frame):
            return found
        at = data.find(MARK, at + 1)
    return None
