"""uvicorn's HTTP protocol with limits that it lacks: on a request's head, on its time to arrive, and on connections.

Without them, a client that never ends its headers makes the process keep all it sends, and one that
sends a byte a minute keeps a connection for ever. It also sends an answer's head and body together.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.dialects.json_bytes import dumps
from gateway.settings import LimitsSettings

_TOO_LARGE = "the request's URL and headers are larger than {} bytes, the limit set by limits.header_bytes"
_CROWDED = "{} connections are open, as many as limits.connections allows"
_LATE = "the request did not arrive within {:g} s, the limit set by limits.receive_s"


_JOINED_BYTES = 64 * 1024
"""More than this is written at once: whoever writes must learn in time that the client does not read."""


class JoiningTransport:
    """A transport whose writes of one turn of the event loop go out as one.

    uvicorn writes an answer's head and its body apart. Each is a system call, a packet and a wake-up of
    the client, which together cost more than most steps of serving.
    """

    __slots__ = ("_loop", "_pieces", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send this when the loop's turn ends, with what else has been written by then."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _JOINED_BYTES:
            self._flush()

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close once all that was written has gone out."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pieces, self._pieces, self._size = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.writelines(pieces)


class _BoundedProtocol(HttpToolsProtocol):
    """Answers 431 (RFC 6585, section 5) to a larger head and 408 to a late request, and closes."""

    _header_limit: ClassVar[int]
    _receive_s: ClassVar[float]
    _connection_limit: ClassVar[int]

    _chunk_bytes = 0
    _head_bytes = 0
    _is_in_head = True
    _is_too_large = False
    _is_arriving = True
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = cast(asyncio.Transport, JoiningTransport(transport, self.loop))  # it has all that one has
        if len(self.connections) > self._connection_limit:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, _CROWDED.format(self._connection_limit), "retry-after: 1\r\n")
            return
        self._late = self.loop.call_later(self._receive_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._chunk_bytes = len(data)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > self._header_limit and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE.format(self._header_limit))
        # Most requests come in one piece and need no timer.
        if self._is_arriving and self._late is None:
            self._late = self.loop.call_later(self._receive_s, self._give_up)

    def on_message_begin(self) -> None:
        self._is_in_head = self._is_arriving = True
        self._head_bytes = self._chunk_bytes  # at most: the message may begin anywhere in the chunk
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._head_bytes > self._header_limit:  # what came with it, the body's beginning included; now exactly
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > self._header_limit:
                self._is_too_large = True
                raise ValueError("the request's head is too large")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._has_arrived()
        super().on_message_complete()

    def _has_arrived(self) -> None:
        self._is_arriving = False
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if self.cycle is not None and self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, _LATE.format(self._receive_s))

    def send_400_response(self, msg: str) -> None:
        """Called when llhttp refuses a request, or one of the callbacks above does."""
        if self._is_too_large:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE.format(self._header_limit))
        else:
            super().send_400_response(msg)

    def _refuse(self, status: HTTPStatus, message: str, header: str = "") -> None:
        kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        body = dumps({"error": {"message": message, "type": kind, "param": None, "code": None}})
        self.transport.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{header}connection: close\r\n\r\n".encode()
            + body
        )
        self.transport.close()


def bounded_protocol(limits: LimitsSettings) -> type[HttpToolsProtocol]:
    """The protocol class for uvicorn's ``http`` setting.

    URL and headers may have ``header_bytes``; a request must arrive whole within ``receive_s`` of its
    first byte, and a connection's first byte within ``receive_s`` of its opening. One more connection
    than ``connections`` is answered 503 and closed.
    """
    bounds = {
        "_header_limit": limits.header_bytes,
        "_receive_s": limits.receive_s,
        "_connection_limit": limits.connections,
    }
    return type("BoundedProtocol", (_BoundedProtocol,), bounds)
