"""An upstream that streams 50 chunks 20 ms apart, each stamped with when it was due and when it left.

The stamps are CLOCK_MONOTONIC, which every process of one machine shares, so a client can tell how
late a chunk reached it. A chunk's due time follows from the arrival of its request alone: a late
chunk does not delay the schedule of the next.

Run as ``python -m tests.bench.paced_mock PORT``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import httptools
import uvloop

from tests.bench.servers import ANSWER

CHUNKS = 50
GAP_S = 0.020

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENT = (
    b'data: {"id":"chatcmpl-abc123","object":"chat.completion.chunk","created":1795318569,"model":"gpt-5-mini",'
    b'"choices":[{"index":0,"delta":{%b},"logprobs":null,"finish_reason":%b}],"system_fingerprint":"fp_x"}\n\n'
)
_USAGE = (
    b'data: {"id":"chatcmpl-abc123","object":"chat.completion.chunk","created":1795318569,"model":"gpt-5-mini",'
    b'"choices":[],"usage":{"prompt_tokens":120,"completion_tokens":50,"total_tokens":170}}\n\n'
)
_DONE = b"data: [DONE]\n\n"


def stamped_event(due: float, sent: float) -> bytes:
    """One chunk of the answer, its text the two stamps."""
    return _EVENT % (b'"content":"due=%.6f sent=%.6f;"' % (due, sent), b"null")


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Stream(asyncio.Protocol):
    """One connection; it carries one request after another."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._body = bytearray()
        self._arrived = 0.0
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Collect the ask; called by the parser."""
        self._body += body

    def on_message_complete(self) -> None:
        """Start the schedule; called by the parser."""
        self._arrived = time.monotonic()
        body = bytes(self._body)
        self._body.clear()
        assert self._transport is not None
        if b'"stream":true' not in body.replace(b" ", b""):
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
            self._transport.write(head + ANSWER)
            return
        self._ending = _framed(_EVENT % (b"", b'"stop"'))
        if b'"include_usage":true' in body.replace(b" ", b""):
            self._ending += _framed(_USAGE)
        self._ending += _framed(_DONE) + b"0\r\n\r\n"
        self._next = 0
        self._transport.write(_HEAD)
        self._send()

    def _send(self) -> None:
        """Send what is due and set the timer for the next chunk."""
        if self._transport is None:
            return
        due = self._arrived + self._next * GAP_S
        if self._next == CHUNKS:
            self._transport.write(self._ending)
            return
        self._transport.write(_framed(stamped_event(due, time.monotonic())))
        self._next += 1
        self._timer = self._loop.call_later(max(0.0, due + GAP_S - time.monotonic()), self._send)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Stream(loop), "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
