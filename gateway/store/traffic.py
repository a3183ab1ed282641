"""What the dashboard reads: sums of the traffic, the newest requests with what they called, and names of keys.

Sums are read from ``traffic_hours`` alone, and requests by the newest few, so that no look at the dashboard costs more
as the log grows. Writing the sums is :mod:`gateway.store.rollups`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import RowMapping, func, literal, select, union_all

from gateway.domain.limits import Period
from gateway.domain.money import Usd, from_nanos
from gateway.domain.record import Result
from gateway.domain.spread import Spread, joined
from gateway.store.connections import Connections
from gateway.store.tables import budgets, draws, keys, requests, teams
from gateway.store.traffic_counts import Facet
from gateway.store.traffic_tables import traffic_hours, traffic_minute_marks, traffic_state

BROKEN: Final = frozenset({Result.FAILED, Result.TIMED_OUT, Result.TRUNCATED, Result.INTERRUPTED})
"""How requests and calls end that went wrong on our side or upstream; a refusal or a client that left did not."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What one group came to. ``unpriced`` ones cost more than ``cost`` tells, as nobody knows how much."""

    place: str
    name: str
    count: int
    broken: int
    unpriced: int
    cost: Usd
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class HourSum:
    """What one hour came to."""

    hour: float
    count: int
    broken: int
    cost: Usd


