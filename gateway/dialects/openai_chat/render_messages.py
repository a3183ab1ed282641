"""Turns rendered as messages.

Chat holds each tool result in a message of its own, directly after the calls, and only as text.
So a user turn renders as its results first, then one user message with everything else: the
images and documents of the results, below a line that names their call, and the turn's own parts.
An assistant message has no order between its fields: thinking that stood between text or calls
(Anthropic's interleaved thinking) comes back before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from gateway.dialects.openai_chat.content import render_content
from gateway.dialects.openai_chat.thinking import render_thinking
from gateway.domain.chat import (
    Audio,
    Document,
    Image,
    Part,
    RedactedThinking,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)

_BETWEEN_REFUSALS = "\n\n"
"""Stands between refusals that share a message because they follow a call."""


def render_messages(turns: Iterable[Turn], dropped: list[str]) -> list[dict[str, Any]]:
    """The messages that say ``turns``; adds to ``dropped`` what they cannot."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        match turn.role:
            case Role.USER:
                messages += _render_user(turn, dropped)
            case Role.ASSISTANT:
                messages += [_render_assistant(part, dropped) for part in _in_order(turn)]
            case Role.SYSTEM | Role.DEVELOPER:
                said = [part for part in turn.parts if isinstance(part, Text)]
                _name_others(turn, (Text,), dropped)
                messages.append(_message(turn, render_content(said)))
    return messages


def _message(turn: Turn, content: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role.value, "content": content}
    if turn.name is not None:
        message["name"] = turn.name
    return message


def _name_others(turn: Turn, kinds: tuple[type, ...], dropped: list[str]) -> None:
    dropped += [
        f"{turn.role.value}.{type(part).__name__.lower()}" for part in turn.parts if not isinstance(part, kinds)
    ]


def _name_contexts(parts: Iterable[Part], dropped: list[str]) -> None:
    """A file part has no place for a document's context; text documents say it."""
    if any(isinstance(part, Document) and part.context is not None and part.text is None for part in parts):
        dropped.append("document.context")


def _render_user(turn: Turn, dropped: list[str]) -> list[dict[str, Any]]:
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    own = [part for part in turn.parts if isinstance(part, Text | Image | Document | Audio)]
    _name_others(turn, (Text, Image, Document, Audio, ToolResult), dropped)
    _name_contexts([*own, *(part for result in results for part in result.parts)], dropped)
    messages = [_render_result(result, dropped) for result in results]
    attached = [part for result in results for part in _attachments(result)]
    if attached or own or not results:
        messages.append(_message(turn, render_content([*attached, *own])))
    return messages


def _render_result(result: ToolResult, dropped: list[str]) -> dict[str, Any]:
    if result.is_error:
        dropped.append("tool_result.is_error")
    said = [part for part in result.parts if _is_text(part)]
    message: dict[str, Any] = {"role": "tool", "tool_call_id": result.call_id, "content": render_content(said)}
    if result.cache_control is not None:
        message["cache_control"] = dict(result.cache_control)
    return message


def _is_text(part: Text | Image | Document) -> bool:
    return isinstance(part, Text) or (isinstance(part, Document) and part.text is not None)


def _attachments(result: ToolResult) -> list[Text | Image | Document]:
    """What a tool message cannot hold, below a line that says where it belongs."""
    attached = [part for part in result.parts if not _is_text(part)]
    return [Text(f"Returned by tool call {result.call_id}:"), *attached] if attached else []


def _in_order(turn: Turn) -> Iterator[Turn]:
    """The turn, cut after each refusal that text or another refusal follows.

    A message has one field for refusals and one for text, and no order between them. What follows a
    call stays with it, as the call's result must come next.
    """
    begin, refused = 0, False
    for place, part in enumerate(turn.parts):
        if isinstance(part, ToolCall):
            break
        if refused and isinstance(part, Text | Refusal):
            yield replace(turn, parts=turn.parts[begin:place])
            begin, refused = place, False
        refused = refused or isinstance(part, Refusal)
    yield replace(turn, parts=turn.parts[begin:]) if begin else turn


def _render_assistant(turn: Turn, dropped: list[str]) -> dict[str, Any]:
    said = [part for part in turn.parts if isinstance(part, Text)]
    refusals = [part.text for part in turn.parts if isinstance(part, Refusal)]
    calls = [part for part in turn.parts if isinstance(part, ToolCall)]
    _name_others(turn, (Text, Refusal, ToolCall, Thinking, RedactedThinking), dropped)
    message = _message(turn, render_content(said) if said or not (calls or refusals) else None)
    message |= render_thinking(turn.parts)
    if refusals:
        message["refusal"] = _BETWEEN_REFUSALS.join(refusals)
    if calls:
        message["tool_calls"] = [_render_call(call) for call in calls]
    return message


def _render_call(call: ToolCall) -> dict[str, Any]:
    # Chat templates parse the arguments; a call without any is written "" by some models.
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    rendered: dict[str, Any] = {"id": call.id, "type": "function", "function": function}
    if call.cache_control is not None:
        rendered["cache_control"] = dict(call.cache_control)
    return rendered
