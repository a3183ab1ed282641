"""Parts of pages: made once for all who ask within some seconds."""

from __future__ import annotations

import asyncio

import pytest
from markupsafe import Markup

from gateway.errors import Unavailable
from gateway.http.dashboard.overview import or_notice
from gateway.http.dashboard.pages import Pages, Parts
from tests.clock import SetClock
from tests.store.records import NOON


class Making:
    """Makes parts, and counts."""

    def __init__(self) -> None:
        self.made = 0
        self.go = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self) -> Markup:
        self.made += 1
        await self.go.wait()
        if self.fault is not None:
            raise self.fault
        return Markup("part {}").format(self.made)


async def test_many_readers_cost_what_one_does() -> None:
    """Who asks while a part is made, or shortly after, gets the same one; later a new one is made."""
    clock, making = SetClock(NOON), Making()
    parts = Parts(clock)
    asked = [asyncio.create_task(parts.get("a", for_s=3, make=making)) for _ in range(10)]
    await asyncio.sleep(0)
    asked[0].cancel()
    making.go.set()
    assert {await each for each in asked[1:]} == {"part 1"}
    assert await parts.get("a", for_s=3, make=making) == "part 1"
    assert await parts.get("b", for_s=3, make=making) == "part 2"
    clock.at += 3
    assert await parts.get("a", for_s=3, make=making) == "part 3"


async def test_a_change_is_seen_at_once() -> None:
    """After a change nothing that was made before it is shown."""
    parts, making = Parts(SetClock(NOON)), Making()
    making.go.set()
    assert await parts.get("a", for_s=3, make=making) == "part 1"
    parts.forget()
    assert await parts.get("a", for_s=3, make=making) == "part 2"


async def test_a_failure_is_not_kept() -> None:
    """A part that could not be made is made anew for the next reader."""
    parts, making = Parts(SetClock(NOON)), Making()
    making.go.set()
    making.fault = Unavailable("the database is away")
    with pytest.raises(Unavailable):
        await parts.get("a", for_s=3, make=making)
    making.fault = None
    assert await parts.get("a", for_s=3, make=making) == "part 2"


async def test_a_part_that_fails_leaves_the_others() -> None:
    """Where a part cannot be made, its place says why."""

    async def part() -> Markup:
        raise Unavailable("Redis is <away>")

    shown = await or_notice(Pages(SetClock(NOON)), part())
    assert "Redis is &lt;away&gt;" in shown
    assert 'role="alert"' in shown


async def test_parts_are_few() -> None:
    """However many are asked for, only some are kept."""
    parts, making = Parts(SetClock(NOON)), Making()
    making.go.set()
    for number in range(200):
        await parts.get(number, for_s=3, make=making)
    assert len(parts._parts) <= 64
