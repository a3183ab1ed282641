"""Any JSON at all gives a value or one of our errors, never a crash."""

from __future__ import annotations

import copy
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.json_bytes import dumps, loads
from gateway.dialects.openai_chat import CODEC
from gateway.dialects.openai_chat.usage import read_usage
from gateway.dialects.sse import SseEvent
from gateway.errors import InvalidRequest, UpstreamFailed
from tests.dialects.openai_chat.transcripts import transcript
from tests.dialects.strategies import answers, conversations, json_scalars

# fmt: off
_WORDS = (
    "model", "messages", "role", "content", "type", "text", "image_url", "url", "file", "file_data", "file_id",
    "input_audio", "data", "format", "tools", "function", "name", "parameters", "tool_calls", "tool_call_id",
    "id", "index", "arguments", "tool_choice", "allowed_tools", "mode", "response_format", "json_schema",
    "schema", "stop", "stream", "stream_options", "include_usage", "thinking_blocks", "thinking", "signature",
    "reasoning_content", "reasoning", "choices", "delta", "message", "finish_reason", "usage", "prompt_tokens",
    "completion_tokens", "total_tokens", "cost", "error", "object", "prompt_tokens_details",
    "completion_tokens_details", "cached_tokens", "reasoning_tokens", "refusal", "function_call", "audio",
)
# fmt: on
_VALUES = (
    "user",
    "assistant",
    "system",
    "tool",
    "function",
    "json_schema",
    "text",
    "redacted_thinking",
    "stop",
    "error",
)

_leaves = st.one_of(json_scalars, st.sampled_from([*_VALUES, *_WORDS]), st.integers(-1, 2))

_likely_json: st.SearchStrategy[Any] = st.recursive(
    _leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_WORDS), inner, max_size=5)),
    max_leaves=20,
)

_objects = st.dictionaries(st.sampled_from(_WORDS), _likely_json, max_size=8)


def _places(value: Any) -> list[tuple[Any, Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, member in members:
        found.append((value, key))
        found += _places(member)
    return found


def _mutated(value: Any, replacement: Any, seed: int) -> Any:
    """``value`` with one member somewhere inside it replaced."""
    changed = copy.deepcopy(value)
    places = _places(changed)
    container, key = places[random.Random(seed).randrange(len(places))]
    container[key] = replacement
    return changed


def _read_and_render(body: Any) -> None:
    refusal = None
    try:
        conversation = CODEC.read_request(body)
    except InvalidRequest as fault:
        refusal = fault
    if refusal is None:
        dumps(CODEC.render_request(conversation, max_output_tokens=1).body)
    else:
        assert refusal.param
        assert refusal.message.startswith(refusal.param)


@given(_objects)
def test_any_object_as_a_request(body: dict[str, Any]) -> None:
    """A request of arbitrary JSON is read, or refused with the place of its fault."""
    _read_and_render(body)


@given(conversations(), _likely_json, st.integers(0, 10**6))
def test_a_request_with_one_wrong_member(conversation: Any, replacement: Any, seed: int) -> None:
    """A valid request with any one member replaced by any JSON is read, or refused with its place."""
    body = loads(dumps(CODEC.render_request(conversation, max_output_tokens=1).body))
    _read_and_render(_mutated(body, replacement, seed))


def _read_answer_and_render(body: Any) -> None:
    try:
        answer = CODEC.read_answer(body)
    except UpstreamFailed:
        return
    dumps(CODEC.render_answer(answer))


@given(_objects)
def test_any_object_as_an_answer(body: dict[str, Any]) -> None:
    """An answer of arbitrary JSON is read or refused."""
    _read_answer_and_render(body)


@given(answers(), _likely_json, st.integers(0, 10**6))
def test_an_answer_with_one_wrong_member(answer: Any, replacement: Any, seed: int) -> None:
    """A valid answer with any one member replaced by any JSON is read or refused."""
    _read_answer_and_render(_mutated(loads(dumps(CODEC.render_answer(answer))), replacement, seed))


@given(_objects)
def test_any_object_as_usage(raw: dict[str, Any]) -> None:
    """Usage of arbitrary JSON reads as counts that are never negative and never exceed their whole."""
    usage = read_usage(raw)
    assert min(usage.input_tokens, usage.cached_tokens, usage.cache_write_5m_tokens, usage.output_tokens) >= 0
    assert 0 <= usage.thinking_tokens <= usage.output_tokens
    assert 0 <= usage.audio_input_tokens <= usage.input_tokens


_CHUNKS = [
    loads(block.removeprefix(b"data: "))
    for name in ("openai_parallel_tools", "openai_refusal", "vllm_thinking", "vllm_parallel_tools")
    for block in transcript(name).split(b"\n\n")
    if block.startswith(b"data: {")
]


@given(st.lists(st.tuples(st.sampled_from(_CHUNKS), _likely_json, st.integers(0, 10**6)), max_size=6), st.booleans())
def test_any_chunks_as_a_stream(changes: list[tuple[Any, Any, int]], is_named: bool) -> None:
    """Chunks in any order, each with one member replaced, are read or refused."""
    reader, writer = CODEC.reader(), CODEC.writer(include_usage=True)
    try:
        for chunk, replacement, seed in changes:
            data = dumps(_mutated(chunk, replacement, seed))
            for event in reader.feed(SseEvent("error" if is_named else "", data)):
                writer.write(event)
        for event in reader.feed(SseEvent("", b"[DONE]")):
            writer.write(event)
    except UpstreamFailed:
        return


@given(st.binary(max_size=30))
def test_any_bytes_as_a_stream_event(data: bytes) -> None:
    """Bytes that are no JSON object are refused as an upstream's failure."""
    try:
        CODEC.reader().feed(SseEvent("", data))
    except UpstreamFailed:
        return
