"""A server that stops: what it cuts off, and who knows."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from gateway.domain.chat import Dialect
from gateway.http.asgi import Receive, Scope, Send
from gateway.http.draining import DrainingServer
from tests.flow.scripted import Kept, ScriptedUpstream, house_of


async def test_a_request_that_is_cut_off_knows_that_the_gateway_stops() -> None:
    """While requests may still end nothing is said; once they are cancelled, the house knows why."""
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT), Kept())
    begun = asyncio.Event()
    known: list[bool] = []

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        known.append(house.is_stopping)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            known.append(house.is_stopping)

    configuration = uvicorn.Config(never, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = DrainingServer(configuration, house)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        _, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await begun.wait()
        server.should_exit = True
        await serving
    writer.close()
    assert known == [False, True]
