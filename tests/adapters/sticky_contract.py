"""What every keeper of sticky arms does; each of them adopts these tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from gateway.domain.sticky import StickyArm
from gateway.ports import StickyArms

THINK = StickyArm("default", "think", "sonnet", bytes(16))
FAST = StickyArm("default", "fast", "haiku", bytes(range(16)))
Settled: TypeAlias = Callable[[], Awaitable[object]]
ONE, OTHER = bytes(16), bytes(range(16))


class StickyContract:
    """Needs the fixtures ``sticky``, and ``settled``: a wait until what was put is kept."""

    async def test_what_was_put_is_found(self, sticky: StickyArms, settled: Settled) -> None:
        """A conversation has the arm that it was given last, and no other conversation has it."""
        assert await sticky.get(ONE) is None
        sticky.put(ONE, FAST, expires_s=60)
        sticky.put(ONE, THINK, expires_s=60)
        await settled()
        assert await sticky.get(ONE) == THINK
        assert await sticky.get(OTHER) is None

    async def test_names_of_any_kind_come_back(self, sticky: StickyArms, settled: Settled) -> None:
        """Names of models with slashes, colons and other letters are kept as they are."""
        arm = StickyArm("héros", "arm: 1", "gemini/models:größe 8b", b"\n" * 16)
        sticky.put(ONE, arm, expires_s=60)
        await settled()
        assert await sticky.get(ONE) == arm
