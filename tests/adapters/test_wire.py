"""One connection: framing, limits, back-pressure, timeouts, and when it may serve again."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.wire import MAX_SILENT_BYTES, Broken, Connection
from tests.adapters.raw_server import PATIENCE_S, Peer, RawServer, answer, answering

HEAD = b"POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

VALID = {
    "length": (answer(b"hello"), b"hello", True),
    "empty": (answer(b""), b"", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "chunked": (CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!", True),
    "chunk extensions and trailers": (CHUNKED + b"5;a=b\r\nhello\r\n0\r\nx-t: 1\r\n\r\n", b"hello", True),
    "chunked in capitals": (OK + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi", True),
    "hints first": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\nx-h: 1\r\n\r\n" + answer(b"hello"),
        b"hello",
        True,
    ),
    "asked to close": (answer(b"hello", b"Connection: close"), b"hello", False),
    "to the end of the connection": (OK + b"content-type: text/plain\r\n\r\nhello", b"hello", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello", False),
    "HTTP/1.0 without length": (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello", False),
    "HTTP/1.0 kept": (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello", b"hello", True),
    "an upgrade on offer": (answer(b"hello", b"Upgrade: h2", b"Connection: Upgrade, keep-alive"), b"hello", True),
}
"""Bytes of an answer → its body, and whether the connection may serve again."""

INVALID = {
    "not HTTP": b"220 smtp.example ESMTP\r\n",
    "HTTP/2 frames": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80",
    "length and chunked": OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": OK + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "a list of lengths": OK + b"content-length: 5, 5\r\n\r\nhello",
    "a negative length": OK + b"content-length: -5\r\n\r\nhello",
    "a huge length": OK + b"content-length: 99999999999999999999999\r\n\r\nhello",
    "another coding": OK + b"transfer-encoding: gzip\r\n\r\nhello",
    "two codings": OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two codings on two lines": OK + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a change of protocol": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nfree",
    "a chunk size that is none": CHUNKED + b"zz\r\nhello\r\n",
    "a chunk longer than said": CHUNKED + b"3\r\nhello\r\n0\r\n\r\n",
    "a header without colon": OK + b"content-length 5\r\n\r\nhello",
    "a space before the colon": OK + b"content-length : 5\r\n\r\nhello",
    "a NUL in a header": OK + b"x-a: a\x00b\r\ncontent-length: 0\r\n\r\n",
    "a short body": answer(b"hello")[:-1],
    "chunks without end": CHUNKED + b"5\r\nhello\r\n",
    "a head without end": OK + b"content-le",
}
"""What a server says before it closes the connection in good order."""


class Freed(list[Connection]):
    """Connections as they were reported free or gone; a test can wait for the next report."""

    def __init__(self) -> None:
        super().__init__()
        self._reported = asyncio.Event()

    def __call__(self, connection: Connection) -> None:
        self.append(connection)
        self._reported.set()

    async def reports(self, count: int) -> None:
        """Wait until there were ``count`` reports."""
        while len(self) < count:
            self._reported.clear()
            async with asyncio.timeout(PATIENCE_S):
                await self._reported.wait()


@asynccontextmanager
async def connected(server: RawServer) -> AsyncIterator[tuple[Connection, Freed]]:
    """A connection to ``server``, closed at the end."""
    loop, freed = asyncio.get_running_loop(), Freed()
    _, connection = await loop.create_connection(lambda: Connection(loop, freed), server.host, server.port)
    try:
        yield connection, freed
    finally:
        connection.close()
        while not connection.is_gone:
            await freed.reports(len(freed) + 1)


async def ask(connection: Connection, body: bytes = b"{}", *, within_s: float = PATIENCE_S) -> bytes:
    """One exchange, its body read to the end."""
    await connection.send(HEAD.replace(b" 2\r", b" %d\r" % len(body)), body, within_s=within_s)
    return await rest(connection, within_s=within_s)


async def rest(connection: Connection, *, within_s: float = PATIENCE_S) -> bytes:
    """What is left of the body."""
    pieces = []
    while piece := await connection.read(within_s=within_s):
        pieces.append(piece)
    return b"".join(pieces)


def saying(data: bytes) -> Any:
    """Serve one request by ``data``, then close in good order."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(data)

    return serve


@pytest.mark.parametrize("name", VALID)
async def test_every_framing_of_a_body_is_read(name: str) -> None:
    """However an answer is framed, its body is whole, and the connection serves again only where that is certain."""
    data, body, is_kept = VALID[name]
    async with RawServer(saying(data)) as server, connected(server) as (connection, freed):
        assert await ask(connection) == body
        connection.finish()
        await freed.reports(1)
        assert connection.is_reused is is_kept
    assert server.asked[0].body == b"{}"


