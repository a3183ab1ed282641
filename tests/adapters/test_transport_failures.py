"""Calls that fail, are cancelled or share a pool: the error's class and cost, and nothing left behind."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import UpstreamFailed, UpstreamTimedOut
from tests.adapters.odd_loop import OddLoop, on_odd_loop
from tests.adapters.raw_server import PATIENCE_S, Peer, RawServer, answer, answering, open_sockets, until
from tests.adapters.transport_calls import CHUNKED, PROMPT, answered, call, failure, post, transport_for
from tests.adapters.wire_ends import repeat

BREAKS: dict[str, tuple[bytes, str]] = {
    "closed": (b"", "closed the connection before answering"),
    "half a head": (b"HTTP/1.1 200 OK\r\n", "broke off its answer"),
    "short": (answer(b"hello")[:-1], "broke off its answer"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "not an answer we accept"),
    "compressed": (answer(b"\x1f\x8b", b"content-encoding: gzip"), "compressed its answer"),
    "other protocol": (b"HTTP/1.1 101 x\r\nupgrade: y\r\nconnection: upgrade\r\n\r\n", "change of protocol"),
    "echo": (PROMPT, "not an answer we accept"),
    "echo in head": (b"HTTP/1.1 200 OK\r\n" + PROMPT + b"\r\n\r\n", "not an answer we accept"),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_broken_answers(name: str) -> None:
    """A broken answer is a failure that may have cost something, told without what it echoed."""
    said, words = BREAKS[name]

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(said)

    async with RawServer(serve) as server:
        error = await failure(transport_for(server.url))
        assert type(error) is UpstreamFailed
        assert words in error.message
        assert not error.is_unbilled


async def test_an_upstream_that_is_away() -> None:
    """Nothing was sent, so nothing can have been charged."""
    async with RawServer(answering(answer())) as server:
        url = server.url
    error = await failure(transport_for(url))
    assert type(error) is UpstreamFailed
    assert "connection refused" in error.message
    assert error.is_unbilled


def test_a_host_that_does_not_exist() -> None:
    """A wrong name is told apart from a server that is away."""

    async def test(_: OddLoop) -> None:
        error = await failure(transport_for("http://nowhere.test"))
        assert "host not found" in error.message
        assert error.is_unbilled

    on_odd_loop(test)


async def test_an_untrusted_upstream() -> None:
    """An upstream whose TLS fails is told apart from one that is away."""

    async def serve(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.say(answer(status=b"400 Bad Request"))
        await peer.until_left()

    async with RawServer(serve) as server:
        error = await failure(transport_for(server.url.replace("http:", "https:")))
        assert "no TLS connection" in error.message
        assert error.is_unbilled
    assert not server.asked


@pytest.mark.parametrize("times", [{"deadline_s": 0.1}, {"first_byte_s": 0.1}], ids=["deadline", "first byte"])
async def test_no_answer_in_time(times: dict[str, float]) -> None:
    """The wait for an answer ends at its own time and at the call's."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.until_left()

    async with RawServer(serve) as server:
        error = await failure(transport_for(server.url), **times)
        assert type(error) is UpstreamTimedOut
        assert not error.is_unbilled


@pytest.mark.parametrize("times", [{"deadline_s": 0.2}, {"idle_s": 0.1}], ids=["deadline", "idle"])
async def test_no_end_in_time(times: dict[str, float]) -> None:
    """A body that trickles meets the call's deadline, and one that stops is given up sooner."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(CHUNKED)
        while "deadline_s" in times:
            await peer.say(b"1\r\nx\r\n")
            await asyncio.sleep(0.01)
        await peer.until_left()

    async with RawServer(serve) as server:
        error = await failure(transport_for(server.url), **times)
        assert type(error) is UpstreamTimedOut
        assert not error.is_unbilled


async def test_a_flood_meets_the_deadline() -> None:
    """A stream that never ends and never pauses ends at the call's deadline all the same."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(CHUNKED)
        await repeat(peer, b"1000\r\n" + b"x" * 4096 + b"\r\n")

    async def listen(url: str) -> None:
        async with post(transport_for(url), deadline_s=0.2) as reply:
            async for _ in reply.chunks():
                pass

    async with RawServer(serve) as server, asyncio.timeout(PATIENCE_S):
        with pytest.raises(UpstreamTimedOut):
            await listen(server.url)


