"""HTTP/1.1 to upstreams, written for the request path: one connection, one exchange at a time.

Measured here, a general client costs more than all of the gateway's own work on a request
(``docs/decisions/0005-own-http-client.md`` has the figures). This one does what calling a model
needs: whole and streamed bodies, back-pressure, timeouts, and connections that serve again only
when nothing about them is in doubt. It follows no redirect, keeps no cookie, decompresses nothing
(it asks for identity), and lets llhttp, the strict parser of Node.js, judge every byte.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import cast

import httptools

MAX_SILENT_BYTES = 128 * 1024
"""An answer that sends more than this without body is broken off: endless headers, hints or trailers."""

_PAUSE_AT = 256 * 1024
_LARGE = 64 * 1024
_REST_S = 1.0
_FIRST_FINAL_STATUS = 200
_SWITCHING_PROTOCOLS = 101


class Broken(Exception):
    """The exchange cannot go on. ``has_begun`` says whether any byte of the answer had come."""

    def __init__(self, reason: str, *, has_begun: bool) -> None:
        super().__init__(reason)
        self.has_begun = has_begun


class Connection(asyncio.Protocol):
    """One connection. ``on_free`` is told when it can be used again, and when it is gone."""

    __slots__ = (
        "_arrivals", "_body", "_buffered", "_fault", "_is_complete", "_is_kept", "_is_left", "_is_paused", "_loop",
        "_on_free", "_parser", "_silent", "_timer", "_transport", "_until", "_waiter", "has_begun", "headers",
        "is_gone", "is_lost", "is_reused", "status",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, on_free: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._on_free = on_free
        self._transport: asyncio.Transport | None = None
        self._arrivals = select.poll()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self.is_lost = False
        """It cannot be used any more; the transport may still be closing."""
        self.is_gone = False
        """The event loop has let it go."""
        self.is_reused = False
        self._begin()
        self._is_complete = True  # nothing has been asked yet

    def _begin(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_begun = False
        self._parser = httptools.HttpResponseParser(self)
        self._fault: Exception | None = None
        self._body: list[bytes] = []
        self._buffered = 0
        self._silent = 0
        self._is_complete = False
        self._is_kept = False
        self._is_left = False
        self._is_paused = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._arrivals.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._is_complete or self.is_lost:
            # Bytes that nobody asked for: never use such a connection again.
            self.close()
            return
        self.has_begun = True
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as fault:
            # An answer that is complete stands; only the connection is spoilt.
            self._fail(Broken(f"not an answer we accept: {fault.__context__ or fault}", has_begun=True))
            return
        if self._silent > MAX_SILENT_BYTES and not self.is_complete:
            self._fail(Broken(f"more than {MAX_SILENT_BYTES} bytes without any body", has_begun=True))
        elif self._is_left and self.is_complete:
            self.finish()

    def eof_received(self) -> bool:
        # A reset is not announced here, so it never passes for the end of a body.
        if self.status and not self._is_complete and self._ends_with_connection() and self._was_closed_by_peer():
            self._is_complete = True
            self._wake()
        self.is_lost = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = self.is_gone = True
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._is_complete:
            self._fail(Broken("the connection was closed", has_begun=self.has_begun))
        self._on_free(self)

    def pause_writing(self) -> None:
        """The transport buffers what is left of a large request; nothing to do."""

    def resume_writing(self) -> None:
        """See :meth:`pause_writing`."""

    # What the parser calls. A ValueError breaks the answer off, with its text as the reason.

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise ValueError("more than one answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status:
            return  # a trailer, which must not pass for a header (RFC 9110, 6.5.1)
        key = name.decode("latin-1").lower()
        text = value.strip(b" \t").decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < _FIRST_FINAL_STATUS:
            if status == _SWITCHING_PROTOCOLS:
                raise ValueError("a change of protocol that nobody asked for")
            self.headers = {}  # 100 Continue and 103 Early Hints precede the answer
            return
        coding = self.headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            raise ValueError("a transfer encoding other than chunked")
        self.status = status
        self._is_kept = self._parser.should_keep_alive()
        self._silent = 0
        self._wake()

    def on_body(self, body: bytes) -> None:
        if self._is_left:
            return
        self._silent = 0
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

    # What the pool and the exchange call.

    def is_quiet(self) -> bool:
        """Nothing came since the last exchange: neither a close nor stray bytes that the loop has yet to read."""
        return not self.is_lost and not self._arrivals.poll(0)

    async def send(self, head: bytes, body: bytes, *, within_s: float) -> None:
        """Send a request and wait for its answer's headers. Raises Broken or TimeoutError."""
        transport = self._transport
        if transport is None or self.is_lost:
            raise Broken("the connection was closed, or spoke before it was asked", has_begun=False)
        self._begin()
        # One write for small requests (one packet, one system call), no copy of large ones.
        if len(body) < _LARGE:
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
        self._drop_body()
        return data

    @property
    def is_complete(self) -> bool:
        """The whole answer has been received (not necessarily read)."""
        return self._is_complete

    def finish(self) -> None:
        """End the exchange: the connection is free again, or closed if anything of it is still under way."""
        transport = self._transport
        if (
            transport is None
            or self.is_lost
            or not self._is_complete
            or not self._is_kept
            or transport.get_write_buffer_size()  # answered early: the rest of the request still goes out
        ):
            self.close()
            return
        self._drop_body()
        self._is_left = False
        self.is_reused = True
        self._on_free(self)

    def leave(self) -> None:
        """End the exchange once the rest of the answer, only framing as a rule, has gone by.

        The connection is closed instead if that takes long, or much more comes.
        """
        if self._is_complete or self.is_lost:
            self.finish()
            return
        self._is_left = True
        self._silent = 0
        self._drop_body()
        self._give_time(_REST_S)

    def close(self) -> None:
        """Close at once; an upstream that is still writing sees it and stops."""
        self.is_lost = True
        if self._transport is not None:
            self._transport.abort()

    def _drop_body(self) -> None:
        self._body = []
        self._buffered = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    # Waiting.

    async def _wait(self) -> None:
        if self._fault is not None:
            raise self._fault
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, fault: Exception) -> None:
        if self._fault is None:
            self._fault = fault
        self._wake()
        self.close()

    def _give_time(self, seconds: float) -> None:
        """Fail the exchange unless it goes on within ``seconds``.

        A timer that is due earlier is left to run and set again when it fires: most never are, and
        one serves a connection for many exchanges.
        """
        self._until = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._until:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._until, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        is_awaited = self._waiter is not None and not self._waiter.done()
        if not is_awaited and not self._is_left:
            return
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._on_time)
        else:
            self._fail(TimeoutError("no answer in time"))

    def _ends_with_connection(self) -> bool:
        """An answer without a length ends where the connection ends (RFC 9112, 6.3); a cut one does not."""
        return "content-length" not in self.headers and "transfer-encoding" not in self.headers

    def _was_closed_by_peer(self) -> bool:
        """TLS ends by its own close_notify; where only TCP ended, somebody on the way may have cut the answer.

        uvloop announces an end only after close_notify, asyncio after either.
        """
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        if tls is None:
            return True
        try:
            return not tls.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False
