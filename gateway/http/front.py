"""The front: one ASGI application that sends dialect requests straight on and the rest to FastAPI.

Administration goes through its gate. With a port of its own, it is not served on the other one,
and nothing but it and health is served on its own.

Decisions are taken from the scope's path, never from the Host header or a rebuilt URL
(CVE-2026-48710).
"""

from __future__ import annotations

from gateway.errors import NotFound
from gateway.http.asgi import ASGIApp, Receive, Scope, Send
from gateway.http.dialects import ENDPOINTS, DialectEndpoints
from gateway.http.faults import dialect_of, error_response

_PRIVATE = ("/admin", "/metrics", "/dashboard")
_ANYWHERE = ("/health", "/openapi.json")


class Front:
    """The outermost application below :class:`gateway.http.faults.LastResort`."""

    def __init__(
        self,
        dialects: DialectEndpoints,
        rest: ASGIApp,
        admin: ASGIApp,
        dashboard: ASGIApp,
        *,
        admin_port: int | None = None,
    ) -> None:
        self._dialects = dialects
        self._rest = rest
        self._admin = admin
        self._dashboard = dashboard
        self._admin_port = admin_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event: HTTP requests and the server's lifespan."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        path = scope["path"]
        # The server's own socket says which port it was; nothing that the client sent does.
        if self._admin_port is not None and not _is_served_at(
            path, is_admin_port=scope["server"][1] == self._admin_port
        ):
            await _refuse(path, send)
            return
        endpoint = ENDPOINTS.get(path)
        if endpoint is not None:
            await self._dialects(endpoint, scope, receive, send)
        elif _is_below("/admin", path):
            await self._admin(scope, receive, send)
        elif _is_below("/dashboard", path):
            await self._dashboard(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def _is_below(folder: str, path: str) -> bool:
    return path.startswith(folder) and path[len(folder) : len(folder) + 1] in ("", "/")


def _is_served_at(path: str, *, is_admin_port: bool) -> bool:
    is_private = any(_is_below(each, path) for each in _PRIVATE)
    return is_private is is_admin_port or any(_is_below(each, path) for each in _ANYWHERE)


async def _refuse(path: str, send: Send) -> None:
    error = NotFound("no such path at this port; PONDER_ADMIN_PORT has /admin, /metrics and /dashboard for itself")
    status, headers, body = error_response(error, dialect_of(path), "-")
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
