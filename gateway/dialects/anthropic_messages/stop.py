"""Why the model stopped: Anthropic's ``stop_reason`` and the neutral reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.domain.chat import StopReason

if TYPE_CHECKING:  # the package is the authority on its words, and takes over a second to import
    from anthropic.types import StopReason as AnthropicStopReason

_READ = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.STOP_SEQUENCE,
    "max_tokens": StopReason.MAX_TOKENS,
    "tool_use": StopReason.TOOL_CALLS,
    "refusal": StopReason.REFUSAL,
    "pause_turn": StopReason.PAUSED,
    "compaction": StopReason.PAUSED,
    "model_context_window_exceeded": StopReason.CONTEXT_FULL,
}
_RENDERED: Mapping[StopReason, AnthropicStopReason] = {
    StopReason.END: "end_turn",
    StopReason.STOP_SEQUENCE: "stop_sequence",
    StopReason.MAX_TOKENS: "max_tokens",
    StopReason.TOOL_CALLS: "tool_use",
    StopReason.REFUSAL: "refusal",
    StopReason.CONTENT_FILTER: "refusal",
    StopReason.CONTEXT_FULL: "model_context_window_exceeded",
    StopReason.PAUSED: "pause_turn",
}


def read_stop(reason: Any, *, has_tool_calls: bool) -> StopReason:
    """The neutral reason; one that is missing or unknown is told from the answer's parts."""
    known = _READ.get(reason) if isinstance(reason, str) else None
    return known or (StopReason.TOOL_CALLS if has_tool_calls else StopReason.END)


def render_stop(reason: StopReason, *, has_tool_calls: bool, has_refusal: bool) -> AnthropicStopReason:
    """Anthropic's word for ``reason``.

    Anthropic clients run tools only on ``tool_use``, and some OpenAI-compatible servers end an
    answer full of tool calls with a plain ``stop``; likewise a refusal. The parts decide there.
    """
    if reason is StopReason.END and has_tool_calls:
        return "tool_use"
    if reason is StopReason.END and has_refusal:
        return "refusal"
    return _RENDERED[reason]


def refusal_explanation(details: Any) -> str | None:
    """The explanation in a refusal's ``stop_details``, if there is one."""
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return explanation if isinstance(explanation, str) and explanation else None
