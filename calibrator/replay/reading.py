"""Reading a log and deciding it again under another policy, in parts, so that memory holds numbers and no documents.

Of a long log every process reads and decides some stretches, and hands back numbers alone.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

from calibrator.replay.chances import Decider, decider
from calibrator.replay.log import Gathering, Log
from gateway.domain.profile import Profile
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.logged import READ_AT_ONCE, LoggedDecisions, LoggedPeriod

STRETCH: Final = 4 * READ_AT_ONCE
"""Requests that a process reads at a time."""
_SHORT: Final = 2
"""So many stretches are read in less time than other processes start in."""
_MOST_PROCESSES: Final = 4
"""Each takes a hundred megabytes and more, and has a connection to the database."""


@dataclass(frozen=True, slots=True)
class Follower:
    """A policy, by its name or file, and the profile it would follow."""

    name: str
    profile: Profile | None


async def read_log(
    database: Database,
    period: LoggedPeriod,
    follower: Follower,
    advance: Callable[[int], None],
    *,
    processes: int | None = None,
    stretch: int = STRETCH,
) -> Log:
    """The log of a period, with both policies' chances for each decision; ``advance`` takes how many are read.

    As many ``processes`` read as are asked for, and else as the log and this machine call for.
    """
    own = decider(follower.name, follower.profile)  # a faulty policy is told of before anything is read
    connections = Connections(database, most=1)
    try:
        decisions, gathering = LoggedDecisions(connections), Gathering()
        stretches = await decisions.cut(period, size=stretch)
        if processes is None:
            processes = 1 if len(stretches) <= _SHORT else min(os.cpu_count() or 1, _MOST_PROCESSES)
        if processes == 1:
            await _gather(decisions, own, period, gathering, advance)
            return gathering.log()
    finally:
        await connections.close()
    # Spawned, as a fork would carry the database's threads and locks along.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _prepare_process, (database, follower)) as pool:
        await _gather_in(pool, stretches, 2 * processes, gathering, advance)
    return gathering.log()


async def _gather(
    decisions: LoggedDecisions,
    own: Decider,
    period: LoggedPeriod,
    gathering: Gathering,
    advance: Callable[[int], None],
) -> None:
    """Read and decide a period here."""
    async for part in decisions.parts(period):
        gathering.add(part, own.draw_all([each.plan for each in part.decisions]))
        advance(gathering.read)


async def _gather_in(
    pool: ProcessPoolExecutor,
    stretches: Sequence[LoggedPeriod],
    most: int,
    gathering: Gathering,
    advance: Callable[[int], None],
) -> None:
    """Have stretches read and decided, so many at a time, and put them together in their order."""
    loop = asyncio.get_running_loop()
    waiting: deque[asyncio.Future[Gathering]] = deque()
    for each in stretches:
        waiting.append(loop.run_in_executor(pool, _gather_in_process, each))
        if len(waiting) >= most:
            gathering.join(await waiting.popleft())
            advance(gathering.read)
    while waiting:
        gathering.join(await waiting.popleft())
        advance(gathering.read)


@dataclass(frozen=True, slots=True)
class _Own:
    """What a process has that works for another."""

    database: Database
    decider: Decider


_process: dict[str, _Own] = {}


def _prepare_process(database: Database, follower: Follower) -> None:
    """Make a process ready to decide for another."""
    _process["own"] = _Own(database, decider(follower.name, follower.profile))


def _gather_in_process(period: LoggedPeriod) -> Gathering:
    """A stretch, read and decided by a process that was made ready."""
    return asyncio.run(_gathered(_process["own"], period))


async def _gathered(own: _Own, period: LoggedPeriod) -> Gathering:
    connections, gathering = Connections(own.database, most=1), Gathering()
    try:
        await _gather(LoggedDecisions(connections), own.decider, period, gathering, lambda _: None)
    finally:
        await connections.close()
    return gathering
