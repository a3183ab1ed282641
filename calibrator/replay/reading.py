"""Reading a log and deciding it again under another policy, in parts, so that memory holds numbers and no documents."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from calibrator.replay.chances import Decider, Drawn, Why, decider, draw_in_process, prepare_process
from calibrator.replay.log import Gathering, Log
from gateway.domain.profile import Profile
from gateway.store.logged import READ_AT_ONCE, LoggedDecisions, LoggedPart, LoggedPeriod

_WORTH_PROCESSES: Final = 8 * READ_AT_ONCE
"""Decisions below which starting processes takes longer than deciding."""
_MOST_PROCESSES: Final = 3
"""One process reads; more than this it does not keep busy, and each takes a hundred megabytes and more."""
_Deciding: TypeAlias = Callable[[Sequence[str]], Awaitable[list[Drawn | Why]]]


@dataclass(frozen=True, slots=True)
class Follower:
    """A policy, by its name or file, and the profile it would follow."""

    name: str
    profile: Profile | None


async def read_log(
    decisions: LoggedDecisions,
    period: LoggedPeriod,
    follower: Follower,
    advance: Callable[[int], None],
    *,
    processes: int | None = None,
) -> Log:
    """The log of a period, with both policies' chances for each decision; ``advance`` takes how many are read.

    As many ``processes`` decide as are asked for, and else as the log and this machine call for.
    """
    own = decider(follower.name, follower.profile)  # a faulty policy is told of before anything is read
    if processes is None:
        is_long = await decisions.count(period) > _WORTH_PROCESSES
        processes = min(os.cpu_count() or 1, _MOST_PROCESSES) if is_long else 1
    gathering = Gathering()
    done = 0
    with _deciding(own, follower, processes) as decide:
        async for part, drawn in _decided(decisions.parts(period), decide, processes + 1):
            gathering.add(part, drawn)
            done += len(part.decisions)
            advance(done)
    return gathering.log()


@contextmanager
def _deciding(own: Decider, follower: Follower, processes: int) -> Iterator[_Deciding]:
    """What decides a part: this process, or several others."""
    if processes == 1:

        async def here(plans: Sequence[str]) -> list[Drawn | Why]:
            return own.draw_all(plans)

        yield here
        return
    # Spawned, as a fork would carry the database's threads and locks along.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, prepare_process, (follower.name, follower.profile)) as pool:

        async def there(plans: Sequence[str]) -> list[Drawn | Why]:
            return await asyncio.get_running_loop().run_in_executor(pool, draw_in_process, plans)

        yield there


async def _decided(
    parts: AsyncIterator[LoggedPart], decide: _Deciding, most: int
) -> AsyncIterator[tuple[LoggedPart, list[Drawn | Why]]]:
    """The parts in their order, each with what was drawn; at most so many are under way."""
    waiting: deque[tuple[LoggedPart, asyncio.Task[list[Drawn | Why]]]] = deque()
    async for part in parts:
        plans = [each.plan for each in part.decisions]
        waiting.append((part, asyncio.ensure_future(decide(plans))))
        if len(waiting) >= most:
            first, task = waiting.popleft()
            yield first, await task
    while waiting:
        first, task = waiting.popleft()
        yield first, await task
