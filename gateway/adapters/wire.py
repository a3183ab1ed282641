"""HTTP/1.1 to upstreams, written for the request path: one connection, one exchange at a time.

Measured here, a general client costs more than all of the gateway's own work on a request
(``docs/decisions/0004-own-http-client.md`` has the figures). This one does what calling a model
needs: keep-alive pools, TLS, whole and streamed bodies, back-pressure, and timeouts. It follows no
redirect, keeps no cookie, decompresses nothing (it asks for identity), and lets llhttp, the strict
parser of Node.js, judge every byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

MAX_HEADER_BYTES = 128 * 1024
"""Headers of an answer larger than this break it off."""

_PAUSE_AT = 256 * 1024
_RESUME_AT = 64 * 1024


class Broken(Exception):
    """The exchange cannot go on. ``has_begun`` says whether any byte of the answer had come."""

    def __init__(self, reason: str, *, has_begun: bool) -> None:
        super().__init__(reason)
        self.has_begun = has_begun


class Connection(asyncio.Protocol):
    """One connection. ``on_free`` is told when it can be used again, and when it is lost."""

    __slots__ = (
        "_body", "_buffered", "_exception", "_header_bytes", "_is_complete", "_is_kept", "_is_paused", "_loop", "_on_free",
        "_parser", "_timer", "_transport", "_until", "_waiter", "has_begun", "headers", "is_gone",
        "is_lost", "is_reused", "status",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, on_free: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._on_free = on_free
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._exception: Exception | None = None
        self.is_lost = False
        """It cannot be used any more; the transport may still be closing."""
        self.is_gone = False
        """The event loop has let it go."""
        self.is_reused = False
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_begun = False
        self._body: list[bytes] = []
        self._buffered = 0
        self._header_bytes = 0
        self._is_complete = False
        self._is_kept = False
        self._is_paused = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class

    def data_received(self, data: bytes) -> None:
        if self._is_complete:
            # Bytes after a complete answer belong to nobody: never reuse such a connection.
            self.close()
            return
        self.has_begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as fault:
            self._fail(Broken(f"not valid HTTP ({type(fault).__name__})", has_begun=True))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = self.is_gone = True
        self._transport = None
        if not self._is_complete:
            if self.status and self._ends_with_connection():
                self._is_complete = True
                self._wake()
            else:
                self._fail(Broken("the connection was closed", has_begun=self.has_begun))
        self._on_free(self)

    def pause_writing(self) -> None:
        """The transport buffers what is left of a large request; nothing to do."""

    def resume_writing(self) -> None:
        """See :meth:`pause_writing`."""

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._is_complete:
            # A second answer to one request: whoever sent it wants to smuggle one.
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("headers too large")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004  100 Continue and 103 Early Hints precede the answer
            self.headers = {}
            return
        self.status = status
        self._is_kept = self._parser.should_keep_alive()
        self._wake()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._buffered += len(body)
        if self._buffered > _PAUSE_AT and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self.status:
            self._is_complete = True
            self._wake()

    # What the transport calls.

    async def send(self, head: bytes, body: bytes, *, within_s: float) -> None:
        """Send a request and wait for its answer's headers. Raises Broken or TimeoutError."""
        transport = self._transport
        if transport is None or (self.has_begun and not self.is_reused):
            raise Broken("the connection was closed, or spoke before it was asked", has_begun=False)
        self._reset()
        self._parser = httptools.HttpResponseParser(self)
        # One write for small requests (one packet, one system call), no copy of large ones.
        if len(body) < _RESUME_AT:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        self._give_time(within_s)
        while not self.status:
            await self._wait()

    async def read(self, *, within_s: float) -> bytes:
        """What has come of the body, waiting for some; empty at its end. Raises Broken or TimeoutError."""
        if not self._body and not self._is_complete:
            self._give_time(within_s)
            while not self._body and not self._is_complete:
                await self._wait()
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self._buffered = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    @property
    def is_complete(self) -> bool:
        """The whole answer has been received (not necessarily read)."""
        return self._is_complete

    def finish(self) -> None:
        """End the exchange: the connection goes back to its pool if it can be used again, or is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._exception = None
        if not self._is_complete or self.is_lost or not self._is_kept:
            self.close()
            return
        self.is_reused = True
        self._on_free(self)

    def close(self) -> None:
        """Close at once; an upstream that is still writing sees it and stops."""
        if self._transport is not None:
            self._transport.abort()
        self.is_lost = True

    # Waiting.

    async def _wait(self) -> None:
        if self._exception is not None:
            raise self._exception
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, exception: Exception) -> None:
        self._exception = exception
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(exception)
        if self._transport is not None:
            self._transport.abort()
        self.is_lost = True

    def _give_time(self, seconds: float) -> None:
        """Fail the exchange unless it goes on within ``seconds``; one timer serves all waits of an exchange."""
        self._until = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._until:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._until, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._loop.time() >= self._until:
            self._fail(TimeoutError("no answer in time"))
        else:
            self._timer = self._loop.call_at(self._until, self._on_time)

    def _ends_with_connection(self) -> bool:
        """An answer without a length ends where the connection ends (RFC 9112, 6.3); a cut one does not."""
        return "content-length" not in self.headers and "chunked" not in self.headers.get("transfer-encoding", "")
