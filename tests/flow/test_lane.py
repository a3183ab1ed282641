"""The lane to an upstream: who gets a place, who waits, and who is refused."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.key import Key, Priority
from gateway.errors import RateLimited, Unavailable
from gateway.flow.lane import Bounds, Lane, Lanes, Place, Refusal
from gateway.telemetry import Meter
from tests.clock import SetClock
from tests.randomness import examples

LEFT_S = 30.0


def _key(name: str, priority: Priority = Priority.INTERACTIVE) -> Key:
    return Key(name, name, priority=priority)


class Scene:
    """One lane, and what became of the requests sent into it, in order."""

    def __init__(self, places: int, queue: int) -> None:
        self.clock = SetClock(at=0.0)
        self.lane = Lane("u", self.clock)
        self.bounds = Bounds(places, queue)
        self.order: list[str] = []
        self.places: dict[str, Place] = {}
        self.faults: dict[str, Exception] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def send(self, key: Key, name: str, left_s: float = LEFT_S) -> None:
        """Send a request and let it come as far as it can."""
        self.tasks[name] = asyncio.create_task(self._enter(key, name, left_s))
        await self.rest()

    async def _enter(self, key: Key, name: str, left_s: float) -> None:
        try:
            self.places[name] = await self.lane.enter(key, self.bounds, left_s)
            self.order.append(name)
        except (RateLimited, Unavailable) as fault:
            self.faults[name] = fault

    async def leave(self, name: str, after_s: float = 0.0) -> None:
        """End a call."""
        self.clock.at += after_s
        self.places.pop(name).leave()
        await self.rest()

    async def rest(self) -> None:
        """Let every task run until it waits."""
        for _ in range(5):
            await asyncio.sleep(0)


async def test_places_are_taken_at_once_while_there_are_some() -> None:
    """As many calls as there are places begin without waiting; one more waits until one of them ends."""
    scene = Scene(places=2, queue=5)
    for name in ("a", "b", "c"):
        await scene.send(_key("k"), name)
    assert scene.order == ["a", "b"]
    assert (scene.lane.under_way, scene.lane.waiting) == (2, 1)
    await scene.leave("a")
    assert scene.order == ["a", "b", "c"]
    await scene.leave("b")
    await scene.leave("c")
    assert (scene.lane.under_way, scene.lane.waiting) == (0, 0)


async def test_a_flooding_key_does_not_starve_a_quiet_one() -> None:
    """The next free place goes to the key with fewer calls under way, however many the other has waiting."""
    scene = Scene(places=2, queue=50)
    for number in range(20):
        await scene.send(_key("loud"), f"loud-{number}")
    await scene.send(_key("quiet"), "quiet")
    await scene.leave("loud-0")
    assert scene.order[-1] == "quiet"


async def test_among_equals_the_longest_wait_goes_first() -> None:
    """Keys with as many calls under way take turns in the order in which their requests came."""
    scene = Scene(places=1, queue=10)
    await scene.send(_key("z"), "first")
    for name in ("c", "a", "b"):
        await scene.send(_key(name), name)
    for name in ("first", "c", "a", "b"):
        await scene.leave(name)
    assert scene.order == ["first", "c", "a", "b"]


async def test_interactive_requests_go_before_background_ones() -> None:
    """A background request that came first still waits for interactive ones."""
    scene = Scene(places=1, queue=10)
    await scene.send(_key("k"), "running")
    await scene.send(_key("night", Priority.BACKGROUND), "night")
    await scene.send(_key("day"), "day")
    await scene.leave("running")
    assert scene.order == ["running", "day"]
    await scene.leave("day")
    assert scene.order[-1] == "night"


async def test_background_requests_leave_a_quarter_of_the_places() -> None:
    """Of eight places background requests take six; an interactive one finds the seventh free."""
    scene = Scene(places=8, queue=10)
    for number in range(8):
        await scene.send(_key("night", Priority.BACKGROUND), f"night-{number}")
    assert len(scene.order) == 6
    await scene.send(_key("day"), "day")
    assert scene.order[-1] == "day"


async def test_a_single_place_serves_the_background_too() -> None:
    """With one place there is no quarter to keep."""
    scene = Scene(places=1, queue=1)
    await scene.send(_key("night", Priority.BACKGROUND), "night")
    assert scene.order == ["night"]


async def test_the_key_that_fills_the_queue_is_refused() -> None:
    """A flooding key's next request is refused with 429 and a time to come back."""
    scene = Scene(places=1, queue=2)
    for name in ("a", "b", "c", "d"):
        await scene.send(_key("loud"), name)
    fault = scene.faults["d"]
    assert isinstance(fault, RateLimited)
    assert fault.retry_after_s == 1.0
    assert scene.lane.refused[Refusal.FLOODING] == 1


async def test_a_full_queue_is_shortened_at_its_longest() -> None:
    """Another key's request takes the place of the newest of the key that has most waiting."""
    scene = Scene(places=1, queue=2)
    for name in ("a", "b", "c"):
        await scene.send(_key("loud"), name)
    await scene.send(_key("quiet"), "quiet")
    assert isinstance(scene.faults["c"], RateLimited)
    await scene.leave("a")
    assert scene.order == ["a", "quiet"]


async def test_background_requests_make_room_for_interactive_ones() -> None:
    """In a full queue it is a background request that goes, with 503; it does not come back for another of its kind."""
    scene = Scene(places=1, queue=1)
    await scene.send(_key("a"), "a")
    await scene.send(_key("night", Priority.BACKGROUND), "night")
    await scene.send(_key("b"), "b")
    assert isinstance(scene.faults["night"], Unavailable)
    await scene.send(_key("night", Priority.BACKGROUND), "late")
    assert isinstance(scene.faults["late"], Unavailable)
    assert scene.lane.refused[Refusal.FULL] == 2


