"""What looks at the log: each view is looked up and drawn whole, in the dashboard's own process.

What comes in and goes out is JSON's, so that it passes between processes; :mod:`gateway.http.dashboard.reader` is
where the gateway asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.limits import Period, period_start
from gateway.domain.money import ZERO, Usd, usd
from gateway.domain.record import Result
from gateway.http.dashboard.drawing import spend_by_hour
from gateway.http.dashboard.pages import Pages
from gateway.ports import Clock
from gateway.store.requests import Filter, Requests
from gateway.store.sessions import StoredSessions
from gateway.store.traffic import Durations, KeyName, Sum, Traffic
from gateway.store.traffic_counts import HOUR_S, Facet, hour_of

BY: Final = {"key": Facet.KEY, "team": Facet.KEY, "model": Facet.MODEL, "category": Facet.CATEGORY, "arm": Facet.ARM}
"""What spending is summed by."""
_DAY_S: Final = 86_400.0
_WEEK_HOURS: Final = 7 * 24
_NEWEST: Final = 25
GROUPS: Final = 30
"""So many groups are listed; what the others came to is one line."""


@dataclass(frozen=True, slots=True)
class Group:
    """A line of the table of spending; ``target`` is where its page is, if it has one."""

    name: str
    place: str
    today: Usd
    week: Usd
    count: int
    broken: int
    unpriced: int


@dataclass(frozen=True, slots=True)
class Views:
    """The views of one database."""

    traffic: Traffic
    requests: Requests
    sessions: StoredSessions
    pages: Pages
    clock: Clock

    async def session(self, digest: str) -> dict[str, Any] | None:
        """The session with this digest, in hexadecimal as its secret is; None for none."""
        found = await self.sessions.find(bytes.fromhex(digest))
        if found is None:
            return None
        return {"secret": found.secret.hex(), "created_at": found.created_at, "expires_at": found.expires_at}

    async def live(self, under_way: int) -> str:
        """The newest requests."""
        newest = await self.traffic.newest(_NEWEST)
        names = await self.traffic.names(each.key_id for each in newest)
        return self.pages.draw("live.html", requests=newest, names=names, under_way=under_way)

    async def listed(self, chosen: Mapping[str, str], sought: Mapping[str, Any], limit: int) -> str:
        """The newest requests that are like those that are looked for; ``sought`` has the fields of a ``Filter``."""
        result = sought.get("result")
        wanted = Filter(**{**sought, "result": None if result is None else Result(result)})
        found = await self.requests.recent(wanted, limit=limit)
        names = await self.traffic.names(each.key_id for each in found)
        last = found[-1].id if len(found) == limit else None
        return self.pages.draw("request_lines.html", requests=found, names=names, chosen=chosen, next_after=last)

    async def spending(self, by: str) -> str:
        """Today and the last seven days."""
        traffic, now = self.traffic, self.clock.now()
        midnight, until = period_start(Period.DAY, now), hour_of(now) + HOUR_S
        since = until - _WEEK_HOURS * HOUR_S
        facet = BY[by]
        standing, hours, week, today, all_week, all_today = await asyncio.gather(
            traffic.standing(),
            traffic.hours(since, until),
            traffic.sums(facet, since, until),
            traffic.sums(facet, midnight, until),
            traffic.sums(Facet.ALL, since, until),
            traffic.sums(Facet.ALL, midnight, until),
        )
        names = await traffic.names(each.name for each in week) if facet is Facet.KEY else {}
        groups = _groups(week, today, names, by_team=by == "team")
        return self.pages.draw(
            "spending.html",
            by=by,
            choices=tuple(BY),
            groups=groups[:GROUPS],
            others=_together(groups[GROUPS:]),
            week=_total(all_week),
            today=_total(all_today),
            chart=spend_by_hour(hours, since, _WEEK_HOURS),
            standing=standing,
        )

    async def durations(self) -> str:
        """How long answers took in the last day, by arm and by model."""
        until = hour_of(self.clock.now()) + HOUR_S
        since = until - _DAY_S
        whole, arms, models = await asyncio.gather(
            *(self.traffic.durations(facet, since, until) for facet in (Facet.ALL, Facet.ARM, Facet.MODEL))
        )
        return self.pages.draw("durations.html", tables=_quantiles(whole, arms, models))

    async def upstreams(self, lines: Sequence[Mapping[str, Any]], degraded: Sequence[str]) -> str:
        """Each upstream as the gateway sees it now, beside what came of its calls in the last day."""
        until = hour_of(self.clock.now()) + HOUR_S
        sums = await self.traffic.sums(Facet.MODEL, until - _DAY_S, until)
        told = [
            {
                **line,
                "calls": sum(each.count for each in sums if each.place == line["name"]),
                "broken": sum(each.broken for each in sums if each.place == line["name"]),
            }
            for line in lines
        ]
        return self.pages.draw("upstreams.html", lines=told, degraded=degraded)


def _groups(week: Sequence[Sum], today: Sequence[Sum], names: dict[str, KeyName], *, by_team: bool) -> list[Group]:
    """What each group cost, the dearest of the week first; keys of one team together, where teams are asked for."""

    def told(each: Sum) -> tuple[str, str]:
        known = names.get(each.name)
        if by_team:
            return "", (known.team or "") if known else ""
        return each.place, known.name if known else each.name

    spent_today: dict[tuple[str, str], Usd] = {}
    for each in today:
        spent_today[told(each)] = usd(spent_today.get(told(each), ZERO) + each.cost)
    found: dict[tuple[str, str], list[Sum]] = {}
    for each in week:
        found.setdefault(told(each), []).append(each)
    made = [
        Group(
            name=name,
            place=place,
            today=spent_today.get((place, name), ZERO),
            week=usd(sum((each.cost for each in sums), ZERO)),
            count=sum(each.count for each in sums),
            broken=sum(each.broken for each in sums),
            unpriced=sum(each.unpriced for each in sums),
        )
        for (place, name), sums in found.items()
    ]
    return sorted(made, key=lambda group: (-group.week, -group.count, group.place, group.name))


def _together(groups: Sequence[Group]) -> Group | None:
    """One line for many groups; None for none."""
    if not groups:
        return None
    return Group(
        name=f"{len(groups)} others",
        place="",
        today=usd(sum((each.today for each in groups), ZERO)),
        week=usd(sum((each.week for each in groups), ZERO)),
        count=sum(each.count for each in groups),
        broken=sum(each.broken for each in groups),
        unpriced=sum(each.unpriced for each in groups),
    )


def _total(sums: Sequence[Sum]) -> Sum:
    return sums[0] if sums else Sum("", "", 0, 0, 0, ZERO, 0, 0)


@dataclass(frozen=True, slots=True)
class QuantileLine:
    """Quantiles of one group's durations, in seconds."""

    name: str
    place: str
    count: int
    total: tuple[float | None, ...]
    first_byte: tuple[float | None, ...]


_SHARES: Final = (0.5, 0.9, 0.99)


def _quantiles(whole: Sequence[Durations], arms: Sequence[Durations], models: Sequence[Durations]) -> list[object]:
    return [
        (heading, [_quantile_line(each, heading) for each in found[:GROUPS]])
        for heading, found in (("All requests", whole), ("By arm", arms), ("By model, each call", models))
    ]


def _quantile_line(each: Durations, heading: str) -> QuantileLine:
    return QuantileLine(
        name=each.name or heading,
        place=each.place,
        count=each.total.total,
        total=tuple(each.total.quantile(share) for share in _SHARES),
        first_byte=tuple(each.first_byte.quantile(share) for share in _SHARES),
    )
