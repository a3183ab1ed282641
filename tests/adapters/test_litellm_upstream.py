"""litellm's providers, called over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.adapters.litellm_upstream import LiteLLMUpstream
from gateway.dialects.openai_chat import CODEC
from gateway.dialects.sse import EventSplitter, parse
from gateway.domain.chat import Dialect
from gateway.errors import (
    UpstreamError,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimedOut,
)
from gateway.ports import UpstreamCall
from tests.adapters.litellm_server import (
    CHAT_USAGE,
    GEMINI_USAGE,
    Told,
    ToldServer,
    chat,
    chat_chunk,
    gemini,
    told_events,
    told_json,
)

# litellm silences these itself when it is imported; pytest undoes that after each test.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*`ReadOnly` qualifier"),
    pytest.mark.filterwarnings("ignore:.*attribute on the instance is deprecated"),
]

PROMPT = "the secret of the prompt"
THOUGHT = {"text": "I think", "thought": True}
SIGNED = {"text": "Paris", "thoughtSignature": "c2ln"}
CALL = {"functionCall": {"name": "look", "args": {"city": "Paris"}}, "thoughtSignature": "dG9vbA=="}


@pytest.fixture(scope="module")
def provider() -> Iterator[ToldServer]:
    """The server that every test tells what to answer."""
    with ToldServer() as server:
        yield server


def _upstream(address: str, provider: str = "gemini") -> LiteLLMUpstream:
    return LiteLLMUpstream(
        name=provider,
        provider=provider,
        api_key="sk-operator",
        base_url=address,
        headers={"x-operator": "yes"},
        connections=4,
    )


def _call(
    body: dict[str, Any], path: str = "/chat/completions", *, deadline_s: float = 60.0, silence_s: float = 60.0
) -> UpstreamCall:
    is_stream = body.get("stream", False)
    return UpstreamCall(
        Dialect.OPENAI_CHAT, path, json.dumps(body).encode(), is_stream, "r", deadline_s, silence_s, silence_s
    )


def _chat(model: str = "gemini-2.5-flash", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], **fields}


def _stream(model: str = "gemini-2.5-flash", **fields: Any) -> dict[str, Any]:
    return _chat(model, stream=True, stream_options={"include_usage": True}, **fields)


async def _ask(upstream: LiteLLMUpstream, call: UpstreamCall) -> Any:
    try:
        async with upstream.open(call) as reply:
            return json.loads(await reply.read())
    finally:
        await upstream.close()


async def _listen(upstream: LiteLLMUpstream, call: UpstreamCall, heard: list[Any] | None = None) -> list[Any]:
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


async def test_gemini_is_asked_with_the_operators_key_and_answers_in_chat(provider: ToldServer) -> None:
    """Gemini's answer comes back as a chat completion with thinking, signatures and its own counts."""
    provider.tell(told_json(gemini(THOUGHT, SIGNED)))
    answer = await _ask(_upstream(provider.address), _call(_chat(reasoning_effort="low", user="u")))
    sent = provider.last
    assert sent.path == "/models/gemini-2.5-flash:generateContent"
    assert (sent.headers["x-goog-api-key"], sent.headers["x-operator"]) == ("sk-operator", "yes")
    assert sent.json["generationConfig"]["thinkingConfig"]["includeThoughts"] is True
    message = answer["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Paris", "I think")
    assert message["provider_specific_fields"]["thought_signatures"] == ["c2ln"]
    usage = CODEC.read_usage(answer["usage"])
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.thinking_tokens) == (6, 4, 12, 7)
    assert usage.reported_cost_usd is None
    assert usage.raw["provider_usage"] == GEMINI_USAGE


async def test_a_model_name_with_the_providers_prefix_is_not_prefixed_twice(provider: ToldServer) -> None:
    """``gemini/gemini-2.5-flash`` and ``gemini-2.5-flash`` are the same model at Gemini."""
    provider.tell(told_json(gemini(SIGNED)))
    await _ask(_upstream(provider.address), _call(_chat("gemini/gemini-2.5-flash")))
    assert provider.last.path == "/models/gemini-2.5-flash:generateContent"


