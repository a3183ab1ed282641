"""Ids that sort by time in any database: UUIDv7 (RFC 9562, section 5.7) for requests, shorter ones for what people
name.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator


def new_request_id(now: float) -> str:
    """A UUIDv7 for the time ``now`` (unix seconds), 74 bits of it random."""
    if not _reserve:
        _reserve.extend(_random_parts(_BATCH))
    return _dated(now, _reserve.pop())


def named_request_id(now: float, name: str) -> str:
    """A UUIDv7 for the time ``now`` that is the same whenever it is asked for of this name."""
    return _dated(now, _tail(hashlib.sha256(name.encode()).hexdigest()))


def id_time(request_id: str) -> float | None:
    """The time that a request's id was made for, to the millisecond; None for what is no UUIDv7."""
    try:
        identity = uuid.UUID(request_id)
    except ValueError:
        return None
    return (identity.int >> 80) / 1000 if identity.version == _VERSION else None


def new_id(prefix: str, now: float) -> str:
    """An id for something rarer and more handled than requests: ``key_019ab0a1b2c3d4e5f607``, 40 bits random."""
    return f"{prefix}_{round(now * 1000):012x}{os.urandom(5).hex()}"


_BATCH = 256
_VERSION = 7
_reserve: list[str] = []
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def _dated(now: float, tail: str) -> str:
    time_part = f"{round(now * 1000) & 0xFFFF_FFFF_FFFF:012x}"
    return f"{time_part[:8]}-{time_part[8:]}-{tail}"


def _tail(digits: str) -> str:
    """What stands behind the time, of 19 hexadecimal digits or more."""
    # The version's digit is 7; the variant's two bits are 10, which leaves 8, 9, a or b.
    return f"7{digits[:3]}-{_VARIANT[digits[3]]}{digits[4:7]}-{digits[7:19]}"


def _random_parts(count: int) -> Iterator[str]:
    """What stands behind the time in so many UUIDv7: drawn at once, since asking the kernel costs more than an id."""
    digits = os.urandom(10 * count).hex()
    for start in range(0, len(digits), 20):
        yield _tail(digits[start : start + 20])
