"""The tick that estimates what policies saved on their traffic of seven days, beside their reference arms.

Of more traffic than a tick can read it takes from every hour its share, of requests that lie together. An estimate
takes the place of the last one, so two processes that make it at once do no harm.
"""

from __future__ import annotations

import logging
import math
import os
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from calibrator.in_force import InForce, policies_in_force
from calibrator.replay.chances import Constant
from calibrator.replay.log import Gathering, Log
from calibrator.savings import savings_of
from gateway.clock import SystemClock
from gateway.domain.savings import PolicySavings, Savings
from gateway.errors import ConfigurationError
from gateway.policy.ready import ReadyPolicy
from gateway.settings import Places, Settings, database_url
from gateway.store.base import Database, locate
from gateway.store.changes import Changes
from gateway.store.logged import READ_AT_ONCE, LoggedDecisions, LoggedPart, LoggedPeriod
from gateway.store.savings import StoredSavings
from gateway.store.session import session
from gateway.store.traffic_counts import HOUR_S, hour_of

PERIOD_S: Final = 7 * 86_400.0
MOST: Final = 30_000
"""Requests of a policy that one estimate reads."""
_FRESH_S: Final = 600.0
"""An estimate that is younger is left as it is."""
_WORK_S: Final = 8.0
_CONNECTIONS: Final = 1
_log = logging.getLogger("ponder.saving")


async def tick(where: Places, settings: Settings) -> None:
    """Estimate the savings of the policies that wait longest, for some seconds."""
    clock = SystemClock()
    async with opened(locate(database_url(where, settings))) as desk:
        try:
            policies = await policies_in_force(where, settings, os.environ, desk.changes, clock)
        except ConfigurationError as fault:
            _log.warning("savings are not estimated, as the configuration is at fault: %s", fault.message)
            return
        await estimate(desk, policies, now=time.time(), until=time.monotonic() + _WORK_S)


@dataclass(frozen=True, slots=True)
class Desk:
    """What estimating needs."""

    changes: Changes
    savings: StoredSavings
    decisions: LoggedDecisions


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Desk]:
    """The desk of a database."""
    async with session(database, most=_CONNECTIONS) as (changes, connections):
        yield Desk(changes, StoredSavings(connections), LoggedDecisions(connections))


async def estimate(desk: Desk, policies: Mapping[str, InForce], *, now: float, until: float, most: int = MOST) -> None:
    """Estimate the savings of each policy that had traffic, those first whose last estimate is oldest."""
    since = hour_of(now) + HOUR_S - PERIOD_S
    traffic = await desk.savings.traffic(since, now)
    made = await desk.savings.made_until()
    due = [name for name in traffic if name in policies and made.get(name, 0.0) <= now - _FRESH_S]
    for name in sorted(due, key=lambda name: made.get(name, 0.0)):
        if time.monotonic() >= until:
            break
        ready, counts = policies[name].ready, traffic[name]
        found: Savings | None = None
        note: str | None
        if ready.reference is None or ready.notes:
            # What stands in for it is the dearest arm that is left, and beside that anything saves.
            note = "; ".join(ready.notes)
        else:
            log = await _read(desk.decisions, ready, ready.reference, _Sample(counts, now, until, most))
            found = savings_of(log, ready.reference)
            note = None if found is not None else _nothing(log)
        await desk.savings.keep(PolicySavings(name, since, now, sum(counts.values()), found, note))


def _nothing(log: Log) -> str:
    why = ", ".join(f"{count} {why.value}" for why, count in log.left_out.items() if count)
    return f"none of the requests that were looked at was decided afresh{f' ({why})' if why else ''}"


@dataclass(frozen=True, slots=True)
class _Sample:
    """How much of each hour's traffic is to be read, and until when, by the monotonic clock."""

    hours: Mapping[float, int]
    now: float
    until: float
    most: int

    @property
    def share(self) -> float:
        """Of all requests."""
        return min(1.0, self.most / max(sum(self.hours.values()), 1))


async def _read(decisions: LoggedDecisions, policy: ReadyPolicy, reference: str, sample: _Sample) -> Log:
    drawing, gathering = Constant(policy, reference), Gathering()
    async for part in _parts(decisions, policy.name, sample):
        gathering.add(part, drawing.draw_all([each.plan for each in part.decisions]))
        if time.monotonic() >= sample.until:
            break
    return gathering.log()


async def _parts(decisions: LoggedDecisions, policy: str, sample: _Sample) -> AsyncIterator[LoggedPart]:
    """The requests to read; what is read when time ends is spread over the whole period all the same."""
    # The same ones for everybody who reads the same hours.
    draw = random.Random(policy)  # noqa: S311 - a sample, and no secret
    hours = list(sample.hours)
    draw.shuffle(hours)
    for hour in hours:
        end = min(hour + HOUR_S, sample.now)
        # From a moment in the hour on, and then from its beginning.
        begin = hour + draw.random() * (end - hour) if sample.share < 1 else hour
        wanted = math.ceil(sample.hours[hour] * sample.share)
        for period in (LoggedPeriod(begin, end, policy), LoggedPeriod(hour, begin, policy)):
            if wanted <= 0:
                break
            async for part in decisions.parts(period, size=min(wanted, READ_AT_ONCE)):
                yield part
                wanted -= len(part.decisions)
                if wanted <= 0:
                    break
