"""Requests one by one: a list to look through, and for each the decision, the calls and the search on record."""

from __future__ import annotations

import uuid

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.domain.identity import id_time
from gateway.domain.record import Result
from gateway.errors import InvalidRequest, NotFound
from gateway.http.dashboard import forms
from gateway.http.dashboard.board import Board
from gateway.http.dashboard.entrance import VISITOR
from gateway.http.dashboard.pages import Pages, Parts
from gateway.http.dashboard.search_drawing import search_tree
from gateway.policy.explain import describe_arm

_LISTED = 100
_SOUGHT_S = 7 * 86_400.0
_SHARED_S = 3.0
"""So long a list is shared by all who look for the same."""
_FIELDS = ("key", "model", "arm", "category", "result")


def routes(board: Board, pages: Pages, parts: Parts) -> list[Route]:
    """The list, and one request."""

    async def page(request: Request) -> Response:
        if sought := request.query_params.get("id", "").strip():
            return RedirectResponse(f"/dashboard/requests/{_identity(sought)}", 303)
        return HTMLResponse(await _listed(board, pages, parts, request))

    async def one(request: Request) -> Response:
        record = await board.log.find(_identity(request.path_params["id"]))
        if record is None:
            raise NotFound("no request with this id is on record; it may take a moment to get there")
        begun_at = id_time(record.id)
        outcomes = (
            () if begun_at is None else await board.outcomes.of_request(record.id, begun_at, key_id=record.key_id)
        )
        names = await board.traffic.names([record.key_id])
        return HTMLResponse(
            await pages.in_thread(
                lambda: pages.draw(
                    "request.html",
                    visitor=request.scope[VISITOR],
                    here="requests",
                    title=f"Request {record.id}",
                    record=record,
                    name=names.get(record.key_id),
                    outcomes=outcomes,
                    tree=None if record.search is None or not record.search.draws else search_tree(record.search.draws),
                    describe_arm=describe_arm,
                )
            )
        )

    return [
        Route("/dashboard/requests", page, methods=["GET"]),
        Route("/dashboard/requests/{id}", one, methods=["GET"]),
    ]


async def _listed(board: Board, pages: Pages, parts: Parts, request: Request) -> Markup:
    """The newest requests that are like those that are looked for."""
    chosen = {name: request.query_params.get(name, "").strip() for name in _FIELDS}
    after = request.query_params.get("after")
    # What has no index is looked for in the latest days alone, or a rare word would read the whole log.
    is_bounded = any(chosen[name] for name in _FIELDS if name != "key")
    key_id = (await board.desk.keys.find(forms.reference(chosen["key"]))).id if chosen["key"] else None
    sought = {
        "key_id": key_id,
        "model_asked": forms.text(chosen["model"]),
        "arm": forms.text(chosen["arm"]),
        "category": forms.text(chosen["category"]),
        "result": _result(chosen["result"]),
        "after": None if after is None else _identity(after),
    }
    since = board.desk.clock.now() - _SOUGHT_S if is_bounded else None
    lines = await parts.get(
        ("requests", *chosen.values(), *sought.values()),
        for_s=_SHARED_S,
        make=lambda: board.reader.draw("listed", chosen=chosen, sought={**sought, "since": since}, limit=_LISTED),
    )
    return await pages.render(
        "requests.html",
        visitor=request.scope[VISITOR],
        here="requests",
        title="Requests",
        lines=lines,
        chosen=chosen,
        results=[result.value for result in Result],
    )


def _identity(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InvalidRequest(
            "a request's id is a UUID, as the answer's x-ponder-request-id header has it", param="id"
        ) from None


def _result(given: str) -> Result | None:
    if not given:
        return None
    try:
        return Result(given)
    except ValueError:
        raise InvalidRequest(f"requests end as one of: {', '.join(Result)}", param="result") from None
