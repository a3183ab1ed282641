"""What does not go together: reasons not to think, and parameters that thinking drives out.

A client's demands (a forced tool, a begun answer, a form) come before an arm's wish to think; a
client's tuning (sampling) comes after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.adapters.thinking.draft import Draft
from gateway.adapters.thinking.writers import in_unthinking_tool_turn
from gateway.domain.capabilities import Control, Taken
from gateway.domain.chat import ThinkingMode

_SAMPLING: Mapping[str, tuple[object, ...]] = {
    "temperature": (1,),
    "top_p": (1,),
    "top_k": (),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
}
"""Sampling parameters, and the values that say what happens anyway: those are dropped without a word."""

_FORCED = ("any", "tool", "required", "function", "custom", "allowed_tools")
_FORMS = ("json_object", "json_schema")


def reason_not_to_think(draft: Draft, *, has_budget: bool) -> str | None:
    """Why the model cannot think about this request, if it cannot."""
    capability = draft.capability
    if forces_tools(draft) and (
        capability.forced_tools is Taken.WITHOUT_THINKING
        or (capability.forced_tools is Taken.WITHOUT_BUDGET and has_budget)
    ):
        return "the request forces a tool call, which this model takes only without thinking"
    if capability.prefill is Taken.WITHOUT_THINKING and ends_in_answer(draft):
        return "the conversation ends in a begun answer, which this model takes only without thinking"
    if capability.tools_in_chat is Taken.WITHOUT_THINKING and draft.is_chat and has_tools(draft):
        return "this model takes tools in Chat Completions only without thinking, with it in the Responses API"
    if not capability.thinks_unstreamed and not draft.is_stream:
        return "this model thinks only in streams"
    if capability.control is Control.ANTHROPIC and capability.can_stop_thinking and in_unthinking_tool_turn(draft):
        return "the tool's result continues an answer that began without thinking"
    if capability.control is Control.PLAIN and demands_form(draft):
        return "the answer must have a form that leaves no place for tags"
    return None


def drop_excluded(draft: Draft, *, is_thinking: bool) -> None:
    """Take away, each with a remark, what the provider would refuse beside the thinking there is now."""
    capability = draft.capability
    if capability.forced_tools is Taken.NEVER and forces_tools(draft):
        others = {name: value for name, value in draft.members("tool_choice").items() if name not in {"type", "name"}}
        draft.set("tool_choice", {**others, "type": "auto"} if draft.is_messages else "auto")
        draft.remark("tool_choice sent as auto: this model cannot be forced to call a tool")
    if capability.prefill is Taken.NEVER and ends_in_answer(draft):
        messages = list(draft.get("messages"))
        while len(messages) > 1 and _is_answer(messages[-1]):  # several count as one
            messages.pop()
        draft.set("messages", messages)
        draft.remark("the begun answer at the end of the conversation dropped: not taken by this model")
    if capability.sampling is Taken.NEVER or (capability.sampling is Taken.WITHOUT_THINKING and is_thinking):
        when = "not taken by this model" if capability.sampling is Taken.NEVER else "not taken while thinking"
        for name, defaults in _SAMPLING.items():
            _drop_parameter(draft, name, when, defaults)
    for name in sorted(capability.refuses):
        _drop_parameter(draft, name, "not taken by this model", ())
    if draft.is_chat and not capability.takes_max_tokens and draft.get("max_tokens") is not None:
        # The same limit under the name that reasoning models know it by.
        draft.set("max_completion_tokens", draft.get("max_completion_tokens") or draft.get("max_tokens"))
        draft.drop("max_tokens")


def _drop_parameter(draft: Draft, name: str, when: str, harmless: tuple[object, ...]) -> None:
    value = draft.get(name)
    if value is None:
        return
    draft.drop(name)
    if value not in harmless:
        draft.remark(f"{name} dropped: {when}")


def has_tools(draft: Draft) -> bool:
    """Whether the request declares tools."""
    return bool(draft.get("tools"))


def forces_tools(draft: Draft) -> bool:
    """Whether the request demands that a tool be called."""
    choice: Any = draft.get("tool_choice")
    if isinstance(choice, Mapping):
        choice = choice.get("type")
    return isinstance(choice, str) and choice in _FORCED


def ends_in_answer(draft: Draft) -> bool:
    """Whether the conversation ends in the beginning of the answer."""
    messages = draft.get("messages")
    return isinstance(messages, list) and len(messages) > 1 and _is_answer(messages[-1])


def _is_answer(message: Any) -> bool:
    return isinstance(message, Mapping) and message.get("role") == "assistant"


def demands_form(draft: Draft) -> bool:
    """Whether the answer must be JSON."""
    chat = draft.members("response_format").get("type")
    text = draft.members("text").get("format")
    responses = text.get("type") if isinstance(text, Mapping) else None
    messages = draft.members("output_config").get("format")
    return chat in _FORMS or responses in _FORMS or messages is not None


def thinks_anyway(draft: Draft) -> bool:
    """Whether the request makes the model think as it stands: by its own fields, or by default."""
    thinking = draft.members("thinking").get("type")
    if thinking is not None:
        return thinking in (ThinkingMode.ENABLED.value, ThinkingMode.ADAPTIVE.value)
    effort = draft.get("reasoning_effort") or draft.members("reasoning").get("effort")
    if isinstance(effort, str):
        return effort != "none"
    return draft.capability.thinks_by_default
