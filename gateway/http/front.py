"""The front: one ASGI application that sends dialect requests straight on and the rest to FastAPI.

Decisions are taken from the scope's path, never from the Host header or a rebuilt URL
(CVE-2026-48710).
"""

from __future__ import annotations

from gateway.http.asgi import ASGIApp, Receive, Scope, Send
from gateway.http.dialects import ENDPOINTS, DialectEndpoints


class Front:
    """The outermost application below :class:`gateway.http.faults.LastResort`."""

    def __init__(self, dialects: DialectEndpoints, rest: ASGIApp) -> None:
        self._dialects = dialects
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event: HTTP requests and the server's lifespan."""
        endpoint = ENDPOINTS.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None:
            await self._rest(scope, receive, send)
        else:
            await self._dialects(endpoint, scope, receive, send)
