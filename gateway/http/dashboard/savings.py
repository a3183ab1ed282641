"""Savings: what each policy's choices saved on its own traffic, beside its reference arm and the shuffled control."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gateway.http.dashboard.board import Board
from gateway.http.dashboard.entrance import VISITOR
from gateway.http.dashboard.pages import Pages


def routes(board: Board, pages: Pages) -> list[Route]:
    """The one page."""

    async def page(request: Request) -> Response:
        found = await board.savings.all()
        return HTMLResponse(
            await pages.render(
                "savings.html", visitor=request.scope[VISITOR], here="savings", title="Savings", found=found
            )
        )

    return [Route("/dashboard/savings", page, methods=["GET"])]
