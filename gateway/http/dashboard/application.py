"""The dashboard put together: its addresses, and what each answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route, Router

from gateway.errors import NotFound
from gateway.flow.house import House
from gateway.http.admin.desk import Desk
from gateway.http.asgi import ASGIApp, Receive, Scope, Send
from gateway.http.dashboard import assets, changes, keys, overview, policies, profiles, requests, runs, savings
from gateway.http.dashboard.board import Board, OutcomeLog, RequestLog
from gateway.http.dashboard.entrance import COOKIE, FORM, SIGN_IN, VISITOR, Entrance, is_secure, session_token
from gateway.http.dashboard.pages import Pages, Parts
from gateway.http.dashboard.reader import Reader, ReadSessions
from gateway.http.dashboard.visitors import SESSION_S, Ring, Visitors
from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.savings import StoredSavings
from gateway.store.sessions import StoredSessions
from gateway.store.traffic import Traffic

_A_YEAR_S: Final = 31_536_000
_CONNECTIONS: Final = 2
_PAGES: Final = (policies, profiles, savings, runs, keys, changes)


@dataclass(frozen=True, slots=True)
class Looks:
    """How the dashboard gets at the database: what takes a processor's time in a process of its own, the rest here."""

    reader: Reader
    connections: Connections

    @classmethod
    def at(cls, url: str) -> Looks:
        """Looks at the database of this address; nothing is opened or started before it is needed."""
        return cls(Reader(url), Connections(locate(url), most=_CONNECTIONS))

    async def close(self) -> None:
        """End the process and close the connections."""
        await self.reader.close()
        await self.connections.close()


def open_dashboard(
    house: House, desk: Desk, ring: Ring, looks: Looks, *, log: RequestLog, outcomes: OutcomeLog
) -> ASGIApp:
    """Everything below ``/dashboard``."""
    reader, connections = looks.reader, looks.connections
    visitors = Visitors(ring, ReadSessions(StoredSessions(connections), reader), desk.pepper, desk.clock)
    traffic, savings = Traffic(connections), StoredSavings(connections)
    return _dashboard(Board(house, desk, visitors, reader, traffic, savings, log, outcomes))


def _dashboard(board: Board) -> ASGIApp:
    pages, parts = Pages(board.house.clock), Parts(board.house.clock)
    routes = [
        Route("/dashboard/static/{name}", _static),
        *_signing(board, pages),
        *overview.routes(board, pages, parts),
        *requests.routes(board, pages, parts),
        *(route for each in _PAGES for route in each.routes(board, pages)),
    ]
    router = Router(routes, redirect_slashes=False, default=_nowhere)
    return Entrance(router, board.house, board.visitors, pages, on_change=parts.forget)


async def _static(request: Request) -> Response:
    found = assets.find(request.path_params["name"])
    if found is None:
        raise NotFound("the dashboard has no such file")
    lasting = f"public, max-age={_A_YEAR_S}, immutable"
    return Response(found.content, media_type=found.kind, headers={"cache-control": lasting})


async def _nowhere(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotFound("the dashboard has no such page; its pages are in the line at the top")


def _signing(board: Board, pages: Pages) -> list[Route]:
    visitors = board.visitors

    async def form(request: Request) -> Response:
        if request.scope[VISITOR] is not None:
            return RedirectResponse("/dashboard", 303)
        return HTMLResponse(await pages.render("sign_in.html", visitor=None, here="", title="Sign in"))

    async def sign_in(request: Request) -> Response:
        address = "" if request.client is None else request.client.host
        token = await visitors.sign_in(request.scope[FORM].get("key", "").strip(), address)
        response = RedirectResponse("/dashboard", 303)
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(SESSION_S),
            path="/dashboard",
            secure=is_secure(request.scope),
            httponly=True,
            samesite="strict",
        )
        return response

    async def sign_out(request: Request) -> Response:
        token = session_token(request.headers)
        if token is not None:
            await visitors.sign_out(token)
        response = RedirectResponse(SIGN_IN, 303)
        response.delete_cookie(COOKIE, path="/dashboard", httponly=True, samesite="strict")
        return response

    return [
        Route(SIGN_IN, form, methods=["GET"]),
        Route(SIGN_IN, sign_in, methods=["POST"]),
        Route("/dashboard/sign-out", sign_out, methods=["POST"]),
    ]
