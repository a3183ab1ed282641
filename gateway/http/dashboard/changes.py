"""What was changed, by whom: the audit log."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gateway.errors import InvalidRequest
from gateway.http.dashboard.board import Board
from gateway.http.dashboard.entrance import VISITOR
from gateway.http.dashboard.pages import Pages
from gateway.store.changes import AuditEntry

_LISTED = 100
_LARGEST = 2**53


def routes(board: Board, pages: Pages) -> list[Route]:
    """The log, the newest change first."""

    async def page(request: Request) -> Response:
        before = request.query_params.get("before")
        if before is not None and not (before.isdecimal() and int(before) < _LARGEST):
            raise InvalidRequest("the log is read from a change's number on", param="before")
        found = await board.desk.changes.audit(limit=_LISTED, before=None if before is None else int(before))
        names = await board.traffic.names(each.actor for each in found)
        return HTMLResponse(
            await pages.render(
                "changes.html",
                visitor=request.scope[VISITOR],
                here="changes",
                title="Changes",
                lines=[(each, _told(each)) for each in found],
                names=names,
                before=found[-1].number if len(found) == _LISTED else None,
            )
        )

    return [Route("/dashboard/changes", page, methods=["GET"])]


def _told(entry: AuditEntry) -> str:
    """The fields that the change made another, each with what it was and what it is."""
    before, after = dict(entry.before or {}), dict(entry.after or {})
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return "; ".join(f"{name}: {_value(before.get(name))} → {_value(after.get(name))}" for name in names)


def _value(value: Any) -> str:
    return "–" if value is None else str(value)
