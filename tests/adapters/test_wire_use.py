"""One connection's use: back-pressure, when it may serve again, times, and what ends it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.wire import Broken, Connection
from tests.adapters.raw_server import PATIENCE_S, Peer, RawServer, answer, answering, until
from tests.adapters.wire_ends import CHUNKED, HEAD, OK, ask, connected, fed, repeat, rest, saying


async def fed_answer(connection: Connection) -> None:
    """One exchange on a connection that the test feeds itself."""
    exchange = asyncio.ensure_future(ask(connection))
    await asyncio.sleep(0)
    connection.data_received(answer())
    await exchange


async def test_reading_pauses_while_nobody_reads() -> None:
    """What an upstream sends faster than the client takes it waits in the network, not in our memory."""
    async with fed() as (connection, transport):
        exchange = asyncio.ensure_future(connection.send(HEAD, b"{}", within_s=PATIENCE_S))
        await asyncio.sleep(0)
        connection.data_received(CHUNKED)
        await exchange
        for _ in range(5):
            connection.data_received(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert transport.is_paused
        assert len(await connection.read(within_s=PATIENCE_S)) == 5 * 65536
        assert not transport.is_paused


async def test_a_large_body_arrives_whole_however_slowly_it_is_read() -> None:
    """Pausing and resuming loses nothing, in either direction."""
    large = bytes(range(256)) * 4 * 8192
    async with RawServer(answering(answer(large))) as server, connected(server) as (connection, _):
        await connection.send(HEAD.replace(b" 2\r", b" %d\r" % len(large)), large, within_s=PATIENCE_S)
        pieces = []
        while piece := await connection.read(within_s=PATIENCE_S):
            pieces.append(piece)
            await asyncio.sleep(0)
        assert b"".join(pieces) == large
    assert server.asked[0].body == large


async def test_an_unread_answer_does_not_deafen_the_next_exchange() -> None:
    """A connection whose large answer nobody read serves the next call as if it had been read."""
    large = b"x" * 300_000
    async with RawServer(answering(answer(large), answer(b"next"))) as server, connected(server) as (connection, freed):
        await connection.send(HEAD, b"{}", within_s=PATIENCE_S)
        await until(lambda: connection.is_complete)
        connection.finish()
        assert freed == [connection]
        assert await ask(connection) == b"next"


async def test_bytes_before_the_request_spoil_a_connection() -> None:
    """An answer that comes before anything was asked is nobody's."""

    async def serve(peer: Peer) -> None:
        await peer.say(answer(b"smuggled"))
        await peer.until_left()

    async with RawServer(serve) as server, connected(server) as (connection, freed):
        await freed.reports(1)
        with pytest.raises(Broken) as caught:
            await connection.send(HEAD, b"{}", within_s=PATIENCE_S)
        assert not caught.value.has_begun
        connection.finish()
        assert not connection.is_reused


async def test_a_second_answer_spoils_a_connection() -> None:
    """Of two answers to one request the first stands, and the second is never anyone's."""
    async with (
        RawServer(saying(answer(b"first") + answer(b"second"))) as server,
        connected(server) as (connection, freed),
    ):
        assert await ask(connection) == b"first"
        connection.finish()
        await freed.reports(1)
        assert not connection.is_reused


async def test_stray_bytes_are_noticed_before_the_loop_reads_them() -> None:
    """A connection on which something waits to be read is not quiet, whether bytes or a close."""
    said = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(answer())
        await said.wait()
        await peer.say(b"H")
        await peer.until_left()

    async with RawServer(serve) as server, connected(server) as (connection, freed):
        await ask(connection)
        connection.finish()
        assert connection.is_quiet()
        said.set()
        await freed.reports(2)
        assert not connection.is_quiet()
        assert connection.is_gone


async def test_unread_bytes_of_the_kernel_make_a_connection_unfit() -> None:
    """Bytes that only the kernel knows of so far count as well."""
    async with fed() as (connection, transport):
        assert connection.is_quiet()
        transport._ends[1].send(b"H")
        assert not connection.is_quiet()


@pytest.mark.parametrize("stray", [b"\r\n", b"H", answer()])
async def test_a_connection_that_speaks_unasked_is_given_up(stray: bytes) -> None:
    """Whatever comes after a complete answer, even an empty line, ends the connection's use."""
    async with fed() as (connection, transport):
        await fed_answer(connection)
        connection.finish()
        assert connection.is_quiet()
        connection.data_received(stray)
        assert transport.is_aborted
        assert not connection.is_quiet()


