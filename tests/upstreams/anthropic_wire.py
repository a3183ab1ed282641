"""Messages as Anthropic writes them on the wire, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.upstreams.replies import Counts, Finish, Reply, pieces, spelled
from tests.upstreams.signing import seal, sign

_STOP: Mapping[Finish, str] = {
    "end": "end_turn",
    "tools": "tool_use",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "content_filter": "refusal",
}
REDACTED = "what the provider will not show"


def usage(counts: Counts) -> dict[str, Any]:
    """Token counts as the service reports them: cached and cache-write tokens beside the input's."""
    return {
        "input_tokens": counts.prompt - counts.cached - counts.cache_write,
        "cache_creation_input_tokens": counts.cache_write,
        "cache_read_input_tokens": counts.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": counts.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": counts.completion,
        "output_tokens_details": {"thinking_tokens": counts.thinking},
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def content_blocks(reply: Reply, new_id: Callable[[str], str]) -> list[dict[str, Any]]:
    """The finished content blocks, thinking signed."""
    blocks: list[dict[str, Any]] = []
    if reply.is_redacted:
        blocks.append({"type": "redacted_thinking", "data": seal(REDACTED)})
    if reply.thinking:
        blocks.append({"type": "thinking", "thinking": reply.thinking, "signature": sign(reply.thinking)})
    if reply.text or reply.refusal:
        blocks.append({"type": "text", "text": reply.text or reply.refusal})
    blocks.extend(
        {
            "type": "tool_use",
            "id": new_id("toolu_"),
            "name": tool.name,
            "input": json.loads(tool.arguments),
            "caller": {"type": "direct"},
        }
        for tool in reply.tools
    )
    return blocks


def _stop(reply: Reply) -> dict[str, Any]:
    is_refusal = _STOP[reply.finish] == "refusal"
    return {
        "stop_reason": _STOP[reply.finish],
        "stop_sequence": reply.stopped_by if reply.finish == "stop_sequence" else None,
        "stop_details": {"type": "refusal", "category": None, "explanation": None} if is_refusal else None,
    }


def message(reply: Reply, message_id: str, model: str, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole message."""
    return {
        "model": model,
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "content": blocks,
        **_stop(reply),
        "usage": usage(reply.counts),
    }


def events(reply: Reply, message_id: str, model: str, blocks: list[dict[str, Any]]) -> Iterator[bytes]:
    """Every event of a streamed message, pings included."""
    begun: dict[str, Any] = {
        "model": model,
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {**usage(reply.counts), "output_tokens": 1, "output_tokens_details": None},
    }
    yield _event("message_start", message=begun)
    arguments = iter(tool.arguments for tool in reply.tools)
    for index, block in enumerate(blocks):
        yield _event("content_block_start", index=index, content_block=_empty(block))
        if index == 0:
            yield _event("ping")
        for delta in _deltas(block, arguments):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    used = usage(reply.counts)
    shown = (
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
        "output_tokens_details",
    )
    yield _event("message_delta", delta=_stop(reply), usage={name: used[name] for name in shown})
    yield _event("message_stop")


def _empty(block: dict[str, Any]) -> dict[str, Any]:
    match block["type"]:
        case "text":
            return {"type": "text", "text": ""}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "tool_use":
            return {**block, "input": {}}
        case _:
            return block


def _deltas(block: dict[str, Any], arguments: Iterator[str]) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "text":
            for piece in pieces(block["text"]):
                yield {"type": "text_delta", "text": piece}
        case "thinking":
            for piece in pieces(block["thinking"]):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            yield {"type": "input_json_delta", "partial_json": ""}
            for piece in pieces(next(arguments)):
                yield {"type": "input_json_delta", "partial_json": piece}


def _event(kind: str, **members: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + spelled({"type": kind, **members}) + b"\n\n"
