"""Whole answers: reading an upstream's message, and rendering one for a client.

Server tool blocks, their results and citations have no neutral value and are passed over; they
occur only where the client asked for them in this very dialect, and then its bytes pass through.
The explanation that Anthropic gives for a refusal becomes a :class:`Refusal` part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.anthropic_messages.arguments import INVALID_JSON_KEY, parse_arguments, write_arguments
from gateway.dialects.anthropic_messages.stop import read_stop, refusal_explanation, render_stop
from gateway.dialects.anthropic_messages.usage import read_usage, render_usage
from gateway.domain.chat import Answer, Part, RedactedThinking, Refusal, StopReason, Text, Thinking, ToolCall
from gateway.errors import UpstreamFailed


def read_answer(body: Mapping[str, Any]) -> Answer:
    """Read a message; raises :class:`UpstreamFailed` for an error body or anything that is no message."""
    if body.get("type") == "error":
        raise UpstreamFailed(f"the upstream answered with an error of type {error_type(body.get('error'))}")
    content = body.get("content")
    if not isinstance(content, list):
        raise UpstreamFailed("the upstream's answer is no message: it has no content array")
    parts = [part for block in content if (part := _read_block(block)) is not None]
    has_tool_calls = any(isinstance(part, ToolCall) for part in parts)
    stop = read_stop(body.get("stop_reason"), has_tool_calls=has_tool_calls)
    explanation = refusal_explanation(body.get("stop_details"))
    if stop is StopReason.REFUSAL and explanation is not None:
        parts.append(Refusal(explanation))
    usage = body.get("usage")
    return Answer(
        id=text_or_empty(body.get("id")),
        model=text_or_empty(body.get("model")),
        parts=tuple(parts),
        stop=stop,
        usage=read_usage(usage if isinstance(usage, Mapping) else {}),
        stop_sequence=text_or_empty(body.get("stop_sequence")) or None,
    )


def render_answer(answer: Answer) -> dict[str, Any]:
    """The message that tells ``answer``; the time of creation has no place in it."""
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [block for part in answer.parts if (block := _render_block(part)) is not None],
        "stop_reason": render_stop(
            answer.stop,
            has_tool_calls=any(isinstance(part, ToolCall) for part in answer.parts),
            has_refusal=any(isinstance(part, Refusal) for part in answer.parts),
        ),
        "stop_sequence": answer.stop_sequence,
        "usage": render_usage(answer.usage),
    }


def text_or_empty(value: Any) -> str:
    """``value`` where it is a string: ids and the like, which some compatible servers leave out."""
    return value if isinstance(value, str) else ""


def error_type(error: Any) -> str:
    """The type in an upstream's error object; never its message, which may quote the prompt."""
    kind = error.get("type") if isinstance(error, Mapping) else None
    return kind[:64] if isinstance(kind, str) and kind else "unknown"


def required_text(block: Mapping[str, Any], key: str) -> str:
    """A string that an upstream's content block cannot be without."""
    value = block.get(key)
    if not isinstance(value, str):
        raise UpstreamFailed(f"the upstream sent a content block without its '{key}'")
    return value


def _read_block(block: Any) -> Part | None:
    if not isinstance(block, Mapping):
        raise UpstreamFailed("the upstream sent a content block that is not an object")
    match block.get("type"):
        case "text":
            return Text(required_text(block, "text"))
        case "thinking":
            return Thinking(required_text(block, "thinking"), text_or_empty(block.get("signature")) or None)
        case "redacted_thinking":
            return RedactedThinking(required_text(block, "data"))
        case "tool_use":
            arguments = write_arguments(block.get("input"))
            return ToolCall(required_text(block, "id"), required_text(block, "name"), arguments)
        case _:
            return None


def _render_block(part: Part) -> dict[str, Any] | None:
    """The block for ``part``; None for an empty one, which Anthropic would refuse when it comes back."""
    match part:
        case Text(text) | Refusal(text):
            return {"type": "text", "text": text} if text else None
        case Thinking(text, signature):
            is_empty = not text and not signature
            return None if is_empty else {"type": "thinking", "thinking": text, "signature": signature or ""}
        case RedactedThinking(data):
            return {"type": "redacted_thinking", "data": data}
        case ToolCall(call_id, name, text):
            arguments = parse_arguments(text)
            # Cut short by max_tokens, or a weak model's slip: the client must see what was written.
            shown = {INVALID_JSON_KEY: text} if arguments is None else arguments
            return {"type": "tool_use", "id": call_id, "name": name, "input": shown}
        case _:
            raise UpstreamFailed(f"an answer cannot hold a part of kind {type(part).__name__}")
