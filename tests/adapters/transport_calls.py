"""Calls through a transport, for the tests of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

import pytest

from gateway.adapters.transport import Transport
from gateway.domain.chat import Dialect
from gateway.errors import UpstreamError
from gateway.ports import UpstreamCall, UpstreamReply
from tests.adapters.raw_server import PATIENCE_S

PROMPT = b'{"model": "m", "messages": [{"role": "user", "content": "my secret diagnosis"}]}'
KEY = "sk-very-secret"
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def transport_for(url: str, *, connections: int = 4, headers: Mapping[str, str] | None = None) -> Transport:
    """An upstream's transport, with a credential."""
    own = {"Authorization": f"Bearer {KEY}", **(headers or {})}
    return Transport(name="up", base_url=url, headers=own, connections=connections)


def call(
    body: bytes = PROMPT,
    *,
    deadline_s: float = PATIENCE_S,
    first_byte_s: float = PATIENCE_S,
    idle_s: float = PATIENCE_S,
) -> UpstreamCall:
    """A call with much time, unless said otherwise."""
    return UpstreamCall(
        dialect=Dialect.OPENAI_CHAT,
        path="/chat/completions",
        body=body,
        is_stream=False,
        request_id="r",
        deadline_s=deadline_s,
        first_byte_s=first_byte_s,
        idle_s=idle_s,
    )


def post(transport: Transport, **times: float) -> AbstractAsyncContextManager[UpstreamReply]:
    """Send the prompt."""
    return transport.post(call(PROMPT, **times), {})


async def answered(transport: Transport, **times: float) -> bytes:
    """The body of the answer to one call."""
    async with post(transport, **times) as reply:
        return await reply.read()


async def failure(transport: Transport, **times: float) -> UpstreamError:
    """The error of one call, which holds neither the prompt nor the key, and neither do its causes."""
    with pytest.raises(UpstreamError) as caught:
        await answered(transport, **times)
    told: BaseException | None = caught.value
    while told is not None:
        for secret in (KEY, "secret", "diagnosis", "messages"):
            assert secret not in repr(told)
            assert secret not in str(told)
        told = told.__cause__
    return caught.value