@dataclass(frozen=True, slots=True)
class Durations:
    """How long the answered ones of a group took, whole and to the first byte."""

    place: str
    name: str
    total: Spread
    first_byte: Spread


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the sums go: when nothing was left to count, and how many batches have come since."""

    summed_at: float | None
    waiting: int


@dataclass(frozen=True, slots=True)
class NewRequest:
    """One line of live traffic; ``models`` are those that were called, in order, each once."""

    id: str
    started_at: float
    key_id: str
    model_asked: str
    policy: str | None
    arm: str | None
    category: str | None
    difficulty: str | None
    result: Result
    status: int
    cost: Usd
    is_cost_complete: bool
    total_s: float
    first_byte_s: float | None
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyName:
    """What people call a key and its team."""

    name: str
    team_id: str | None
    team: str | None


@dataclass(frozen=True, slots=True)
class Allowance:
    """A budget of a key or a team that is in use. ``account`` is what purses know it by."""

    account: str
    kind: str
    name: str
    period: Period
    amount: Usd


class Traffic:
    """The traffic of one database, for looking at."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def standing(self) -> Standing:
        """How far the sums go."""
        async with self._connections.reading() as connection:
            summed_at = await connection.scalar(select(traffic_state.c.summed_at))
            waiting = await connection.scalar(select(func.count(traffic_minute_marks.c.batch.distinct())))
        return Standing(summed_at, waiting or 0)

    async def sums(self, facet: Facet, since: float, until: float) -> tuple[Sum, ...]:
        """The groups of a facet over whole hours, the dearest first."""
        columns = traffic_hours.c
        groups = columns.place, columns.name, columns.result
        totals = [
            func.sum(each).label(each.name)
            for each in (
                columns.count,
                columns.unpriced,
                columns.cost_nanos,
                columns.prompt_tokens,
                columns.output_tokens,
            )
        ]
        statement = (
            select(*groups, *totals)
            .where(columns.facet == facet, columns.hour >= since, columns.hour < until)
            .group_by(*groups)
        )
        async with self._connections.reading() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return _sums(rows)

    async def hours(self, since: float, until: float) -> tuple[HourSum, ...]:
        """All traffic by the hour, the oldest first; hours without any are left out."""
        columns = traffic_hours.c
        statement = (
            select(columns.hour, columns.result, columns.count, columns.cost_nanos)
            .where(columns.facet == Facet.ALL, columns.hour >= since, columns.hour < until)
            .order_by(columns.hour)
        )
        found: dict[float, list[int]] = {}
        async with self._connections.reading() as connection:
            for hour, result, count, nanos in await connection.execute(statement):
                summed = found.setdefault(hour, [0, 0, 0])
                summed[0] += count
                summed[1] += count if result in BROKEN else 0
                summed[2] += nanos
        return tuple(HourSum(hour, count, broken, from_nanos(nanos)) for hour, (count, broken, nanos) in found.items())

    async def durations(self, facet: Facet, since: float, until: float) -> tuple[Durations, ...]:
        """How long the answered ones of each group took, the most frequent first."""
        columns = traffic_hours.c
        statement = select(columns.place, columns.name, columns.total_s, columns.first_byte_s).where(
            columns.facet == facet,
            columns.hour >= since,
            columns.hour < until,
            columns.result == Result.ANSWERED,
        )
        found: dict[tuple[str, str], tuple[list[Mapping[str, int]], list[Mapping[str, int]]]] = {}
        async with self._connections.reading() as connection:
            for place, name, total, first_byte in await connection.execute(statement):
                totals, first_bytes = found.setdefault((place, name), ([], []))
                totals.append(total)
                first_bytes.append(first_byte)
        made = [Durations(*group, joined(totals), joined(firsts)) for group, (totals, firsts) in found.items()]
        return tuple(sorted(made, key=lambda each: (-each.total.total, each.place, each.name)))

    async def newest(self, limit: int) -> tuple[NewRequest, ...]:
        """The newest requests on record with the models they called, the newest first."""
        columns = requests.c
        chosen = [columns[name] for name in _LINE]
        async with self._connections.reading() as connection:
            statement = select(*chosen).order_by(columns.started_at.desc(), columns.id.desc()).limit(limit)
            lines = (await connection.execute(statement)).mappings().all()
            if not lines:
                return ()
            called = (
                select(draws.c.request_id, draws.c.model)
                .where(
                    draws.c.started_at >= lines[-1]["started_at"], draws.c.request_id.in_([row["id"] for row in lines])
                )
                .order_by(draws.c.request_id, draws.c.number)
            )
            models: dict[str, dict[str, None]] = {}
            for request_id, model in await connection.execute(called):
                models.setdefault(request_id, {})[model] = None
        return tuple(_line(row, models.get(row["id"], {})) for row in lines)

    async def names(self, key_ids: Iterable[str]) -> dict[str, KeyName]:
        """The names of keys by their ids, revoked ones included; those of no key are left out."""
        statement = (
            select(keys.c.id, keys.c.name, keys.c.team_id, teams.c.name.label("team"))
            .outerjoin(teams, teams.c.id == keys.c.team_id)
            .where(keys.c.id.in_(sorted(set(key_ids))))
        )
        async with self._connections.reading() as connection:
            return {row.id: KeyName(row.name, row.team_id, row.team) for row in await connection.execute(statement)}

    async def allowances(self, limit: int) -> tuple[Allowance, ...]:
        """The budgets of keys that are not revoked and of teams that are not deleted, the largest first."""
        found = [
            select(
                literal(kind).label("kind"), budgets.c.account, table.c.name, budgets.c.period, budgets.c.amount_nanos
            )
            .join(table, budgets.c.account == literal(f"{kind}:").concat(table.c.id))
            .where(ended.is_(None))
            for kind, table, ended in (("key", keys, keys.c.revoked_at), ("team", teams, teams.c.deleted_at))
        ]
        every = union_all(*found).subquery()
        statement = select(every).order_by(every.c.amount_nanos.desc(), every.c.account).limit(limit)
        async with self._connections.reading() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return tuple(
            Allowance(row["account"], row["kind"], row["name"], Period(row["period"]), from_nanos(row["amount_nanos"]))
            for row in rows
        )


_LINE: Final = (
    "id", "started_at", "key_id", "model_asked", "policy", "arm", "category", "difficulty",
    "result", "status", "cost_nanos", "is_cost_complete", "total_s", "first_byte_s",
)  # fmt: skip


def _line(row: RowMapping, models: Iterable[str]) -> NewRequest:
    told = dict(row)
    cost = from_nanos(told.pop("cost_nanos"))
    return NewRequest(**{**told, "result": Result(told["result"])}, cost=cost, models=tuple(models))


def _sums(rows: Sequence[RowMapping]) -> tuple[Sum, ...]:
    found: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        summed = found.setdefault((row["place"], row["name"]), [0] * 6)
        count = int(row["count"])
        summed[0] += count
        summed[1] += count if row["result"] in BROKEN else 0
        for place, each in enumerate(("unpriced", "cost_nanos", "prompt_tokens", "output_tokens"), start=2):
            summed[place] += int(row[each])
    made = [
        Sum(place, name, count, broken, unpriced, from_nanos(nanos), prompt, output)
        for (place, name), (count, broken, unpriced, nanos, prompt, output) in found.items()
    ]
    return tuple(sorted(made, key=lambda each: (-each.cost, -each.count, each.place, each.name)))
