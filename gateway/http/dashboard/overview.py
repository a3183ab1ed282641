"""The overview: the newest requests with what was decided, spending, durations, and how upstreams are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gateway.domain.limits import Period, period_start
from gateway.domain.money import ZERO, Usd, usd
from gateway.errors import InvalidRequest, NotFound, PonderError
from gateway.http.dashboard.board import Board
from gateway.http.dashboard.budgets import used_budgets
from gateway.http.dashboard.drawing import spend_by_hour
from gateway.http.dashboard.entrance import VISITOR
from gateway.http.dashboard.pages import Pages, Parts
from gateway.store.traffic import Durations, KeyName, Sum
from gateway.store.traffic_counts import HOUR_S, Facet, hour_of

_DAY_S: Final = 86_400.0
_WEEK_HOURS: Final = 7 * 24
_NEWEST: Final = 25
_GROUPS: Final = 30
"""So many groups are listed; what the others came to is one line."""
_LIVE_S: Final = 3.0
_SUMS_S: Final = 10.0
"""So long a part is shared by all readers."""

_BY: Final = {"key": Facet.KEY, "team": Facet.KEY, "model": Facet.MODEL, "category": Facet.CATEGORY, "arm": Facet.ARM}


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
class UpstreamLine:
    """How one upstream is: calls of the last day, and what is under way here now."""

    name: str
    models: int
    calls: int
    broken: int
    under_way: int
    waiting: int
    faults: tuple[tuple[str, str], ...]


def routes(board: Board, pages: Pages, parts: Parts) -> list[Route]:
    """The overview, and its parts for those who have it open."""
    overview = _Overview(board, pages)

    async def live() -> Markup:
        return await parts.get("live", for_s=_LIVE_S, make=overview.live)

    async def spending(by: str) -> Markup:
        return await parts.get(("spending", by), for_s=_SUMS_S, make=lambda: overview.spending(by))

    async def durations() -> Markup:
        return await parts.get("durations", for_s=_SUMS_S, make=overview.durations)

    async def upstreams() -> Markup:
        return await parts.get("upstreams", for_s=_LIVE_S, make=overview.upstreams)

    async def budgets() -> Markup:
        return await parts.get("budgets", for_s=_SUMS_S, make=overview.budgets)

    shared = {"live": live, "budgets": budgets, "durations": durations, "upstreams": upstreams}

    async def whole(request: Request) -> Response:
        by = _chosen(request)
        asked = (spending(by), *(part() for part in shared.values()))
        made = await asyncio.gather(*(or_notice(pages, part) for part in asked))
        page = await pages.render(
            "overview.html",
            visitor=request.scope[VISITOR],
            here="overview",
            title="Overview",
            parts=dict(zip(("spending", *shared), made, strict=True)),
            by=by,
            is_paused="paused" in request.query_params,
        )
        return HTMLResponse(page)

    async def part(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "spending":
            return HTMLResponse(await spending(_chosen(request)))
        if name not in shared:
            raise NotFound(f"the overview has the parts spending, {', '.join(shared)}")
        return HTMLResponse(await shared[name]())

    return [
        Route("/dashboard", whole, methods=["GET"]),
        Route("/dashboard/parts/{name}", part, methods=["GET"]),
    ]


async def or_notice(pages: Pages, part: Awaitable[Markup]) -> Markup:
    """The part; or why there is none now, in its place: what cannot be known keeps nothing else from being shown."""
    try:
        return await part
    except PonderError as error:
        return await pages.render("refused_part.html", error=error)


def _chosen(request: Request) -> str:
    by = request.query_params.get("by", "key")
    if by not in _BY:
        raise InvalidRequest(f"spending is summed by {', '.join(_BY)}", param="by")
    return by


class _Overview:
    """The parts of the page."""

    def __init__(self, board: Board, pages: Pages) -> None:
        self._board = board
        self._pages = pages

    async def live(self) -> Markup:
        """The newest requests."""
        newest = await self._board.traffic.newest(_NEWEST)
        names = await self._board.traffic.names(each.key_id for each in newest)
        return await self._pages.render(
            "live.html", requests=newest, names=names, under_way=self._board.desk.open_requests()
        )

    async def spending(self, by: str) -> Markup:
        """Today and the last seven days."""
        board = self._board
        now = board.desk.clock.now()
        midnight, until = period_start(Period.DAY, now), hour_of(now) + HOUR_S
        since = until - _WEEK_HOURS * HOUR_S
        facet, traffic = _BY[by], board.traffic
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
        return await self._pages.in_thread(
            lambda: self._pages.draw(
                "spending.html",
                by=by,
                choices=tuple(_BY),
                groups=groups[:_GROUPS],
                others=_together(groups[_GROUPS:]),
                week=_total(all_week),
                today=_total(all_today),
                chart=spend_by_hour(hours, since, _WEEK_HOURS),
                standing=standing,
                now_s=now,
            )
        )

    async def budgets(self) -> Markup:
        """The budgets that are used most."""
        found = await used_budgets(self._board)
        return await self._pages.render("budgets.html", budgets=found[:_GROUPS])

    async def durations(self) -> Markup:
        """How long answers took in the last day, by arm and by model."""
        until = hour_of(self._board.desk.clock.now()) + HOUR_S
        since = until - _DAY_S
        whole, arms, models = await asyncio.gather(
            *(self._board.traffic.durations(facet, since, until) for facet in (Facet.ALL, Facet.ARM, Facet.MODEL))
        )
        return await self._pages.in_thread(
            lambda: self._pages.draw("durations.html", tables=_quantiles(whole, arms, models))
        )

    async def upstreams(self) -> Markup:
        """Each upstream: what it is asked for, what came of it in the last day, and what policies avoid now."""
        board = self._board
        until = hour_of(board.desk.clock.now()) + HOUR_S
        calls = await board.traffic.sums(Facet.MODEL, until - _DAY_S, until)
        return await self._pages.render(
            "upstreams.html", lines=_upstream_lines(board, calls), degraded=board.desk.degraded()
        )


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
        (heading, [_quantile_line(each, heading) for each in found[:_GROUPS]])
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


def _upstream_lines(board: Board, calls: Sequence[Sum]) -> list[UpstreamLine]:
    house = board.house
    models: dict[str, int] = dict.fromkeys(house.catalog.upstreams, 0)
    for model in house.catalog.models.values():
        models[model.upstream] = models.get(model.upstream, 0) + 1
    faults = house.health.snapshot().faults
    under_way, waiting = house.lanes.under_way(), house.lanes.waiting()
    return [
        UpstreamLine(
            name=name,
            models=number,
            calls=sum(each.count for each in calls if each.place == name),
            broken=sum(each.broken for each in calls if each.place == name),
            under_way=under_way.get(name, 0),
            waiting=waiting.get(name, 0),
            faults=tuple((model, why) for (upstream, model), why in sorted(faults.items()) if upstream == name),
        )
        for name, number in sorted(models.items())
    ]
