"""The limits on a request's head and on its time to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
import uvicorn

from gateway.http.asgi import Receive, Scope, Send
from gateway.http.server import JoiningTransport, bounded_protocol
from gateway.settings import LimitsSettings

LIMIT = 2048
CONNECTIONS = 3
LIMITS = LimitsSettings(header_bytes=LIMIT, receive_s=1, connections=CONNECTIONS)


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A served application with the limit."""
    server = uvicorn.Server(
        uvicorn.Config(_hello, host="127.0.0.1", port=0, http=bounded_protocol(LIMITS), lifespan="off", log_config=None)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn offers nothing else to wait for
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def _status_of(port: int, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)  # so that each piece arrives by itself
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    return line.split(b" ")[1]


def _request(padding: int) -> bytes:
    """A request whose URL and headers are ``padding`` bytes together."""
    return b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"p" * (padding - len("/hostax")) + b"\r\n\r\n"


async def test_a_head_at_the_limit_is_served(port: int) -> None:
    """As many bytes as the limit says are accepted."""
    assert await _status_of(port, _request(LIMIT)) == b"200"


async def test_a_head_beyond_the_limit_is_refused(port: int) -> None:
    """One byte more is answered with 431."""
    assert await _status_of(port, _request(LIMIT + 1)) == b"431"


async def test_a_head_that_never_ends_is_refused(port: int) -> None:
    """A header that goes on and on is refused before it can fill the memory."""
    assert await _status_of(port, b"GET / HTTP/1.1\r\nhost: a\r\nx: ", b"p" * LIMIT, b"p") == b"431"


async def test_what_is_not_http_is_still_400(port: int) -> None:
    """The limit changes nothing about other faults."""
    assert await _status_of(port, b"NONSENSE\r\n\r\n") == b"400"


async def test_large_bodies_are_not_heads(port: int) -> None:
    """The body has a limit of its own and does not count here; nor do earlier requests of the connection."""
    body = b"x" * (2 * LIMIT)
    request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body)
    assert await _status_of(port, request, body) == b"200"


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET / HTTP/1.1\r\nhost:", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab"],
)
async def test_a_request_that_does_not_arrive_is_given_up(port: int, beginning: bytes) -> None:
    """No byte at all, half a head and half a body are all answered with 408 in the end."""
    assert await _status_of(port, beginning) == b"408"


async def test_a_kept_connection_is_not_given_up_for_being_idle(port: int) -> None:
    """The time counts for requests that have begun, not for the pause between two."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), 5)).split(b" ")[1] == b"200"
        while await reader.readline() != b"\r\n":
            pass
        await reader.readexactly(2)
        await asyncio.sleep(2 * LIMITS.receive_s)
    writer.close()


async def test_one_connection_too_many_is_answered_and_closed(port: int) -> None:
    """As many connections as the limit says stay open; the next is told 503 and when to come back, then closed."""
    kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer
    assert b"limits.connections" in answer
    writer.close()
    kept.pop()[1].close()
    await asyncio.sleep(0.05)  # the server has to notice
    assert await _status_of(port, _request(100)) == b"200"
    for _, each in kept:
        each.close()


class _Written(asyncio.Transport):
    """A transport that keeps what is written, one entry for each writing."""

    def __init__(self) -> None:
        super().__init__({"peername": "somebody"})
        self.writings: list[bytes] = []
        self.is_closed = False

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        self.writings.append(b"".join(pieces))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


async def test_head_and_body_go_out_together() -> None:
    """What is written in one turn of the event loop is one writing, and what comes in the next is another."""
    written = _Written()
    joining = JoiningTransport(written, asyncio.get_running_loop())
    joining.write(b"head ")
    joining.write(b"body")
    assert written.writings == []
    await asyncio.sleep(0)
    joining.write(b"more")
    await asyncio.sleep(0)
    assert written.writings == [b"head body", b"more"]
    assert joining.get_extra_info("peername") == "somebody"


async def test_what_was_written_goes_out_before_the_end() -> None:
    """Closing sends what waits, and what is written afterwards is dropped."""
    written = _Written()
    joining = JoiningTransport(written, asyncio.get_running_loop())
    joining.write(b"all of it")
    joining.close()
    assert (written.writings, joining.is_closing()) == ([b"all of it"], True)
    joining.write(b"late")
    await asyncio.sleep(0)
    assert written.writings == [b"all of it"]


async def test_much_is_sent_at_once() -> None:
    """More than 64 KiB do not wait: whoever writes must learn that the client does not read."""
    written = _Written()
    JoiningTransport(written, asyncio.get_running_loop()).write(b"x" * (64 * 1024 + 1))
    assert [len(each) for each in written.writings] == [64 * 1024 + 1]