async def test_gemini_streams_what_it_would_answer_whole(provider: ToldServer) -> None:
    """The joined stream has the whole answer's text, thinking, signature and usage, and ends in [DONE]."""
    provider.tell(told_events([gemini(THOUGHT, finish=None), gemini(SIGNED)]))
    events = await _listen(_upstream(provider.address), _call(_stream(reasoning_effort="low")))
    assert provider.last.path == "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert events.pop() == b"[DONE]"
    counted = events.pop()
    assert counted["choices"] == []
    assert counted["usage"]["provider_usage"] == GEMINI_USAGE
    assert CODEC.read_usage(counted["usage"]).thinking_tokens == 7
    assert CODEC.read_usage(counted["usage"]).reported_cost_usd is None
    assert not [event for event in events if "usage" in event]
    deltas = [event["choices"][0]["delta"] for event in events]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Paris"
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "I think"
    assert [delta["provider_specific_fields"] for delta in deltas if "provider_specific_fields" in delta] == [
        {"thought_signatures": ["c2ln"]}
    ]
    assert [event["choices"][0]["finish_reason"] for event in events][-1] == "stop"


async def test_signatures_go_back_to_gemini_as_they_came(provider: ToldServer) -> None:
    """An assistant message sent back untouched returns each thought signature to its part."""
    provider.tell(told_json(gemini(CALL)), told_json(gemini(SIGNED)))
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    upstream = _upstream(provider.address)
    first = await _ask(upstream, _call(_chat(tools=tools)))
    message = first["choices"][0]["message"]
    assert message["content"] is None
    turns = [
        {"role": "user", "content": PROMPT},
        message,
        {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"},
    ]
    await _ask(_upstream(provider.address), _call(_chat(tools=tools) | {"messages": turns}))
    parts = [part for content in provider.last.json["contents"] for part in content["parts"]]
    assert [part["thoughtSignature"] for part in parts if "thoughtSignature" in part] == ["dG9vbA=="]


async def test_a_cache_mark_makes_gemini_store_nothing(provider: ToldServer) -> None:
    """A cache_control mark leads to one call, and not to a stored context that is billed by the hour."""
    provider.tell(told_json(gemini(SIGNED)))
    part = {"type": "text", "text": PROMPT * 2000, "cache_control": {"type": "ephemeral"}}
    await _ask(_upstream(provider.address), _call(_chat() | {"messages": [{"role": "user", "content": [part]}]}))
    assert [request.path for request in provider.requests] == ["/models/gemini-2.5-flash:generateContent"]


@pytest.mark.parametrize(
    ("name", "model"),
    [("mistral", "mistral-large-latest"), ("deepseek", "deepseek-v4-pro"), ("cerebras", "gpt-oss-120b")],
)
async def test_counts_of_chat_speaking_providers_are_kept_word_for_word(
    provider: ToldServer, name: str, model: str
) -> None:
    """Usage that is openai-chat's already arrives as the provider wrote it, streamed or not."""
    provider.tell(told_json(chat(content="Paris", reasoning_content="I think"), **{"x-request-id": "up-1"}))
    upstream = _upstream(provider.address, name)
    async with upstream.open(_call(_chat(model))) as reply:
        assert reply.headers["x-request-id"] == "up-1"
        answer = json.loads(await reply.read())
    assert provider.last.headers["authorization"] == "Bearer sk-operator"
    assert provider.last.json["model"] == model
    assert answer["usage"] == CHAT_USAGE
    assert answer["choices"][0]["message"]["reasoning_content"] == "I think"
    provider.tell(
        told_events(
            [chat_chunk(reasoning_content="I think"), chat_chunk(content="Paris"), chat_chunk("stop", CHAT_USAGE)]
        )
    )
    events = await _listen(upstream, _call(_stream(model)))
    assert events[-2]["usage"] == CHAT_USAGE
    assert events[0]["choices"][0]["delta"]["reasoning_content"] == "I think"


async def test_a_stream_without_usage_reports_none(provider: ToldServer) -> None:
    """litellm's estimate is not passed off as the provider's count."""
    provider.tell(told_events([chat_chunk(content="Paris"), chat_chunk("stop")]))
    events = await _listen(_upstream(provider.address, "mistral"), _call(_stream("mistral-large-latest")))
    assert not [event for event in events if event != b"[DONE]" and "usage" in event]


@pytest.mark.parametrize(
    "extra",
    [
        {"api_base": "http://127.0.0.1:1"},
        {"mock_response": "hello"},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:1"}}]}
            ]
        },
        {"logit_bias": {"1": 1}},
    ],
)
async def test_what_may_not_reach_litellm_is_refused_before_any_call(
    provider: ToldServer, extra: dict[str, Any]
) -> None:
    """A refusal names the field in OpenAI's shape, and nothing was sent anywhere."""
    provider.tell()
    with pytest.raises(UpstreamRefused) as refusal:
        await _ask(_upstream(provider.address), _call(_chat() | extra))
    assert refusal.value.http_status == 400
    error = json.loads(refusal.value.body)["error"]
    assert error["param"].split("[")[0] == next(iter(extra))
    assert PROMPT not in refusal.value.message
    assert provider.requests == []


