"""Sticky arms of one process: so many asks at most, the one least recently used makes room."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gateway.domain.sticky import StickyArm
from gateway.ports import Clock

MOST_ASKS: Final = 100_000
"""Some 25 MB when full."""


class MemorySticky:
    """Satisfies :class:`gateway.ports.StickyArms`."""

    def __init__(self, clock: Clock, *, most: int = MOST_ASKS) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[bytes, tuple[float, StickyArm]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, ask: bytes) -> StickyArm | None:
        kept = self._kept.get(ask)
        if kept is None:
            return None
        ends_at, arm = kept
        if self._clock.monotonic() >= ends_at:
            del self._kept[ask]
            return None
        self._kept.move_to_end(ask)
        return arm

    def put(self, ask: bytes, arm: StickyArm, *, expires_s: float) -> None:
        self._kept[ask] = (self._clock.monotonic() + expires_s, arm)
        self._kept.move_to_end(ask)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    @property
    def failures(self) -> int:
        return 0

    async def close(self) -> None:
        self._kept.clear()