async def test_no_connection_in_time() -> None:
    """A call that never got a connection cost nothing."""
    release = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await release.wait()
        await peer.say(answer())

    async with RawServer(serve) as server:
        transport = transport_for(server.url, connections=1)
        busy = asyncio.ensure_future(answered(transport))
        await asyncio.sleep(0)
        error = await failure(transport, deadline_s=0.05)
        assert type(error) is UpstreamTimedOut
        assert error.is_unbilled
        release.set()
        assert await busy == b"{}"
        await transport.close()


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    """Cancelled at any step, a call closes or returns its connection, and the next call is served."""
    large = b"x" * 300_000
    before = open_sockets()
    async with RawServer(answering(answer(large))) as server:
        transport = transport_for(server.url, connections=1)
        steps = 0
        while True:
            steps += 1
            calling = asyncio.ensure_future(answered(transport))
            for _ in range(steps):
                await asyncio.sleep(0)
            if not calling.cancel():
                break
            await asyncio.gather(calling, return_exceptions=True)
            assert await answered(transport) == large
        assert await calling == large
        await transport.close()
    await asyncio.sleep(0.01)
    assert open_sockets() == before


async def test_a_reload_spares_calls_under_way() -> None:
    """Closing a transport ends no call, and its connections go when their calls end."""
    go_on = asyncio.Event()
    before = open_sockets()

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await go_on.wait()
        await peer.say(answer(b"done"))
        await peer.until_left()

    async with RawServer(serve) as server:
        transport = transport_for(server.url)
        calling = asyncio.ensure_future(answered(transport))
        await until(lambda: server.asked)
        await transport.close()
        go_on.set()
        assert await calling == b"done"
        assert await answered(transport) == b"done"
        assert server.connections == 2
    await asyncio.sleep(0.01)
    assert open_sockets() == before


async def test_a_reply_keeps_its_own_head() -> None:
    """A reply that was left still tells its own status and headers, whoever uses the connection now."""
    async with RawServer(answering(answer(b"{}", b"x-request-id: 1"), answer(b"{}", b"x-request-id: 2"))) as server:
        transport = transport_for(server.url, connections=1)
        async with post(transport) as first:
            await first.read()
        async with post(transport) as second:
            assert (first.headers["x-request-id"], second.headers["x-request-id"]) == ("1", "2")
        await transport.close()


async def test_leaving_twice_harms_nobody() -> None:
    """A call that is left a second time does not touch the connection, which serves another by then."""
    async with RawServer(answering(answer(b"{}"), answer(b"x" * 300_000))) as server:
        transport = transport_for(server.url, connections=1)
        first = post(transport)
        await (await first.__aenter__()).read()
        await first.__aexit__(None, None, None)
        async with post(transport) as second:
            await first.__aexit__(None, None, None)
            assert len(await second.read()) == 300_000
        await transport.close()


async def test_many_calls_share_few_connections() -> None:
    """More calls than connections take turns, and each gets its own answer."""

    async def serve(peer: Peer) -> None:
        while True:
            asked = await peer.asked()
            await peer.say(answer(asked.body))

    async with RawServer(serve) as server:
        transport = transport_for(server.url, connections=3)

        async def one(number: int) -> None:
            body = b"%d" % number
            async with transport.post(call(body), {}) as reply:
                assert await reply.read() == body

        await asyncio.gather(*(one(number) for number in range(100)))
        assert server.connections == 3
        await transport.close()
