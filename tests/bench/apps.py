"""The two reference servers: the least that a gateway written in Python does, and FastAPI's price on top.

Both read the ask, forward it, read the answer and return it, and do nothing else. ``floor`` is a
FastAPI route and the unit in which the gateway's throughput is reported; ``bare`` is the same on
ASGI alone, and streams too.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from fastapi import FastAPI, Request
from starlette.responses import Response

_UPSTREAM = os.environ["BENCH_UPSTREAM"] + "/v1/chat/completions"
_JSON = {"content-type": "application/json"}

_Message = MutableMapping[str, Any]


def _new_session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=300)
    return aiohttp.ClientSession(connector=connector, auto_decompress=False)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with _new_session() as app.state.session:
        yield


async def _chat(request: Request) -> Response:
    body = await request.body()
    orjson.loads(body)
    async with request.app.state.session.post(_UPSTREAM, data=body, headers=_JSON) as reply:
        answer = await reply.read()
    orjson.loads(answer)["usage"]
    return Response(answer, status_code=reply.status, media_type="application/json")


floor = FastAPI(lifespan=_lifespan)
floor.router.add_route("/v1/chat/completions", _chat, methods=["POST"])


class Bare:
    """An ASGI application without a framework."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Answer one request, or one lifespan."""
        if scope["type"] == "lifespan":
            await receive()
            async with _new_session() as self._session:
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        is_stream = orjson.loads(body).get("stream")
        assert self._session is not None
        async with self._session.post(_UPSTREAM, data=body, headers=_JSON) as reply:
            kind = reply.headers["content-type"].encode()
            if is_stream:
                await send(_start(reply.status, [(b"content-type", kind)]))
                async for chunk in reply.content.iter_any():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
                return
            answer = await reply.read()
        orjson.loads(answer)["usage"]
        length = str(len(answer)).encode()
        await send(_start(reply.status, [(b"content-type", kind), (b"content-length", length)]))
        await send({"type": "http.response.body", "body": answer})


def _start(status: int, headers: list[tuple[bytes, bytes]]) -> _Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


bare = Bare()
