"""Calls of litellm's upstreams, and what is common to their tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.adapters.litellm_upstream import LiteLLMUpstream
from gateway.dialects.sse import EventSplitter, parse
from gateway.domain.chat import Dialect
from gateway.ports import UpstreamCall

# litellm silences these itself when it is imported; pytest undoes that after each test.
AS_LITELLM_WARNS = [
    pytest.mark.filterwarnings("ignore:.*`ReadOnly` qualifier"),
    pytest.mark.filterwarnings("ignore:.*attribute on the instance is deprecated"),
]
PROMPT = "the secret of the prompt"


def upstream_at(address: str, provider: str = "gemini") -> LiteLLMUpstream:
    """A provider's upstream that calls ``address``."""
    return LiteLLMUpstream(
        name=provider,
        provider=provider,
        api_key="sk-operator",
        base_url=address,
        headers={"x-operator": "yes"},
        connections=4,
    )


def calling(
    body: dict[str, Any], path: str = "/chat/completions", *, deadline_s: float = 60.0, silence_s: float = 60.0
) -> UpstreamCall:
    """One call as the gateway makes it."""
    is_stream = body.get("stream", False)
    return UpstreamCall(
        Dialect.OPENAI_CHAT, path, json.dumps(body).encode(), is_stream, "r", deadline_s, silence_s, silence_s
    )


def chat_body(model: str = "gemini-2.5-flash", **fields: Any) -> dict[str, Any]:
    """A request for a whole answer."""
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], **fields}


def stream_body(model: str = "gemini-2.5-flash", **fields: Any) -> dict[str, Any]:
    """A request for a stream that reports usage."""
    return chat_body(model, stream=True, stream_options={"include_usage": True}, **fields)


async def ask(upstream: LiteLLMUpstream, call: UpstreamCall) -> Any:
    """The whole answer, parsed."""
    try:
        async with upstream.open(call) as reply:
            return json.loads(await reply.read())
    finally:
        await upstream.close()


async def listen(upstream: LiteLLMUpstream, call: UpstreamCall, heard: list[Any] | None = None) -> list[Any]:
    """The stream's events; those before a failure are left in ``heard``."""
    events: list[Any] = [] if heard is None else heard
    splitter = EventSplitter()
    try:
        async with upstream.open(call) as reply:
            async for chunk in reply.chunks():
                for event in splitter.feed(chunk):
                    parsed = parse(event)
                    assert parsed is not None
                    events.append(parsed.data if parsed.data == b"[DONE]" else json.loads(parsed.data))
    finally:
        await upstream.close()
    return events
