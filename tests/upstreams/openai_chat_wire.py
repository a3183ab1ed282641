"""Chat completions as OpenAI writes them on the wire, whole and streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.upstreams.replies import Counts, Finish, Reply, pieces, spelled

_FINISH: Mapping[Finish, str] = {
    "end": "stop",
    "tools": "tool_calls",
    "length": "length",
    "stop_sequence": "stop",
    "refusal": "stop",
    "content_filter": "content_filter",
}
CREATED = 1763790000
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class ChatShape:
    """What all chunks of one answer share, and which dialect of the dialect they are in.

    ``thinking_field`` is where a compatible server puts its reasoning (``reasoning_content`` or
    ``reasoning``); OpenAI itself shows none in Chat.
    """

    id: str
    model: str
    new_id: Callable[[str], str]
    thinking_field: str | None = None
    candidates: int = 1
    include_usage: bool = False


def usage(counts: Counts) -> dict[str, Any]:
    """Token counts as the service reports them: cached tokens inside the prompt's."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {
            "cached_tokens": counts.cached,
            "audio_tokens": 0,
            "cache_write_tokens": counts.cache_write,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counts.thinking,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion(reply: Reply, shape: ChatShape) -> dict[str, Any]:
    """A whole chat completion."""
    return {
        "id": shape.id,
        "object": "chat.completion",
        "created": CREATED,
        "model": shape.model,
        "choices": [
            {
                "index": index,
                "message": _message(reply, shape),
                "logprobs": None,
                "finish_reason": _FINISH[reply.finish],
            }
            for index in range(shape.candidates)
        ],
        "usage": usage(reply.counts),
        "service_tier": "default",
        "system_fingerprint": "fp_loopback",
    }


def _message(reply: Reply, shape: ChatShape) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.text or None,
        "refusal": reply.refusal or None,
        "annotations": [],
    }
    if shape.thinking_field and reply.thinking:
        message[shape.thinking_field] = reply.thinking
    if reply.tools:
        message["tool_calls"] = [
            {
                "id": shape.new_id("call_"),
                "type": "function",
                "function": {"name": tool.name, "arguments": tool.arguments},
            }
            for tool in reply.tools
        ]
    return message


def chunks(reply: Reply, shape: ChatShape) -> Iterator[bytes]:
    """The events of a streamed chat completion, the terminal ``[DONE]`` included."""
    for index in range(shape.candidates):
        for delta in _deltas(reply, shape):
            yield _event(shape, [_choice(index, delta, None)])
        yield _event(shape, [_choice(index, {}, _FINISH[reply.finish])])
    if shape.include_usage:
        yield _event(shape, [], usage(reply.counts))
    yield DONE


def _choice(index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _deltas(reply: Reply, shape: ChatShape) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if reply.text else None, "refusal": None}
    if shape.thinking_field:
        for piece in pieces(reply.thinking):
            yield {shape.thinking_field: piece}
    for piece in pieces(reply.text):
        yield {"content": piece}
    for piece in pieces(reply.refusal):
        yield {"refusal": piece}
    for place, tool in enumerate(reply.tools):
        head = {"index": place, "id": shape.new_id("call_"), "type": "function"}
        yield {"tool_calls": [{**head, "function": {"name": tool.name, "arguments": ""}}]}
        for piece in pieces(tool.arguments):
            yield {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}


def _event(shape: ChatShape, choices: list[dict[str, Any]], used: dict[str, Any] | None = None) -> bytes:
    chunk: dict[str, Any] = {
        "id": shape.id,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": shape.model,
        "service_tier": "default",
        "system_fingerprint": "fp_loopback",
        "choices": choices,
    }
    if shape.include_usage:
        chunk["usage"] = used
    chunk["obfuscation"] = "aN3x"
    return b"data: " + spelled(chunk) + b"\n\n"
