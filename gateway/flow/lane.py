"""The lane to an upstream: so many calls at a time, and a bounded queue that keys share fairly.

A place that becomes free goes to the key with the fewest calls under way (max-min fairness over
concurrency), and among equals to the one whose latest turn was longest ago: however many requests one
key has waiting, another key's request is served next. Background requests wait until no interactive one does, and
never take the last quarter of the places.

Nobody waits in vain. A request whose place would come after its deadline is refused at once, with the
time after which it is worth asking again. A full queue is shortened at its longest: the key that
has the most requests waiting loses its newest.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.key import Key, Priority
from gateway.errors import PonderError, RateLimited, Unavailable
from gateway.ports import Clock
from gateway.telemetry import Meter

_KEPT_FOR_INTERACTIVE = 4
"""One place in so many is never given to background requests, so that an interactive one finds one soon."""
_WEIGHT_OF_LATEST = 0.1
"""Of the latest call in the mean duration that waits are estimated with."""
_LONGEST_RETRY_AFTER_S = 60.0


class Refusal(StrEnum):
    """Why a request was not let into a lane."""

    FLOODING = "flooding"
    FULL = "full"
    TOO_LATE = "too_late"
    WAITED = "waited"


@dataclass(frozen=True, slots=True)
class Bounds:
    """``places``: calls under way at a time. ``queue``: requests that may wait for one."""

    places: int
    queue: int


class _Waiter:
    __slots__ = ("arrived", "granted", "key_id", "priority")

    def __init__(self, key_id: str, priority: Priority, arrived: int, granted: asyncio.Future[None]) -> None:
        self.key_id = key_id
        self.priority = priority
        self.arrived = arrived
        self.granted = granted


class Place:
    """One call's right to be under way; given back once."""

    __slots__ = ("_is_background", "_key_id", "_lane", "_since")

    def __init__(self, lane: Lane, key_id: str, since: float, *, is_background: bool) -> None:
        self._lane: Lane | None = lane
        self._key_id = key_id
        self._since = since
        self._is_background = is_background

    def leave(self) -> None:
        """Give the place to the next; a second time does nothing."""
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.freed(self._key_id, self._since, is_background=self._is_background)