@pytest.mark.parametrize("name", INVALID)
async def test_what_is_not_an_answer_breaks_the_exchange(name: str) -> None:
    """An answer that is malformed, ambiguous or cut is never taken for one, and the connection is given up."""
    async with RawServer(saying(INVALID[name])) as server, connected(server) as (connection, freed):
        with pytest.raises(Broken) as caught:
            await ask(connection)
        assert caught.value.has_begun
        connection.finish()
        assert connection.is_lost
        await freed.reports(1)
        assert connection.is_gone


async def test_a_reset_is_not_the_end_of_a_body() -> None:
    """A body that ends with its connection is complete only if the connection ended in good order."""

    is_read = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(OK + b"\r\nhello")
        await is_read.wait()
        peer.reset()

    async with RawServer(serve) as server, connected(server) as (connection, _):
        await connection.send(HEAD, b"{}", within_s=PATIENCE_S)
        assert await connection.read(within_s=PATIENCE_S) == b"hello"
        is_read.set()
        with pytest.raises(Broken):
            await rest(connection)


async def test_headers_are_joined_and_trailers_ignored() -> None:
    """Repeated headers are one list; a trailer or an early hint is no header."""
    data = (
        b"HTTP/1.1 103 Early Hints\r\nx-hint: 1\r\n\r\n"
        + OK
        + b"X-Name: a\r\nx-name:  b \r\ntransfer-encoding: chunked\r\n\r\n0\r\nretry-after: 9\r\n\r\n"
    )
    async with RawServer(saying(data)) as server, connected(server) as (connection, _):
        assert await ask(connection) == b""
        assert connection.status == 200
        assert connection.headers == {"x-name": "a, b", "transfer-encoding": "chunked"}


class StillTransport(asyncio.Transport):
    """A transport that keeps what is written and says whether it is being read, over a socket that is silent."""

    def __init__(self) -> None:
        super().__init__()
        self._ends = socket.socketpair()
        self.is_paused = False
        self.is_aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._ends[0] if name == "socket" else default

    def write(self, data: Any) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        for end in self._ends:
            end.close()


@asynccontextmanager
async def fed() -> AsyncIterator[tuple[Connection, StillTransport]]:
    """A connection that the test feeds itself."""
    connection, transport = Connection(asyncio.get_running_loop(), Freed()), StillTransport()
    connection.connection_made(transport)
    try:
        yield connection, transport
    finally:
        connection.connection_lost(None)
        transport.close()


async def heard(pieces: list[bytes]) -> tuple[int, dict[str, str], bytes, bool]:
    """What an answer that arrives in these pieces says."""
    async with fed() as (connection, _):
        exchange = asyncio.ensure_future(ask(connection))
        await asyncio.sleep(0)
        for piece in pieces:
            connection.data_received(piece)
            await asyncio.sleep(0)
        connection.eof_received()
        body = await exchange
        return connection.status, connection.headers, body, connection._is_kept


@given(st.sampled_from(sorted(VALID)), st.sets(st.integers(1, 300), max_size=12))
def test_any_split_of_the_bytes_is_the_same_answer(name: str, cuts: set[int]) -> None:
    """Wherever the network cuts an answer's bytes, status, headers and body are the same."""
    data, body, is_kept = VALID[name]
    ends = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    whole = asyncio.run(heard([data]))
    assert whole[2:] == (body, is_kept)
    assert asyncio.run(heard([data[start:end] for start, end in itertools.pairwise(ends)])) == whole
    assert asyncio.run(heard([data[at : at + 1] for at in range(len(data))])) == whole


async def repeat(peer: Peer, piece: bytes) -> None:
    """Say the same until the client leaves."""
    while not peer.writer.is_closing():
        await peer.say(piece)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (OK + b"x-a: ", b"a" * 8192),
        (OK, b"x-%s: y\r\n" % (b"a" * 100)),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
        (CHUNKED + b"1\r\n!\r\n0\r\nx-t: ", b"a" * 8192),
        (CHUNKED + b"1;e=", b"a" * 8192),
    ],
    ids=["one header", "many headers", "hints", "a trailer", "a chunk extension"],
)
async def test_endless_bytes_without_a_body_are_broken_off(start: bytes, piece: bytes) -> None:
    """An upstream cannot fill our memory with what is not body."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(start)
        await repeat(peer, piece)

    async with RawServer(serve) as server, connected(server) as (connection, _):
        with pytest.raises(Broken, match=f"more than {MAX_SILENT_BYTES} bytes"):
            await ask(connection)
        assert connection.is_lost


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
        while not connection.is_complete:
            await asyncio.sleep(0)
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