@pytest.mark.parametrize("fields", [_chat(), _stream()])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UpstreamRefused),
        (401, UpstreamFailed),
        (404, UpstreamRefused),
        (422, UpstreamRefused),
        (429, UpstreamRateLimited),
        (500, UpstreamFailed),
        (503, UpstreamOverloaded),
        (504, UpstreamTimedOut),
        (307, UpstreamFailed),
    ],
)
async def test_an_error_status_is_judged_as_such_and_never_tried_again(
    provider: ToldServer,
    status: int,
    kind: type[UpstreamError],
    fields: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each status has its class; the provider's words go to the caller only, and litellm repeats nothing."""
    said = {"error": {"code": status, "message": f"not this: {PROMPT}", "status": "SAD"}}
    provider.tell(
        told_json(
            [said] if fields.get("stream") else said, status=status, **{"Retry-After": "7", "Location": "/elsewhere"}
        )
    )
    with pytest.raises(kind) as failure:
        await _ask(_upstream(provider.address), _call(fields))
    assert len(provider.requests) == 1
    assert failure.value.is_unbilled
    assert PROMPT not in failure.value.message
    assert PROMPT not in caplog.text
    if isinstance(failure.value, UpstreamRateLimited | UpstreamOverloaded):
        assert failure.value.retry_after_s == 7
    if isinstance(failure.value, UpstreamRefused):
        assert failure.value.upstream_status == status
        assert json.loads(failure.value.body)["error"] == {
            "message": f"not this: {PROMPT}",
            "type": "invalid_request_error",
            "param": None,
            "code": "SAD",
        }


async def test_an_unreachable_provider_is_an_unbilled_failure(unused_tcp_port: int) -> None:
    """Nobody was reached, so nothing was charged."""
    with pytest.raises(UpstreamFailed) as failure:
        await _ask(_upstream(f"http://127.0.0.1:{unused_tcp_port}"), _call(_chat()))
    assert failure.value.is_unbilled


async def test_a_broken_connection_is_not_repeated(provider: ToldServer) -> None:
    """litellm would send the POST again; the provider may have charged for the first."""
    provider.tell(Told((b'{"candidates"',), ending="cut"))
    with pytest.raises(UpstreamFailed) as failure:
        await _ask(_upstream(provider.address), _call(_chat()))
    assert len(provider.requests) == 1
    assert not failure.value.is_unbilled


@pytest.mark.parametrize("name", ["gemini", "mistral"])
@pytest.mark.parametrize("ending", ["cut", "end"])
async def test_a_stream_that_breaks_off_is_never_a_success(provider: ToldServer, name: str, ending: Any) -> None:
    """Whether cut or just ended without a finish reason, what came is passed on and then it fails."""
    event = gemini({"text": "Par"}, finish=None) if name == "gemini" else chat_chunk(content="Par")
    provider.tell(told_events([event, event], ending))
    heard: list[Any] = []
    model = "gemini-2.5-flash" if name == "gemini" else "mistral-large-latest"
    with pytest.raises(UpstreamFailed):
        await _listen(_upstream(provider.address, name), _call(_stream(model)), heard)
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in heard) == "ParPar"


