"""Request ids: UUIDv7 (RFC 9562, section 5.7), so that they sort by time in any database."""

from __future__ import annotations

import os


def new_request_id(now: float) -> str:
    """A UUIDv7 for the time ``now`` (unix seconds), 74 bits of it random."""
    value = (round(now * 1000) & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF000 << 64) | 0x7000 << 64
    value = value & ~(0xC000 << 48) | 0x8000 << 48
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