async def test_a_connection_at_its_end_is_not_quiet() -> None:
    """Between the end that a server announced and the loop's farewell, a connection takes no call."""
    async with fed() as (connection, _):
        await fed_answer(connection)
        connection.finish()
        connection.eof_received()
        assert not connection.is_quiet()
        with pytest.raises(Broken):
            await connection.send(HEAD, b"{}", within_s=PATIENCE_S)


async def test_a_left_answer_fills_no_memory() -> None:
    """What still comes of an answer that was left is thrown away, and too much of it ends the connection."""
    async with fed() as (connection, transport):
        sending = asyncio.ensure_future(connection.send(HEAD, b"{}", within_s=PATIENCE_S))
        await asyncio.sleep(0)
        connection.data_received(CHUNKED)
        await sending
        connection.leave()
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        connection.data_received(piece)
        assert not transport.is_aborted
        connection.data_received(piece)
        assert transport.is_aborted
        assert not transport.is_paused


async def test_what_follows_the_last_event_goes_by() -> None:
    """A connection left before its framing came is free once it has come."""
    go_on = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(CHUNKED + b"5\r\nhello\r\n")
        await go_on.wait()
        await peer.say(b"1\r\n \r\n0\r\n\r\n")
        await peer.asked()
        await peer.say(answer(b"next"))

    async with RawServer(serve) as server, connected(server) as (connection, freed):
        await connection.send(HEAD, b"{}", within_s=PATIENCE_S)
        assert await connection.read(within_s=PATIENCE_S) == b"hello"
        connection.leave()
        assert not freed
        go_on.set()
        await freed.reports(1)
        assert await ask(connection) == b"next"


@pytest.mark.parametrize("piece", [b"", b"10\r\n0123456789abcdef\r\n"], ids=["silence", "endless"])
async def test_a_left_answer_that_does_not_end_is_cut(piece: bytes) -> None:
    """Neither silence nor endless bytes after the last event keep a connection."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(CHUNKED + b"5\r\nhello\r\n")
        await (repeat(peer, piece) if piece else peer.until_left())

    async with RawServer(serve) as server, connected(server) as (connection, freed):
        await connection.send(HEAD, b"{}", within_s=PATIENCE_S)
        await connection.read(within_s=PATIENCE_S)
        connection.leave()
        await freed.reports(1)
        assert connection.is_gone


async def test_an_early_answer_to_a_large_request_is_heard() -> None:
    """An answer that comes while the request still goes out counts, and its connection is not used again."""

    async def serve(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(answer(b"too large", status=b"413 Content Too Large"))
        await asyncio.Event().wait()

    async with RawServer(serve) as server, connected(server) as (connection, freed):
        assert await ask(connection, b"x" * 64 * 1024 * 1024) == b"too large"
        assert connection.status == 413
        connection.finish()
        await freed.reports(1)
        assert not connection.is_reused


async def test_an_answer_must_begin_in_time() -> None:
    """Hints and half a head do not count: the time is up when no answer has begun."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
        await peer.until_left()

    async with RawServer(serve) as server, connected(server) as (connection, _):
        with pytest.raises(TimeoutError):
            await connection.send(HEAD, b"{}", within_s=0.05)
        assert connection.is_lost


async def test_a_body_must_go_on_in_time() -> None:
    """Each piece of the body has its own time, also when an earlier one was given more."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(CHUNKED)
        await peer.until_left()

    async with RawServer(serve) as server, connected(server) as (connection, _):
        await connection.send(HEAD, b"{}", within_s=PATIENCE_S)
        with pytest.raises(TimeoutError):
            await connection.read(within_s=0.05)
        assert connection.is_lost


async def test_a_timer_of_an_earlier_wait_ends_no_later_one() -> None:
    """A timer that is still running from before does not shorten what was given since."""
    async with fed() as (connection, _):
        exchange = asyncio.ensure_future(connection.send(HEAD, b"{}", within_s=0.3))
        await asyncio.sleep(0)
        connection.data_received(CHUNKED)
        await exchange
        body = asyncio.ensure_future(rest(connection))
        await asyncio.sleep(0.4)
        connection.data_received(b"5\r\nhello\r\n0\r\n\r\n")
        assert await body == b"hello"


async def test_closing_wakes_who_waits() -> None:
    """A connection closed under a waiting exchange breaks it at once."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.until_left()

    async with RawServer(serve) as server, connected(server) as (connection, _):
        exchange = asyncio.ensure_future(ask(connection))
        await asyncio.sleep(0)
        connection.close()
        with pytest.raises(Broken) as caught:
            await exchange
        assert not caught.value.has_begun
