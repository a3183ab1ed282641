"""Sticky arms in memory: the contract, expiry, and the bound."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.sticky_memory import MemorySticky
from tests.adapters.sticky_contract import FAST, ONE, OTHER, THINK, Settled, StickyContract
from tests.flow.turning_clock import TurningClock


@pytest.fixture
def clock() -> TurningClock:
    """A clock that the test turns."""
    return TurningClock()


@pytest.fixture
def sticky(clock: TurningClock) -> MemorySticky:
    """One that keeps three conversations."""
    return MemorySticky(clock, most=3)


@pytest.fixture
def settled() -> Settled:
    """What is put is kept at once."""
    return lambda: asyncio.sleep(0)


class TestMemorySticky(StickyContract):
    """Adopts the contract."""


async def test_an_arm_is_kept_for_its_time(sticky: MemorySticky, clock: TurningClock) -> None:
    """An entry ends when its time is over, and takes no room afterwards."""
    sticky.put(ONE, THINK, expires_s=60)
    clock.turn(59.9)
    assert await sticky.get(ONE) == THINK
    clock.turn(0.1)
    assert await sticky.get(ONE) is None
    assert len(sticky) == 0


async def test_the_conversation_least_recently_used_makes_room(sticky: MemorySticky) -> None:
    """Looking and putting are both uses; beyond the bound the stalest one goes."""
    names = [bytes([number]) for number in range(5)]
    for name in names[:3]:
        sticky.put(name, FAST, expires_s=60)
    await sticky.get(names[0])
    sticky.put(names[1], THINK, expires_s=60)
    sticky.put(names[3], FAST, expires_s=60)
    assert [await sticky.get(name) for name in names[:4]] == [FAST, THINK, None, FAST]
    sticky.put(OTHER, FAST, expires_s=60)
    assert await sticky.get(names[0]) is None
    assert len(sticky) == 3
