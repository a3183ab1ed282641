"""One connection's reading: framing, what is refused, and limits on what is no body."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.wire import MAX_SILENT_BYTES, Broken
from tests.adapters.raw_server import PATIENCE_S, Peer, RawServer, answer
from tests.adapters.wire_ends import CHUNKED, HEAD, OK, ask, connected, fed, repeat, rest, saying

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