async def test_an_error_inside_a_stream_is_a_failure(provider: ToldServer) -> None:
    """Gemini reports trouble as an event of a stream that began well."""
    provider.tell(told_events([gemini({"text": "Par"}, finish=None), {"error": {"code": 503, "message": PROMPT}}]))
    heard: list[Any] = []
    with pytest.raises(UpstreamError) as failure:
        await _listen(_upstream(provider.address), _call(_stream()), heard)
    assert heard[0]["choices"][0]["delta"]["content"] == "Par"
    assert PROMPT not in failure.value.message


@pytest.mark.parametrize("name", ["gemini", "mistral", "cerebras"])
async def test_leaving_a_stream_hangs_up_on_the_provider(provider: ToldServer, name: str) -> None:
    """A client that goes away stops the generation it no longer pays attention to."""
    event = gemini({"text": "on and on"}, finish=None) if name == "gemini" else chat_chunk(content="on and on")
    provider.tell(told_events([event], "never"))
    upstream = _upstream(provider.address, name)
    async with upstream.open(_call(_stream("some-model"))) as reply:
        chunks = reply.chunks()
        await anext(chunks)
    assert await asyncio.to_thread(provider.hung_up.wait, 10)
    await upstream.close()


@pytest.mark.parametrize("limits", [{"deadline_s": 0.2}, {"silence_s": 0.2}])
@pytest.mark.parametrize("body", [_chat(), _stream()])
async def test_a_silent_provider_times_out(
    provider: ToldServer, limits: dict[str, float], body: dict[str, Any]
) -> None:
    """The deadline of the call and the longest silence both end it, and hang up."""
    provider.tell(
        Told((b" ",), content_type="text/event-stream" if body.get("stream") else "application/json", ending="silence")
    )
    with pytest.raises(UpstreamTimedOut):
        await _ask(_upstream(provider.address), _call(body, **limits))
    assert await asyncio.to_thread(provider.hung_up.wait, 10)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"candidates": [{"content": 7}]}', b"\xff\xfe"])
async def test_an_answer_that_litellm_cannot_read_is_a_failure(provider: ToldServer, body: bytes) -> None:
    """Whatever litellm trips over becomes an UpstreamFailed without the provider's text."""
    provider.tell(Told((body,)))
    with pytest.raises(UpstreamFailed, match="no answer that it could read"):
        await _ask(_upstream(provider.address), _call(_chat()))


async def test_embeddings_come_as_numbers_or_as_base64(provider: ToldServer) -> None:
    """The OpenAI package asks for base64 by default, which these providers do not speak."""
    row = {"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}
    told = told_json({"object": "list", "data": [row], "model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    provider.tell(told, told)
    body = {"model": "mistral-embed", "input": PROMPT}
    upstream = _upstream(provider.address, "mistral")
    answer = await _ask(upstream, _call(body, "/embeddings"))
    assert provider.last.path == "/v1/embeddings"
    assert answer["data"][0]["embedding"] == [0.5, 1.0]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    answer = await _ask(
        _upstream(provider.address, "mistral"), _call(body | {"encoding_format": "base64"}, "/embeddings")
    )
    assert struct.unpack("<2f", base64.b64decode(answer["data"][0]["embedding"])) == (0.5, 1.0)


async def test_gemini_embeds_through_the_same_connection(provider: ToldServer) -> None:
    """Gemini's embeddings are witnessed too: its count stands, and without one there is none."""
    rows = {"embeddings": [{"values": [0.5, 1.0]}]}
    provider.tell(told_json({**rows, "usageMetadata": {"promptTokenCount": 3}}), told_json(rows))
    body = {"model": "gemini-embedding-001", "input": PROMPT}
    answer = await _ask(_upstream(provider.address), _call(body, "/embeddings"))
    assert CODEC.read_usage(answer["usage"]).input_tokens == 3
    assert "usage" not in await _ask(_upstream(provider.address), _call(body, "/embeddings"))
