"""What people and programs ask of a full database, each question again and again, one at a time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from gateway.domain.identity import new_request_id
from gateway.domain.record import Result
from gateway.store.balances import Balances
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.requests import Filter, Grouping, Requests
from gateway.store.traffic import Traffic
from gateway.store.traffic_counts import HOUR_S, Facet, hour_of
from tests.bench_store.loading import ARMS, CATEGORIES, DAY_S, DAYS, KEYS

_TIMES: Final = 200
_FEWER_TIMES: Final = 10
"""Of questions that read a day of the log."""
_WARM_UP: Final = 5
_PAGE: Final = 50
_WEEK_S: Final = 7 * DAY_S
_SEED: Final = 11

Question = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Answered:
    """How long one question took, in milliseconds."""

    name: str
    times: int
    p50_ms: float
    p99_ms: float


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank of values that are sorted."""
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


async def measure(database: Database, now: float) -> list[Answered]:
    """Ask everything."""
    found = []
    async with _asked(database, now) as asked:
        for name, (question, times) in asked.items():
            found.append(await _time(name, question, times))
    return found


async def _time(name: str, question: Question, times: int) -> Answered:
    for _ in range(min(times, _WARM_UP)):
        await question()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        await question()
        taken.append((time.perf_counter() - begun) * 1e3)
    taken.sort()
    return Answered(name, times, quantile(taken, 0.5), quantile(taken, 0.99))


@asynccontextmanager
async def _asked(database: Database, now: float) -> AsyncIterator[Mapping[str, tuple[Question, int]]]:
    draw, requests, connections = random.Random(_SEED), Requests(database), Connections(database, most=4)
    known = [each.id for each in await requests.recent(Filter(until=now - DAY_S), limit=_PAGE)]
    for day in range(2, DAYS):
        known += [each.id for each in await requests.recent(Filter(until=now - day * DAY_S), limit=_PAGE)]

    def listed(name: str, **chosen: Callable[[], object]) -> tuple[str, tuple[Question, int]]:
        async def ask() -> None:
            await requests.recent(Filter(**{field: of() for field, of in chosen.items()}), limit=_PAGE)  # type: ignore[arg-type]  # by name

        return f"list of {_PAGE}: {name}", (ask, _TIMES)

    async def unknown() -> None:
        assert await requests.find(new_request_id(now - draw.random() * DAYS * DAY_S)) is None

    questions = {
        "one request by its id (`GET /v1/requests/{id}`)": (lambda: requests.find(draw.choice(known)), _TIMES),
        "an id that nobody has": (unknown, _TIMES),
        "an answer by its provider's id, unknown": (lambda: requests.find_answer(f"resp_{draw.random()}"), _TIMES),
        **_overview(Traffic(connections), now),
        **dict(
            [
                listed("newest"),
                listed("the page after a request", after=lambda: draw.choice(known)),
                listed("a key's", key_id=lambda: draw.choice(KEYS)),
                listed("a team's", team_id=lambda: f"team_{draw.randrange(5)}"),
                listed("an arm's", arm=lambda: draw.choice(ARMS)),
                listed("a category's", category=lambda: draw.choice(CATEGORIES)),
                listed("one in 2,000 (`timed_out`)", result=lambda: Result.TIMED_OUT),
                listed("a key's of one day", key_id=lambda: draw.choice(KEYS), until=lambda: now - 9 * DAY_S,
                       since=lambda: now - 10 * DAY_S),
            ]
        ),
        "every key's and team's balances, as after Redis lost them": (
            lambda: Balances(database).spent(now), _FEWER_TIMES,
        ),
        "totals of a day, from the log": (
            lambda: requests.totals(Filter(since=now - 2 * DAY_S, until=now - DAY_S)), _FEWER_TIMES,
        ),
        "spending by key and model of a day, from the log (`GET /admin/spend`)": (
            lambda: requests.spend(since=now - 2 * DAY_S, until=now - DAY_S, by=(Grouping.KEY, Grouping.MODEL)),
            _FEWER_TIMES,
        ),
    }  # fmt: skip
    yield questions
    await requests.close()
    await connections.close()


def _overview(traffic: Traffic, now: float) -> Mapping[str, tuple[Question, int]]:
    """The parts of the dashboard's first page, by what they ask of the database."""
    until = hour_of(now) + HOUR_S

    async def spending() -> None:
        await asyncio.gather(
            traffic.standing(),
            traffic.hours(until - _WEEK_S, until),
            traffic.sums(Facet.KEY, until - _WEEK_S, until),
            traffic.sums(Facet.KEY, until - DAY_S, until),
            traffic.sums(Facet.ALL, until - _WEEK_S, until),
        )

    async def durations() -> None:
        facets = (Facet.ALL, Facet.ARM, Facet.MODEL)
        await asyncio.gather(*(traffic.durations(each, until - DAY_S, until) for each in facets))

    return {
        "overview: newest requests": (lambda: traffic.newest(25), _TIMES),
        "overview: spending by key, a week and today": (spending, _TIMES),
        "overview: durations by arm and model, a day": (durations, _TIMES),
        "overview: upstreams, a day": (lambda: traffic.sums(Facet.MODEL, until - DAY_S, until), _TIMES),
    }