async def test_without_a_queue_nobody_waits() -> None:
    """``queue: 0`` refuses whatever finds no free place."""
    scene = Scene(places=1, queue=0)
    await scene.send(_key("a"), "a")
    await scene.send(_key("b"), "b")
    assert isinstance(scene.faults["b"], Unavailable)


async def test_who_cannot_be_served_in_time_is_told_at_once() -> None:
    """Calls take ten seconds and two wait: a request with fifteen seconds left is refused, one with forty waits."""
    scene = Scene(places=1, queue=10)
    await scene.send(_key("k"), "a")
    await scene.leave("a", after_s=10)
    for name in ("b", "c", "d"):
        await scene.send(_key("k"), name)
    await scene.send(_key("k"), "hurried", left_s=15)
    fault = scene.faults["hurried"]
    assert isinstance(fault, Unavailable)
    assert fault.retry_after_s == pytest.approx(30)
    await scene.send(_key("k"), "patient", left_s=40)
    assert "patient" not in scene.faults


async def test_another_key_is_not_told_of_a_flood_that_it_passes() -> None:
    """The expected wait counts only those who go first: a quiet key with fifteen seconds left is let in."""
    scene = Scene(places=1, queue=10)
    await scene.send(_key("loud"), "a")
    await scene.leave("a", after_s=10)
    for name in ("b", "c", "d", "e"):
        await scene.send(_key("loud"), name)
    await scene.send(_key("quiet"), "quiet", left_s=15)
    assert not scene.faults


async def test_a_wait_ends_at_the_deadline() -> None:
    """Whoever got no place by its deadline is refused, and no longer counts."""
    scene = Scene(places=1, queue=10)
    await scene.send(_key("k"), "a")
    await scene.send(_key("k"), "b", left_s=0.01)
    await scene.tasks["b"]
    assert isinstance(scene.faults["b"], Unavailable)
    assert scene.lane.waiting == 0
    assert scene.lane.refused[Refusal.WAITED] == 1


async def test_a_cancelled_request_leaves_the_queue() -> None:
    """A client that hangs up while it waits frees its spot, and a place given to it in that moment goes on."""
    scene = Scene(places=1, queue=10)
    await scene.send(_key("k"), "a")
    await scene.send(_key("k"), "b")
    await scene.send(_key("k"), "c")
    scene.places.pop("a").leave()  # b is granted the place, and has not run yet
    scene.tasks["b"].cancel()
    await scene.rest()
    assert scene.order == ["a", "c"]
    await scene.leave("c")
    assert (scene.lane.under_way, scene.lane.waiting) == (0, 0)


async def test_more_places_are_used_as_soon_as_somebody_comes() -> None:
    """After a reload with more places, the next request finds those who waited served too."""
    scene = Scene(places=1, queue=10)
    await scene.send(_key("k"), "a")
    await scene.send(_key("k"), "b")
    scene.bounds = Bounds(places=3, queue=10)
    await scene.send(_key("k"), "c")
    assert sorted(scene.order) == ["a", "b", "c"]


async def test_a_place_is_given_back_once() -> None:
    """Leaving twice does not free somebody else's place."""
    scene = Scene(places=1, queue=10)
    await scene.send(_key("k"), "a")
    place = scene.places["a"]
    place.leave()
    place.leave()
    assert scene.lane.under_way == 0


async def test_lanes_are_counted_by_upstream() -> None:
    """The metrics show what is under way and what was refused."""
    lanes, meter = Lanes(SetClock(at=0.0)), Meter()
    lanes.watch(meter)
    await lanes.to("hosted").enter(_key("k"), Bounds(1, 0), LEFT_S)
    with pytest.raises(Unavailable):
        await lanes.to("hosted").enter(_key("k"), Bounds(1, 0), LEFT_S)
    text = meter.render().decode()
    assert 'ponder_upstream_calls_under_way{upstream="hosted"} 1.0' in text
    assert 'ponder_overload_refusals_total{reason="full",upstream="hosted"} 1.0' in text


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 3), st.sampled_from(list(Priority))),
        st.tuples(st.just("leave"), st.integers(0, 9), st.none()),
        st.tuples(st.just("cancel"), st.integers(0, 9), st.none()),
        st.tuples(st.just("resize"), st.integers(1, 5), st.none()),
    ),
    max_size=60,
)


@examples(150)
@given(_STEPS)
def test_no_place_is_ever_lost_or_doubled(steps: list[tuple[str, int, Priority | None]]) -> None:
    """Whatever comes, goes, hangs up or is resized: never too many calls at once, nobody idle beside a free place."""
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, int, Priority | None]]) -> None:
    scene = Scene(places=2, queue=3)
    most = 2
    for number, (what, which, priority) in enumerate(steps):
        running, tasks = list(scene.places), [name for name, task in scene.tasks.items() if not task.done()]
        if what == "send" and priority is not None:
            await scene.send(_key(f"{which}-{priority}", priority), f"r{number}")
        elif what == "leave" and running:
            await scene.leave(running[which % len(running)])
        elif what == "cancel" and tasks:
            scene.tasks[tasks[which % len(tasks)]].cancel()
            await scene.rest()
        elif what == "resize":
            scene.bounds = Bounds(which, 3)
            most = max(most, which)
        assert scene.lane.under_way == len(scene.places) <= most
        assert scene.lane.waiting == sum(not task.done() for task in scene.tasks.values()) <= 3
        assert scene.lane.under_way or not scene.lane.waiting
    while scene.places:
        await scene.leave(next(iter(scene.places)))
    assert (scene.lane.under_way, scene.lane.waiting) == (0, 0)
