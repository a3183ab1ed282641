"""Keys, teams and their budgets: who may call, what they may spend and have spent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.domain.key import Role
from gateway.domain.limits import Period
from gateway.errors import InvalidRequest
from gateway.http.admin import budgets, keys
from gateway.http.admin.bodies import BudgetBody, NewKey
from gateway.http.dashboard import forms
from gateway.http.dashboard.authors import author, may
from gateway.http.dashboard.board import Board
from gateway.http.dashboard.budgets import used_budgets
from gateway.http.dashboard.entrance import FORM, VISITOR
from gateway.http.dashboard.pages import Pages

_LISTED = 200
_Change: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]


def routes(board: Board, pages: Pages) -> list[Route]:
    """The page, and what can be changed from it: each change by the admin API's own function."""
    desk = board.desk

    async def page(request: Request) -> Response:
        return HTMLResponse(await _page(board, pages, request))

    async def issue(request: Request) -> Response:
        form = request.scope[FORM]
        said = {name: form.get(name, "") for name in ("name", "team", "role", "policy")}
        issued = await keys.create(forms.read(NewKey, **said), author(request, board, Role.ADMIN), desk)
        return HTMLResponse(await _page(board, pages, request, issued=issued), 201)

    async def revoke(request: Request) -> Response:
        by = author(request, board, Role.OPERATOR)
        await keys.revoke(forms.reference(request.path_params["key"]), by, desk)
        return RedirectResponse("/dashboard/keys", 303)

    def set_budget(change: Callable[..., Coroutine[Any, Any, object]]) -> _Change:
        async def changed(request: Request) -> Response:
            by, form = author(request, board, Role.OPERATOR), request.scope[FORM]
            said = {name: form.get(name, "") for name in ("amount_usd", "soft_share")}
            body = forms.read(BudgetBody, **said)
            await change(forms.reference(request.path_params["owner"]), _period(form.get("period", "")), body, by, desk)
            return RedirectResponse("/dashboard/keys", 303)

        return changed

    def remove_budget(change: Callable[..., Coroutine[Any, Any, object]]) -> _Change:
        async def changed(request: Request) -> Response:
            by, period = author(request, board, Role.OPERATOR), _period(request.scope[FORM].get("period", ""))
            await change(forms.reference(request.path_params["owner"]), period, by, desk)
            return RedirectResponse("/dashboard/keys", 303)

        return changed

    changes: dict[str, _Change] = {
        "/dashboard/keys": issue,
        "/dashboard/keys/{key}/revoke": revoke,
        "/dashboard/keys/{owner}/budget": set_budget(budgets.set_of_key),
        "/dashboard/keys/{owner}/budget/remove": remove_budget(budgets.remove_of_key),
        "/dashboard/teams/{owner}/budget": set_budget(budgets.set_of_team),
        "/dashboard/teams/{owner}/budget/remove": remove_budget(budgets.remove_of_team),
    }
    return [
        Route("/dashboard/keys", page, methods=["GET"]),
        *(Route(path, change, methods=["POST"]) for path, change in changes.items()),
    ]


async def _page(board: Board, pages: Pages, request: Request, *, issued: object = None) -> str:
    desk = board.desk
    found, teams, used = await asyncio.gather(
        desk.keys.page(limit=_LISTED, after=_after(request)), desk.teams.page(limit=_LISTED), used_budgets(board)
    )
    return await pages.render(
        "keys.html",
        visitor=request.scope[VISITOR],
        here="keys",
        title="Keys and budgets",
        keys=found,
        teams=teams,
        team_names={team.id: team.terms.name for team in teams},
        used={(each.account, each.period): each for each in used},
        periods=[period.value for period in Period],
        roles=[role.value for role in Role],
        policies=sorted(desk.policies()),
        issued=issued,
        next_after=found[-1].id if len(found) == _LISTED else None,
        may_operate=may(request, Role.OPERATOR),
        may_administer=may(request, Role.ADMIN),
    )


def _after(request: Request) -> str | None:
    after = request.query_params.get("after")
    return None if after is None else forms.reference(after)


def _period(given: str) -> Period:
    try:
        return Period(given)
    except ValueError:
        raise InvalidRequest(f"a budget is for one of: {', '.join(Period)}", param="period") from None
