"""The live driver of searches: it carries out what a search asks for, and tells it what happens.

Draws and scores run at the same time, within the bounds of the request and of the process. A search
is told that time is up at its deadline; whoever leaves before cancels what is under way, and
nothing of a search outlives :func:`drive`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.search.protocol import (
    Cancel,
    Cancelled,
    DrawId,
    Event,
    Launch,
    Score,
    ScoreFailed,
    Search,
    TimeUp,
    Wait,
    Winner,
)


class Hands(Protocol):
    """What does a search's work. A fault of ours is raised; anything else that goes wrong is an event."""

    async def draw(self, launch: Launch, report: Callable[[Event], None]) -> Event:
        """The end of a draw; steps on its way are reported. Where it is cancelled, it says what it came to by then."""
        ...

    async def score(self, draw: DrawId, verifier: str) -> Event:
        """The verifier's word on a chain as far as it has come."""
        ...


class FanOut:
    """How many draws may run at once: of one request, and of all requests of this process."""

    def __init__(self, of_request: int = 32, of_process: int = 256) -> None:
        self.of_request = of_request
        self.of_process = asyncio.Semaphore(of_process)


async def drive(
    search: Search,
    hands: Hands,
    *,
    left_s: float,
    fan_out: FanOut,
    watch: Callable[[Event], None] = lambda _event: None,
) -> Winner:
    """The winner of a search that has ``left_s`` seconds.

    ``watch`` sees every event, before the search does, and the ends of draws that it no longer waits for.
    """
    driver = _Driver(hands, asyncio.get_running_loop().time() + left_s, fan_out)
    event: Event | None = None
    try:
        while True:
            match search.send(event):
                case Wait():
                    event = await driver.next()
                    watch(event)
                    continue
                case Launch() as launch:
                    driver.launch(launch)
                case Score(draw, verifier):
                    driver.score(draw, verifier)
                case Cancel(draw):
                    driver.cancel(draw)
            event = None
    except StopIteration as done:
        winner: Winner = done.value
        return winner
    finally:
        search.close()
        for event in await driver.stop():
            watch(event)


class _Driver:
    """The draws and scores under way of one search, and what of them it has not been told yet."""

    def __init__(self, hands: Hands, deadline: float, fan_out: FanOut) -> None:
        self._hands = hands
        self._deadline = deadline
        self._of_request = asyncio.Semaphore(fan_out.of_request)
        self._of_process = fan_out.of_process
        self._draws: dict[DrawId, asyncio.Task[None]] = {}
        self._scores: set[asyncio.Task[None]] = set()
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._fault: BaseException | None = None

    def launch(self, launch: Launch) -> None:
        """Begin a draw, as soon as there is room for it."""
        task = asyncio.create_task(self._draw(launch))
        self._draws[launch.draw] = task
        task.add_done_callback(lambda _task: self._draws.pop(launch.draw, None))
        task.add_done_callback(self._heed)

    def score(self, draw: DrawId, verifier: str) -> None:
        """Begin to score a chain."""
        task = asyncio.create_task(self._score(draw, verifier))
        self._scores.add(task)
        task.add_done_callback(self._scores.discard)
        task.add_done_callback(self._heed)

    def cancel(self, draw: DrawId) -> None:
        """Stop one draw; what it came to is told once it has stopped."""
        task = self._draws.get(draw)
        if task is not None:
            task.cancel()

    async def next(self) -> Event:
        """The next thing that happens. Raises what a draw or a score raised."""
        while not self._events:
            if self._fault is not None:
                raise self._fault
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(self._deadline):
                    await self._arrived.wait()
            except TimeoutError:
                return TimeUp()
        return self._events.popleft()

    async def stop(self) -> list[Event]:
        """Cancel what is under way, and wait until its calls are closed and on record. What nobody was told yet."""
        tasks = [*self._draws.values(), *self._scores]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        return list(self._events)

    async def _draw(self, launch: Launch) -> None:
        try:
            async with self._of_request, self._of_process:
                event = await self._hands.draw(launch, self._tell)
        except asyncio.CancelledError:  # it had not begun
            event = Cancelled(launch.draw)
        self._tell(event)

    async def _score(self, draw: DrawId, verifier: str) -> None:
        try:
            event = await self._hands.score(draw, verifier)
        except asyncio.CancelledError:
            event = ScoreFailed(draw)
        self._tell(event)

    def _tell(self, event: Event) -> None:
        self._events.append(event)
        self._arrived.set()

    def _heed(self, task: asyncio.Task[None]) -> None:
        """A fault of ours in a draw or a score is kept for whoever waits for the search."""
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            self._fault = self._fault or fault
            self._arrived.set()
