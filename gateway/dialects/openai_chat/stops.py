"""Stop reasons and ``finish_reason``.

A ``stop`` beside tool calls reads as tool calls: OpenAI says so when a tool was forced, and an
agent that waits for them must not take the turn for ended. A refusal with the model's own words is
``stop`` beside ``message.refusal``, as OpenAI has it; one without words is ``content_filter``. The
stop sequence that was met stands in ``stop_reason`` of the choice, vLLM's extension field. A full
context is ``length`` and a paused turn ``stop``, the nearest words there are.
"""

from __future__ import annotations

from typing import Any

from gateway.domain.chat import StopReason
from gateway.domain.events import Stopped

BROKEN = frozenset(("error", "abort"))
"""What OpenRouter and vLLM say when generation broke: no answer, whatever came before."""

_READ = {
    "length": StopReason.MAX_TOKENS,
    "content_filter": StopReason.CONTENT_FILTER,
}

_RENDERED = {
    StopReason.END: "stop",
    StopReason.STOP_SEQUENCE: "stop",
    StopReason.MAX_TOKENS: "length",
    StopReason.TOOL_CALLS: "tool_calls",
    StopReason.CONTENT_FILTER: "content_filter",
    StopReason.CONTEXT_FULL: "length",
    StopReason.PAUSED: "stop",
}


def read_stop(finish_reason: Any, stop_sequence: Any, *, has_calls: bool, has_refusal: bool) -> Stopped:
    """Why the model stopped, by its choice's ``finish_reason`` and ``stop_reason``."""
    if isinstance(finish_reason, str) and finish_reason in _READ:
        return Stopped(_READ[finish_reason])
    if has_calls:
        return Stopped(StopReason.TOOL_CALLS)
    if has_refusal:
        return Stopped(StopReason.REFUSAL)
    # vLLM puts a token's number here when a token stopped it: not a sequence.
    if isinstance(stop_sequence, str):
        return Stopped(StopReason.STOP_SEQUENCE, stop_sequence)
    return Stopped(StopReason.END)


def render_stop(stopped: Stopped, *, has_refusal: bool) -> dict[str, Any]:
    """``finish_reason``, and ``stop_reason`` where a sequence stopped it."""
    if stopped.reason is StopReason.REFUSAL:
        return {"finish_reason": "stop" if has_refusal else "content_filter"}
    fields: dict[str, Any] = {"finish_reason": _RENDERED[stopped.reason]}
    if stopped.stop_sequence is not None:
        fields["stop_reason"] = stopped.stop_sequence
    return fields
