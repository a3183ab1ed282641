"""litellm's providers, called over real sockets."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.dialects.openai_chat.usage import read_usage
from gateway.errors import UpstreamRefused
from tests.adapters.litellm_calls import (
    AS_LITELLM_WARNS,
    PROMPT,
    ask,
    calling,
    chat_body,
    listen,
    stream_body,
    upstream_at,
)
from tests.adapters.litellm_server import (
    CHAT_USAGE,
    GEMINI_USAGE,
    ToldServer,
    chat,
    chat_chunk,
    gemini,
    told_events,
    told_json,
)

pytestmark = AS_LITELLM_WARNS

THOUGHT = {"text": "I think", "thought": True}
SIGNED = {"text": "Paris", "thoughtSignature": "c2ln"}
CALL = {"functionCall": {"name": "look", "args": {"city": "Paris"}}, "thoughtSignature": "dG9vbA=="}


@pytest.fixture(scope="module")
def provider() -> Iterator[ToldServer]:
    """The server that every test tells what to answer."""
    with ToldServer() as server:
        yield server


async def test_gemini_is_asked_with_the_operators_key_and_answers_in_chat(provider: ToldServer) -> None:
    """Gemini's answer comes back as a chat completion with thinking, signatures and its own counts."""
    provider.tell(told_json(gemini(THOUGHT, SIGNED)))
    answer = await ask(upstream_at(provider.address), calling(chat_body(reasoning_effort="low", user="u")))
    sent = provider.last
    assert sent.path == "/models/gemini-2.5-flash:generateContent"
    assert (sent.headers["x-goog-api-key"], sent.headers["x-operator"]) == ("sk-operator", "yes")
    assert sent.json["generationConfig"]["thinkingConfig"]["includeThoughts"] is True
    message = answer["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Paris", "I think")
    assert message["provider_specific_fields"]["thought_signatures"] == ["c2ln"]
    usage = read_usage(answer["usage"])
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.thinking_tokens) == (6, 4, 12, 7)
    assert usage.reported_cost_usd is None
    assert usage.raw["provider_usage"] == GEMINI_USAGE


async def test_a_model_name_with_the_providers_prefix_is_not_prefixed_twice(provider: ToldServer) -> None:
    """``gemini/gemini-2.5-flash`` and ``gemini-2.5-flash`` are the same model at Gemini."""
    provider.tell(told_json(gemini(SIGNED)))
    await ask(upstream_at(provider.address), calling(chat_body("gemini/gemini-2.5-flash")))
    assert provider.last.path == "/models/gemini-2.5-flash:generateContent"


async def test_gemini_streams_what_it_would_answer_whole(provider: ToldServer) -> None:
    """The joined stream has the whole answer's text, thinking, signature and usage, and ends in [DONE]."""
    provider.tell(told_events([gemini(THOUGHT, finish=None), gemini(SIGNED)]))
    events = await listen(upstream_at(provider.address), calling(stream_body(reasoning_effort="low")))
    assert provider.last.path == "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert events.pop() == b"[DONE]"
    counted = events.pop()
    assert counted["choices"] == []
    assert counted["usage"]["provider_usage"] == GEMINI_USAGE
    assert read_usage(counted["usage"]).thinking_tokens == 7
    assert read_usage(counted["usage"]).reported_cost_usd is None
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
    upstream = upstream_at(provider.address)
    first = await ask(upstream, calling(chat_body(tools=tools)))
    message = first["choices"][0]["message"]
    assert message["content"] is None
    turns = [
        {"role": "user", "content": PROMPT},
        message,
        {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"},
    ]
    await ask(upstream_at(provider.address), calling(chat_body(tools=tools) | {"messages": turns}))
    parts = [part for content in provider.last.json["contents"] for part in content["parts"]]
    assert [part["thoughtSignature"] for part in parts if "thoughtSignature" in part] == ["dG9vbA=="]


async def test_a_cache_mark_makes_gemini_store_nothing(provider: ToldServer) -> None:
    """A cache_control mark leads to one call, and not to a stored context that is billed by the hour."""
    provider.tell(told_json(gemini(SIGNED)))
    part = {"type": "text", "text": PROMPT * 2000, "cache_control": {"type": "ephemeral"}}
    await ask(upstream_at(provider.address), calling(chat_body() | {"messages": [{"role": "user", "content": [part]}]}))
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
    upstream = upstream_at(provider.address, name)
    async with upstream.open(calling(chat_body(model))) as reply:
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
    events = await listen(upstream, calling(stream_body(model)))
    assert events[-2]["usage"] == CHAT_USAGE
    assert events[0]["choices"][0]["delta"]["reasoning_content"] == "I think"


async def test_a_stream_without_usage_reports_none(provider: ToldServer) -> None:
    """litellm's estimate is not passed off as the provider's count."""
    provider.tell(told_events([chat_chunk(content="Paris"), chat_chunk("stop")]))
    events = await listen(upstream_at(provider.address, "mistral"), calling(stream_body("mistral-large-latest")))
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
        await ask(upstream_at(provider.address), calling(chat_body() | extra))
    assert refusal.value.http_status == 400
    error = json.loads(refusal.value.body)["error"]
    assert error["param"].split("[")[0] == next(iter(extra))
    assert PROMPT not in refusal.value.message
    assert provider.requests == []


async def test_embeddings_come_as_numbers_or_as_base64(provider: ToldServer) -> None:
    """The OpenAI package asks for base64 by default, which these providers do not speak."""
    row = {"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}
    told = told_json({"object": "list", "data": [row], "model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    provider.tell(told, told)
    body = {"model": "mistral-embed", "input": PROMPT}
    upstream = upstream_at(provider.address, "mistral")
    answer = await ask(upstream, calling(body, "/embeddings"))
    assert provider.last.path == "/v1/embeddings"
    assert answer["data"][0]["embedding"] == [0.5, 1.0]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    answer = await ask(
        upstream_at(provider.address, "mistral"), calling(body | {"encoding_format": "base64"}, "/embeddings")
    )
    assert struct.unpack("<2f", base64.b64decode(answer["data"][0]["embedding"])) == (0.5, 1.0)


async def test_gemini_embeds_through_the_same_connection(provider: ToldServer) -> None:
    """Gemini's embeddings are witnessed too: its count stands, and without one there is none."""
    rows = {"embeddings": [{"values": [0.5, 1.0]}]}
    provider.tell(told_json({**rows, "usageMetadata": {"promptTokenCount": 3}}), told_json(rows))
    body = {"model": "gemini-embedding-001", "input": PROMPT}
    answer = await ask(upstream_at(provider.address), calling(body, "/embeddings"))
    assert read_usage(answer["usage"]).input_tokens == 3
    assert "usage" not in await ask(upstream_at(provider.address), calling(body, "/embeddings"))


async def test_every_stop_sequence_is_sent(provider: ToldServer) -> None:
    """litellm would keep the first four and say nothing."""
    provider.tell(told_json(gemini(SIGNED)))
    await ask(upstream_at(provider.address), calling(chat_body(stop=list("abcdef"))))
    assert provider.last.json["generationConfig"]["stop_sequences"] == list("abcdef")
