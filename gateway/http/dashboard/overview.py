"""The overview: the newest requests with what was decided, spending, durations, and how upstreams are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gateway.errors import InvalidRequest, NotFound, PonderError
from gateway.http.dashboard.board import Board
from gateway.http.dashboard.budgets import used_budgets
from gateway.http.dashboard.entrance import VISITOR
from gateway.http.dashboard.pages import Pages, Parts
from gateway.http.dashboard.views import BY, GROUPS

_LIVE_S: Final = 3.0
_SUMS_S: Final = 10.0
"""So long a part is shared by all readers."""


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
    if by not in BY:
        raise InvalidRequest(f"spending is summed by {', '.join(BY)}", param="by")
    return by


class _Overview:
    """The parts of the page."""

    def __init__(self, board: Board, pages: Pages) -> None:
        self._board = board
        self._pages = pages

    async def live(self) -> Markup:
        """The newest requests."""
        return await self._board.reader.draw("live", under_way=self._board.desk.open_requests())

    async def spending(self, by: str) -> Markup:
        """Today and the last seven days."""
        return await self._board.reader.draw("spending", by=by)

    async def budgets(self) -> Markup:
        """The budgets that are used most."""
        found = await used_budgets(self._board)
        return await self._pages.render("budgets.html", budgets=found[:GROUPS])

    async def durations(self) -> Markup:
        """How long answers took in the last day, by arm and by model."""
        return await self._board.reader.draw("durations")

    async def upstreams(self) -> Markup:
        """Each upstream: what it is asked for, what came of it in the last day, and what policies avoid now."""
        board = self._board
        return await board.reader.draw("upstreams", lines=_upstream_lines(board), degraded=board.desk.degraded())


def _upstream_lines(board: Board) -> list[dict[str, Any]]:
    """What this gateway knows of each upstream by itself."""
    house = board.house
    models: dict[str, int] = dict.fromkeys(house.catalog.upstreams, 0)
    for model in house.catalog.models.values():
        models[model.upstream] = models.get(model.upstream, 0) + 1
    faults = house.health.snapshot().faults
    under_way, waiting = house.lanes.under_way(), house.lanes.waiting()
    return [
        {
            "name": name,
            "models": number,
            "under_way": under_way.get(name, 0),
            "waiting": waiting.get(name, 0),
            "faults": [(model, why) for (upstream, model), why in sorted(faults.items()) if upstream == name],
        }
        for name, number in sorted(models.items())
    ]
