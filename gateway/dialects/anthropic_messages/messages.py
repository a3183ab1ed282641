"""Rendering turns as ``system`` and ``messages``, in the order that Anthropic demands.

- Leading system and developer turns become ``system``. Later ones stay where they are, as text of
  the user's turn between ``<system>`` marks, and are named. The API does know a ``system`` role
  inside ``messages``, but only on its newer models and only at certain places (anything else is a
  400), so it is left to byte pass-through; what is rendered here every model accepts.
  https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
- Neighbours of one role are one message, and a user message begins with its tool results.
- A conversation of system turns alone asks with the last of them, because ``messages`` must not
  be empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.dialects.anthropic_messages.blocks import Block, render_part, render_text
from gateway.domain.chat import Part, Role, Text, Turn
from gateway.errors import InvalidRequest

_INSTRUCTING = frozenset({Role.SYSTEM, Role.DEVELOPER})


def render_turns(turns: Sequence[Turn], dropped: list[str]) -> tuple[list[Block], list[dict[str, Any]]]:
    """The blocks of ``system``, and the ``messages``."""
    leading = _count_leading_instructions(turns)
    system: list[Block] = []
    messages: list[dict[str, Any]] = []
    for index, turn in enumerate(turns):
        place = f"messages[{index}]"
        if turn.name is not None:
            dropped.append(f"{place}.name")
        if index < leading:
            system += _render_system(turn, place, dropped)
        else:
            _append(messages, *_render_turn(turn, place, dropped))
    for message in messages:
        message["content"].sort(key=_comes_after_results)
    _end_in_visible_text(messages, dropped)
    if not messages:
        raise InvalidRequest(
            "messages hold nothing that Anthropic accepts; at least one message needs text without only blanks, "
            "an image, a document or a tool result",
            param="messages",
        )
    return system, messages


def continues_tool_turn_without_thinking(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether the last message answers tool calls of an assistant message that does not begin with thinking."""
    if len(messages) <= 1 or _comes_after_results(messages[-1]["content"][0]):
        return False
    return messages[-2]["content"][0]["type"] not in {"thinking", "redacted_thinking"}


def _count_leading_instructions(turns: Sequence[Turn]) -> int:
    for index, turn in enumerate(turns):
        if turn.role not in _INSTRUCTING:
            return index
    return len(turns) - 1


def _render_system(turn: Turn, place: str, dropped: list[str]) -> list[Block]:
    blocks: list[Block] = []
    for number, part in enumerate(turn.parts):
        inner_place = f"{place}.content[{number}]"
        if not isinstance(part, Text):
            dropped.append(f"{inner_place}: {type(part).__name__.lower()} in a system prompt")
        elif (block := render_text(part, inner_place, dropped)) is not None:
            blocks.append(block)
    return blocks


def _render_turn(turn: Turn, place: str, dropped: list[str]) -> tuple[str, list[Block]]:
    is_instruction = turn.role in _INSTRUCTING
    if is_instruction:
        dropped.append(f"{place}.role: {turn.role.value}→user")
    blocks: list[Block] = []
    for number, part in enumerate(turn.parts):
        shown = _between_marks(part) if is_instruction else part
        block = render_part(shown, f"{place}.content[{number}]", dropped)
        if block is not None:
            blocks.append(block)
    return "assistant" if turn.role is Role.ASSISTANT else "user", blocks


def _between_marks(part: Part) -> Part:
    if not isinstance(part, Text) or not part.text.strip():
        return part
    return Text(f"<system>\n{part.text}\n</system>", part.cache_control)


def _append(messages: list[dict[str, Any]], role: str, blocks: list[Block]) -> None:
    if not blocks:
        return
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += blocks
    else:
        messages.append({"role": role, "content": blocks})


def _comes_after_results(block: Block) -> bool:
    return bool(block["type"] != "tool_result")


def _end_in_visible_text(messages: list[dict[str, Any]], dropped: list[str]) -> None:
    """Anthropic refuses a prefill, the text of a last assistant message, that ends in white space."""
    if not messages or messages[-1]["role"] != "assistant":
        return
    last = messages[-1]["content"][-1]
    if last["type"] == "text" and last["text"] != last["text"].rstrip():
        last["text"] = last["text"].rstrip()
        dropped.append("messages: white space at the end of the last assistant turn")