class Lane:
    """One upstream's places and queue. Belongs to one event loop."""

    def __init__(self, upstream: str, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        self._bounds = Bounds(places=1, queue=0)
        self._running: dict[str, int] = {}
        self._turns: dict[str, int] = {}
        self._background = 0
        self._queues: dict[Priority, dict[str, deque[_Waiter]]] = {priority: {} for priority in Priority}
        self._sequence = 0
        self._mean_s: float | None = None
        self.under_way = 0
        self.waiting = 0
        self.refused: dict[Refusal, int] = dict.fromkeys(Refusal, 0)

    async def enter(self, key: Key, bounds: Bounds, left_s: float) -> Place:
        """A place, at once or after a wait of at most ``left_s`` seconds.

        Raises RateLimited when it is this key's own requests that fill the queue, and Unavailable
        when no place can come in time; both say when to come back.
        """
        if bounds is not self._bounds:
            self._bounds = bounds
            self._grant()
        # Places are handed out as they become free: where there is room, nobody of this priority waits.
        if self._has_room(key.priority):
            self._count(key.id, key.priority)
            return self._place(key)
        wait_s = self.expected_wait_s(key)
        if wait_s > left_s:
            raise self._refusal(Refusal.TOO_LATE, wait_s)
        if self.waiting >= bounds.queue:
            self._make_room_for(key)
        waiter = self._append(key)
        try:
            async with asyncio.timeout(left_s):
                await waiter.granted
        except TimeoutError:
            self._withdraw(waiter)
            raise self._refusal(Refusal.WAITED) from None
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        return self._place(key)

    def freed(self, key_id: str, since: float, *, is_background: bool) -> None:
        """Called by a place that is given back."""
        took_s = self._clock.monotonic() - since
        self._mean_s = took_s if self._mean_s is None else self._mean_s + (took_s - self._mean_s) * _WEIGHT_OF_LATEST
        self._give_back(key_id, is_background=is_background)

    def expected_wait_s(self, key: Key) -> float:
        """Seconds until a request that this key sends now would get a place, by the calls' mean duration."""
        if self._has_room(key.priority):
            return 0.0
        return (self._ahead_of(key) + 1) * (self._mean_s or 0.0) / self._bounds.places

    def _has_room(self, priority: Priority) -> bool:
        if self.under_way >= self._bounds.places:
            return False
        return priority is Priority.INTERACTIVE or self._background < self._background_places

    @property
    def _background_places(self) -> int:
        places = self._bounds.places
        return max(1, places - math.ceil(places / _KEPT_FOR_INTERACTIVE))

    def _place(self, key: Key) -> Place:
        return Place(self, key.id, self._clock.monotonic(), is_background=key.priority is Priority.BACKGROUND)

    def _count(self, key_id: str, priority: Priority) -> None:
        self.under_way += 1
        self._running[key_id] = self._running.get(key_id, 0) + 1
        self._sequence += 1
        self._turns[key_id] = self._sequence
        if priority is Priority.BACKGROUND:
            self._background += 1

    def _give_back(self, key_id: str, *, is_background: bool) -> None:
        self.under_way -= 1
        left = self._running[key_id] - 1
        if left:
            self._running[key_id] = left
        else:
            del self._running[key_id]
        if is_background:
            self._background -= 1
        if self.waiting:
            self._grant()
        self._forget_if_gone(key_id)

    def _forget_if_gone(self, key_id: str) -> None:
        """Turns are kept of keys that are here: memory must not grow with the number of keys ever seen."""
        if key_id not in self._running and not any(key_id in queues for queues in self._queues.values()):
            self._turns.pop(key_id, None)

    def _grant(self) -> None:
        """Hand out what is free: interactive requests first, and in turn."""
        for priority in Priority:
            queues = self._queues[priority]
            while queues and self._has_room(priority):
                waiter = min((queue[0] for queue in queues.values()), key=self._turn_of)
                self._remove(waiter)
                if not waiter.granted.done():  # its request may just have been cancelled
                    self._count(waiter.key_id, priority)
                    waiter.granted.set_result(None)

    def _turn_of(self, waiter: _Waiter) -> tuple[int, int, int]:
        """Who is next: the least."""
        return self._running.get(waiter.key_id, 0), self._turns.get(waiter.key_id, 0), waiter.arrived

    def _append(self, key: Key) -> _Waiter:
        self._sequence += 1
        waiter = _Waiter(key.id, key.priority, self._sequence, asyncio.get_running_loop().create_future())
        self._queues[key.priority].setdefault(key.id, deque()).append(waiter)
        self.waiting += 1
        return waiter

    def _remove(self, waiter: _Waiter) -> None:
        queues = self._queues[waiter.priority]
        queue = queues[waiter.key_id]
        queue.remove(waiter)
        if not queue:
            del queues[waiter.key_id]
            self._forget_if_gone(waiter.key_id)
        self.waiting -= 1

    def _withdraw(self, waiter: _Waiter) -> None:
        """Out of the queue; a place granted in the same moment goes on to the next."""
        if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
            self._give_back(waiter.key_id, is_background=waiter.priority is Priority.BACKGROUND)
        elif waiter in self._queues[waiter.priority].get(waiter.key_id, ()):
            self._remove(waiter)

    def _make_room_for(self, key: Key) -> None:
        """Refuse the newest request of the key that has most waiting; background ones go before interactive ones."""
        victims = self._queues[Priority.BACKGROUND]
        if not victims and key.priority is Priority.INTERACTIVE:
            victims = self._queues[Priority.INTERACTIVE]
        if not victims:
            raise self._refusal(Refusal.FULL)
        longest = max(victims, key=lambda each: len(victims[each]))
        if victims is self._queues[key.priority] and len(victims.get(key.id, ())) + 1 >= len(victims[longest]):
            raise self._refusal(Refusal.FLOODING if longest == key.id else Refusal.FULL)
        newest = victims[longest][-1]
        self._remove(newest)
        if not newest.granted.done():
            is_displaced = newest.priority is not key.priority
            newest.granted.set_exception(self._refusal(Refusal.FULL if is_displaced else Refusal.FLOODING))

    def _ahead_of(self, key: Key) -> int:
        """How many waiting requests get a place before one that this key would add now."""
        queues = self._queues[key.priority]
        own = len(queues.get(key.id, ()))
        level = self._running.get(key.id, 0) + own
        ahead = sum(
            min(len(queue), max(0, level + 1 - self._running.get(each, 0)))
            for each, queue in queues.items()
            if each != key.id
        )
        if key.priority is Priority.BACKGROUND:
            ahead += _total(self._queues[Priority.INTERACTIVE].values())
        return own + ahead

    def _refusal(self, why: Refusal, wait_s: float | None = None) -> PonderError:
        self.refused[why] += 1
        bounds = self._bounds
        if wait_s is None:
            wait_s = self.waiting * (self._mean_s or 0.0) / bounds.places
        retry_after_s = min(max(1.0, wait_s), _LONGEST_RETRY_AFTER_S)
        state = f"upstream {self._upstream!r} is busy: {bounds.places} calls are under way and {self.waiting} wait"
        if why is Refusal.FLOODING:
            text = f"{state}, most of them this key's; send fewer requests at a time"
            return RateLimited(text, retry_after_s=retry_after_s)
        if why is Refusal.TOO_LATE:
            text = f"{state}; a place is expected in {wait_s:.1f} s, after this request's deadline"
        elif why is Refusal.FULL:
            text = f"{state}, which is as many as may; try again later"
        else:
            text = f"{state}; no place came before this request's deadline"
        return Unavailable(text, retry_after_s=retry_after_s)


class Lanes:
    """The lane of every upstream, made when it is first used; lanes outlive reloads of the configuration."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: dict[str, Lane] = {}

    def to(self, upstream: str) -> Lane:
        """The lane to an upstream of this name."""
        lane = self._lanes.get(upstream)
        if lane is None:
            lane = self._lanes[upstream] = Lane(upstream, self._clock)
        return lane

    def under_way(self) -> dict[str, int]:
        """Calls under way, by upstream."""
        return {name: lane.under_way for name, lane in self._lanes.items()}

    def waiting(self) -> dict[str, int]:
        """Requests that wait for a place, by upstream."""
        return {name: lane.waiting for name, lane in self._lanes.items()}

    def watch(self, meter: Meter) -> None:
        """Expose what is under way, what waits and what was refused, by upstream."""
        lanes = self._lanes
        meter.watch_each(
            "ponder_upstream_calls_under_way",
            "Requests that have a place at an upstream.",
            ("upstream",),
            lambda: {(name,): count for name, count in self.under_way().items()},
        )
        meter.watch_each(
            "ponder_upstream_requests_waiting",
            "Requests that wait for a place at an upstream.",
            ("upstream",),
            lambda: {(name,): count for name, count in self.waiting().items()},
        )
        meter.watch_each(
            "ponder_overload_refusals",
            "Requests refused because an upstream is busy.",
            ("upstream", "reason"),
            lambda: {(name, why.value): count for name, lane in lanes.items() for why, count in lane.refused.items()},
            is_counter=True,
        )


def _total(queues: Iterable[deque[_Waiter]]) -> int:
    return sum(len(queue) for queue in queues)
