"""Kept connections that close just as they are used again: one more try, where nothing can have been answered."""

from __future__ import annotations

import pytest

from gateway.errors import UpstreamFailed, UpstreamTimedOut
from tests.adapters.odd_loop import OddLoop, on_odd_loop
from tests.adapters.raw_server import Peer, RawServer, Serve, answer, answering
from tests.adapters.transport_calls import answered, transport_for


def stale(then: bytes = b"") -> Serve:
    """Serve one request on the first connection, and meet the next one there with ``then`` and a close."""

    async def serve(peer: Peer) -> None:
        if peer.number > 1:
            await answering(answer(b"fresh"))(peer)
        await peer.asked()
        await peer.say(answer(b"first"))
        await peer.asked()
        await peer.say(then)

    return serve


@pytest.mark.parametrize(
    "then",
    [
        b"",
        answer(b"idle too long", b"connection: close", status=b"408 Request Timeout"),
        b"HTTP/1.0 408 Request Time-out\r\n\r\n<html>",
    ],
    ids=["closed", "408", "408 without length"],
)
async def test_a_kept_connection_that_closes_is_replaced_once(then: bytes) -> None:
    """A call that met the end of an idle connection goes out once more, on a new one."""
    async with RawServer(stale(then)) as server:
        transport = transport_for(server.url, connections=1)
        assert await answered(transport) == b"first"
        assert await answered(transport) == b"fresh"
        assert (server.connections, len(server.asked)) == (2, 3)
        await transport.close()


async def test_a_reset_counts_as_a_close() -> None:
    """A server that resets a connection it had given up is no different."""

    async def serve(peer: Peer) -> None:
        if peer.number > 1:
            await answering(answer(b"fresh"))(peer)
        await peer.asked()
        await peer.say(answer(b"first"))
        await peer.reader.readexactly(10)
        peer.reset()

    async with RawServer(serve) as server:
        transport = transport_for(server.url, connections=1)
        assert await answered(transport) == b"first"
        assert await answered(transport) == b"fresh"
        await transport.close()


async def test_the_second_try_is_the_last() -> None:
    """A server that closes the new connection too has failed."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        if peer.number == 1:
            await peer.say(answer(b"first"))
            await peer.asked()

    async with RawServer(serve) as server:
        transport = transport_for(server.url, connections=1)
        assert await answered(transport) == b"first"
        with pytest.raises(UpstreamFailed, match="before answering") as caught:
            await answered(transport)
        assert not caught.value.is_unbilled
        assert len(server.asked) == 3
        await transport.close()


async def test_a_second_try_that_finds_nobody() -> None:
    """When the server is gone after a race, the call may still have cost something."""
    async with RawServer(stale()) as server:
        transport = transport_for(server.url, connections=1)
        assert await answered(transport) == b"first"
        assert server._server is not None
        server._server.close()
        with pytest.raises(UpstreamFailed, match="connection refused") as caught:
            await answered(transport)
        assert not caught.value.is_unbilled
        await transport.close()


@pytest.mark.parametrize("then", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_nothing_is_sent_twice_once_an_answer_has_begun(then: bytes) -> None:
    """After the first byte of an answer the server has the call, and it is not repeated."""
    async with RawServer(stale(then)) as server:
        transport = transport_for(server.url, connections=1)
        assert await answered(transport) == b"first"
        with pytest.raises(UpstreamFailed, match="broke off"):
            await answered(transport)
        assert len(server.asked) == 2
        await transport.close()


async def test_a_new_connection_that_closes_is_no_race() -> None:
    """A server that closes without an answer on a new connection has seen the call."""

    async def serve(peer: Peer) -> None:
        await peer.asked()

    async with RawServer(serve) as server:
        transport = transport_for(server.url, connections=1)
        with pytest.raises(UpstreamFailed, match="before answering"):
            await answered(transport)
        assert len(server.asked) == 1
        await transport.close()


async def test_a_408_to_a_new_connection_is_an_answer() -> None:
    """A server that says 408 on a new connection means our call."""
    async with RawServer(answering(answer(status=b"408 Request Timeout"))) as server:
        transport = transport_for(server.url, connections=1)
        with pytest.raises(UpstreamTimedOut):
            await answered(transport)
        assert len(server.asked) == 1
        await transport.close()


def test_a_server_that_dies_at_work_is_not_asked_again() -> None:
    """A kept connection that closes seconds after the request was not idle: its server may have done the work."""

    async def test(loop: OddLoop) -> None:
        async def serve(peer: Peer) -> None:
            await peer.asked()
            await peer.say(answer(b"first"))
            await peer.asked()
            loop.ahead_s = 5.0

        async with RawServer(serve) as server:
            transport = transport_for(server.url, connections=1)
            assert await answered(transport) == b"first"
            with pytest.raises(UpstreamFailed, match="before answering"):
                await answered(transport)
            assert len(server.asked) == 2
            await transport.close()

    on_odd_loop(test)
