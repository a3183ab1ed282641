"""A chat completion, read into an answer and rendered from one.

A chat message has one field each for thinking, text, refusal and tool calls, and no order between
them: parts come back in that order, texts joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.openai_chat.calls import read_calls
from gateway.dialects.openai_chat.stops import BROKEN, read_stop, render_stop
from gateway.dialects.openai_chat.thinking import find_blocks, find_reasoning, render_thinking
from gateway.dialects.openai_chat.usage import read_usage, render_service_tier, render_usage
from gateway.domain.chat import Answer, Part, Refusal, Text, Thinking, ToolCall
from gateway.domain.events import Stopped
from gateway.domain.usage import Usage, UsageSource
from gateway.errors import UpstreamFailed


def read_answer(body: Mapping[str, Any]) -> Answer:
    """The answer that ``body`` holds: its first choice.

    Raises :class:`gateway.errors.UpstreamFailed` for an error in the guise of an answer, and for
    what holds no choice.
    """
    error = find_error(body)
    if error is not None:
        raise UpstreamFailed(f"the upstream answered with an error: {error[0]}")
    choice = _first_choice(body)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise UpstreamFailed("the upstream's answer has a choice without a message")
    finish_reason = choice.get("finish_reason")
    if isinstance(finish_reason, str) and finish_reason in BROKEN:
        raise UpstreamFailed(f"the upstream broke off its answer with finish_reason {finish_reason}")
    answer_id, model, created = read_identity(body)
    calls = read_calls(message, answer_id)
    refusal = find_text(message.get("refusal"))
    stopped = read_stop(finish_reason, choice.get("stop_reason"), has_calls=bool(calls), has_refusal=bool(refusal))
    return Answer(
        id=answer_id,
        model=model,
        parts=(*_read_said(message), *((Refusal(refusal),) if refusal else ()), *calls),
        stop=stopped.reason,
        usage=find_usage(body) or Usage(source=UsageSource.ESTIMATED),
        created=created,
        stop_sequence=stopped.stop_sequence,
    )


def _first_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    found = [choice for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, list) else []
    if not found:
        raise UpstreamFailed("the upstream's answer has no choices")
    return next((choice for choice in found if choice.get("index") == 0), found[0])


def _read_said(message: Mapping[str, Any]) -> tuple[Part, ...]:
    parts: tuple[Part, ...] = find_blocks(message)
    if not parts and (reasoning := find_reasoning(message)):
        parts = (Thinking(reasoning),)
    text = find_text(message.get("content"))
    return (*parts, Text(text)) if text else parts


def find_text(content: Any) -> str:
    """A string, or the text parts of a list as some servers send; empty for anything else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(part["text"] for part in content if isinstance(part, Mapping) and isinstance(part.get("text"), str))


def read_identity(body: Mapping[str, Any]) -> tuple[str, str, int]:
    """``id``, ``model`` and ``created`` of a completion or a chunk."""
    answer_id, model, created = body.get("id"), body.get("model"), body.get("created")
    return (
        answer_id if isinstance(answer_id, str) else "",
        model if isinstance(model, str) else "",
        created if isinstance(created, int) and not isinstance(created, bool) else 0,
    )


def find_usage(body: Mapping[str, Any]) -> Usage | None:
    """The usage of a completion or a chunk, with the tier that stands beside it."""
    raw = body.get("usage")
    if not isinstance(raw, Mapping) or not raw:
        return None
    tier = body.get("service_tier")
    return read_usage(raw, service_tier=tier if isinstance(tier, str) else None)


def find_error(body: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """Message and kind of an error that came in place of an answer or a chunk, if it is one."""
    error = body.get("error")
    if error is None and body.get("object") == "error":
        error = body  # older vLLM: the error is the body
    if isinstance(error, str) and error:
        return error, None
    if not isinstance(error, Mapping) or not error:
        return None
    message = error.get("message")
    kind = next((str(error[key]) for key in ("code", "type") if isinstance(error.get(key), str | int)), None)
    return message if isinstance(message, str) and message else "no message given", kind


def render_answer(answer: Answer) -> dict[str, Any]:
    """The chat completion that holds ``answer``."""
    refusal = "".join(part.text for part in answer.parts if isinstance(part, Refusal))
    texts = [part.text for part in answer.parts if isinstance(part, Text)]
    calls = [_render_call(part) for part in answer.parts if isinstance(part, ToolCall)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts or not (calls or refusal) else None,
        "refusal": refusal or None,
        **render_thinking(answer.parts),
    }
    if calls:
        message["tool_calls"] = calls
    stop = render_stop(Stopped(answer.stop, answer.stop_sequence), has_refusal=bool(refusal))
    return {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, **stop}],
        "usage": render_usage(answer.usage),
        **render_service_tier(answer.usage),
    }


def _render_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
