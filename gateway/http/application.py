"""The ASGI application put together: dialect endpoints in front, FastAPI behind, faults around."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from gateway.domain.identity import new_request_id
from gateway.errors import InvalidRequest, MethodNotAllowed, NotFound, PonderError
from gateway.flow.house import House
from gateway.http.admin.desk import Desk
from gateway.http.admin.gate import AdminGate
from gateway.http.admin.routers import ROUTERS
from gateway.http.asgi import ASGIApp
from gateway.http.dialects import DialectEndpoints, Intake
from gateway.http.faults import LastResort, dialect_of, error_response
from gateway.http.front import Front
from gateway.http.openapi import describe

_ANSWER_HEADERS = (
    *(f"x-ponder-{name}" for name in ("request-id", "policy", "arm", "category", "difficulty", "cost-usd", "degraded")),
    "x-request-id",
    "request-id",
    "retry-after",
)
Lifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def application(
    house: House,
    desk: Desk,
    routers: Sequence[APIRouter],
    *,
    lifespan: Lifespan,
    version: str,
    allow_origins: Sequence[str],
    admin_port: int | None,
    dashboard: ASGIApp,
    intake: Intake | None = None,
) -> ASGIApp:
    """Everything that is served over HTTP. The interactive docs pages stay off: they load from a CDN."""
    rest = FastAPI(
        title="Ponder", version=version, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    rest.state.desk = desk
    for router in (*routers, *ROUTERS):
        rest.include_router(router)
    describe(rest)
    _install_faults(rest, house)
    front = Front(DialectEndpoints(house, intake), rest, AdminGate(rest, house), dashboard, admin_port=admin_port)
    app: ASGIApp = LastResort(front)
    if allow_origins:
        app = CORSMiddleware(
            app,
            allow_origins=list(allow_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=[*_ANSWER_HEADERS],
        )
    return app


def _install_faults(rest: FastAPI, house: House) -> None:
    def respond(request: Request, error: PonderError) -> Response:
        path: str = request.scope["path"]
        status, headers, body = error_response(error, dialect_of(path), new_request_id(house.clock.now()))
        response = Response(body, status)
        response.raw_headers = headers
        return response

    async def ponder_fault(request: Request, error: Exception) -> Response:
        assert isinstance(error, PonderError)  # noqa: S101  registered for this class below
        return respond(request, error)

    async def http_fault(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  registered for this class below
        match error.status_code:
            case 405:
                accepted = (error.headers or {}).get("Allow", "GET")
                return respond(request, MethodNotAllowed(f"this path takes {accepted}", accepted=accepted))
            case 400:
                return respond(request, InvalidRequest("the body cannot be read; it must be a JSON object"))
        return respond(request, NotFound("no such path; GET /openapi.json lists those there are"))

    async def validation_fault(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  registered for this class below
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        return respond(request, InvalidRequest(f"{where}: {first['msg']}", param=where))

    rest.add_exception_handler(PonderError, ponder_fault)
    rest.add_exception_handler(HTTPException, http_fault)
    rest.add_exception_handler(RequestValidationError, validation_fault)
