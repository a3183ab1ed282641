"""Serving dialect requests straight from ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.domain.chat import Dialect
from gateway.domain.record import Result
from gateway.http.asgi import Message
from gateway.http.dialects import ENDPOINTS, DialectEndpoints
from gateway.ports import UpstreamCall, UpstreamReply
from tests.flow.scripted import SECRET, Kept, Play, ScriptedUpstream, house_of

PATH = "/v1/chat/completions"


class Endless(ScriptedUpstream):
    """An upstream that always has one more event, at once."""

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[UpstreamReply]:
        """A reply without an end."""
        chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]}
        self.calls.append(call)
        yield Play((b"data: " + json.dumps(chunk).encode() + b"\n\n",) * 10_000)


async def _serve(upstream: ScriptedUpstream, kept: Kept, send: Any, **members: Any) -> None:
    house = house_of(upstream, kept)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], **members}).encode()
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # connected for ever

    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "headers": [(b"authorization", f"Bearer {SECRET}".encode())],
    }
    await DialectEndpoints(house, patience_s=0.05)(ENDPOINTS[PATH], scope, receive, send)
    assert house.meter.in_flight == 0


async def test_a_client_that_does_not_read_is_not_waited_for_beyond_the_deadline() -> None:
    """A stream whose client stands still is given up after its deadline, its upstream is freed, and it is on record."""
    kept = Kept()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) > 2:
            await asyncio.get_running_loop().create_future()

    await _serve(Endless(Dialect.OPENAI_CHAT), kept, send, stream=True, ponder={"deadline_s": 0.05})
    (record,) = kept.records
    assert (record.result, record.status) == (Result.DISCONNECTED, 499)
    assert record.calls[0].usage is not None


async def test_a_client_that_reads_gets_its_stream() -> None:
    """A stream that is read comes to its end, with one final message."""
    kept = Kept()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    usage = b'data: {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}\n\n'
    upstream = ScriptedUpstream(Dialect.OPENAI_CHAT, Play((usage, b"data: [DONE]\n\n")))
    await _serve(upstream, kept, send, stream=True)
    assert sent[0]["status"] == 200
    assert sent[-1] == {"type": "http.response.body", "body": b""}
    assert kept.records[0].result is Result.ANSWERED
