"""A server that stops: what it cuts off, and who knows."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from gateway.domain.chat import Dialect
from gateway.http.asgi import Receive, Scope, Send
from gateway.http.draining import DrainingServer
from tests.flow.scripted import Kept, ScriptedUpstream, house_of


async def test_notice_is_given_before_the_door_closes() -> None:
    """A server that was told to stop takes connections for a while, says it leaves, and asks clients to close."""
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT), Kept())
    known: list[bool] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        known.append(house.is_leaving)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    configuration = uvicorn.Config(answer, lifespan="off", log_config=None)
    server = DrainingServer(configuration, house, notice_s=30)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        serving = asyncio.create_task(server.serve([listening]))
        before = await _heads_of(address)
        server.should_exit = True
        while not house.is_leaving:  # noqa: ASYNC110  a flag of the house, which tells nobody
            await asyncio.sleep(0)
        during = await _heads_of(address)
        server.force_exit = True  # in haste: the rest of the notice is not waited for
        await serving
    assert known == [False, True]
    assert (b"connection: close" in before, b"connection: close" in during) == (False, True)
    assert b"date: " in during


async def _heads_of(address: tuple[str, int]) -> bytes:
    """The head of an answer on a connection of its own."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return head


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
