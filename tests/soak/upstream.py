"""A provider for long runs: two addresses, one that never fails and one that fails when it is told to.

Run as ``python -m tests.soak.upstream PORT``. It obeys ``well``, ``errors`` (500, 429, 503 and broken
connections in turn) and ``cuts`` (answers that break off, streams after their first events). The model
``slow`` takes its time over each event, whatever else is the case.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from enum import StrEnum
from typing import Any, cast

import httptools
import orjson
import uvloop

from tests.bench.servers import free_port
from tests.soak.obedient import Obedient, obey

STEADY, SHAKY = "steady", "shaky"
SLOW = "slow"
"""The model whose events come ``SLOW_GAP_S`` apart."""
INPUT_TOKENS, OUTPUT_TOKENS = 40, 30
WORDS = 12
"""Events of a stream with text in them."""
SLOW_GAP_S = 0.1
_WORDS_BEFORE_A_CUT = 3

_USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


class Mood(StrEnum):
    """How the shaky address does."""

    WELL = "well"
    ERRORS = "errors"
    CUTS = "cuts"


class Provider(Obedient):
    """The provider as a process of its own."""

    def __init__(self) -> None:
        self._port = free_port()
        super().__init__(__spec__.name, str(self._port))

    def address(self, name: str) -> str:
        """The base address of ``steady`` or ``shaky``; ``/v1`` comes below it."""
        return f"http://127.0.0.1:{self._port}/{name}"

    def set(self, mood: Mood) -> None:
        """Let the shaky address do so from now on."""
        self.tell(mood)


def _whole(model: str) -> bytes:
    message = {"role": "assistant", "content": "so it goes " * 8}
    body = {
        "id": "chatcmpl-soak",
        "object": "chat.completion",
        "created": 1795318569,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _USAGE,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _event(model: str, **fields: Any) -> bytes:
    body = {"id": "chatcmpl-soak", "object": "chat.completion.chunk", "created": 1795318569, "model": model, **fields}
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def _events(model: str, *, has_usage: bool) -> list[bytes]:
    deltas = [{"role": "assistant", "content": ""}, *({"content": "word "} for _ in range(WORDS))]
    events = [_event(model, choices=[{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    events.append(_event(model, choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    if has_usage:
        events.append(_event(model, choices=[], usage=_USAGE))
    return [*events, b"data: [DONE]\n\n"]


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(status: str, *fields: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *fields, "", "")).encode()


def _refusal(status: str, *fields: str) -> bytes:
    body = b'{"error":{"message":"the soak says no","type":"server_error","param":null,"code":null}}'
    return _head(status, "content-type: application/json", f"content-length: {len(body)}", *fields) + body


_STREAM = _head("200 OK", "content-type: text/event-stream", "transfer-encoding: chunked")
_REFUSALS = (
    _refusal("500 Internal Server Error"),
    _refusal("429 Too Many Requests", "retry-after: 1"),
    _refusal("503 Service Unavailable"),
    b"",
)
"""The last one is a connection that ends without an answer."""


class _Serving:
    """What all connections share."""

    def __init__(self) -> None:
        self.mood = Mood.WELL
        self.refusals = itertools.cycle(_REFUSALS)

    def do(self, word: str) -> None:
        """Obey one word."""
        self.mood = Mood(word)


class _Connection(asyncio.Protocol):
    """One connection; it carries one request after another."""

    def __init__(self, serving: _Serving) -> None:
        self._serving = serving
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._body = bytearray()
        self._path = b""
        self._sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._sending is not None:
            self._sending.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Note the path; called by the parser."""
        self._path = url

    def on_body(self, body: bytes) -> None:
        """Collect the ask; called by the parser."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer; called by the parser."""
        ask = orjson.loads(self._body)
        self._body.clear()
        mood = self._serving.mood if self._path.startswith(b"/shaky") else Mood.WELL
        assert self._transport is not None
        if mood is Mood.ERRORS:
            refusal = next(self._serving.refusals)
            self._transport.write(refusal)
            if not refusal:
                self._transport.close()
        elif ask.get("stream"):
            self._stream(ask, is_cut=mood is Mood.CUTS)
        else:
            body = _whole(ask["model"])
            head = _head("200 OK", "content-type: application/json", f"content-length: {len(body)}")
            if mood is Mood.CUTS:
                self._transport.write(head + body[:100])
                self._transport.close()
            else:
                self._transport.write(head + body)

    def _stream(self, ask: dict[str, Any], *, is_cut: bool) -> None:
        assert self._transport is not None
        events = _events(ask["model"], has_usage=bool(ask.get("stream_options", {}).get("include_usage")))
        if is_cut:
            events = events[:_WORDS_BEFORE_A_CUT]
        ending = b"" if is_cut else b"0\r\n\r\n"
        if ask["model"] == SLOW:
            self._sending = asyncio.create_task(self._send_slowly(events))
            return
        self._transport.write(_STREAM + b"".join(map(_chunked, events)) + ending)
        if is_cut:
            self._transport.close()

    async def _send_slowly(self, events: list[bytes]) -> None:
        assert self._transport is not None
        self._transport.write(_STREAM)
        for event in events:
            self._transport.write(_chunked(event))
            await asyncio.sleep(SLOW_GAP_S)
        self._transport.write(b"0\r\n\r\n")


async def _run(port: int) -> None:
    serving = _Serving()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(serving), "127.0.0.1", port, backlog=4096)
    async with server:
        await obey(serving.do)


if __name__ == "__main__":
    uvloop.run(_run(int(sys.argv[1])))
