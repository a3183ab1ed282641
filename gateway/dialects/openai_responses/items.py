"""Input items to turns: messages, reasoning, function calls and their outputs.

Items that an assistant produced one after another make one turn, as the other dialects have it;
so do outputs of functions that were called together. Items that only the upstream that made them
can read (web searches, stored references, …) are refused, because no other model can go on from
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from gateway.dialects.openai_responses.content import ASSISTANT_TYPES, INPUT_TYPES, TOOL_OUTPUT_TYPES, read_part
from gateway.dialects.openai_responses.fields import Fields, shown
from gateway.dialects.seals import read_sealed
from gateway.domain.chat import (
    Document,
    Image,
    Part,
    RedactedThinking,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.errors import InvalidRequest

_ITEM = frozenset({"type", "id", "status"})
_MESSAGE = _ITEM | {"role", "content"}
_CALL = _ITEM | {"call_id", "name", "arguments"}
_OUTPUT = _ITEM | {"call_id", "output"}
_REASONING = _ITEM | {"summary", "content", "encrypted_content"}
_ACCEPTED = "message, function_call, function_call_output, reasoning"
_ROLES = {role.value: role for role in Role}

BETWEEN_SUMMARIES = "\n\n"
"""Stands between the summary parts of one reasoning item when they are read as one text."""


def read_input(body: Fields, extras: dict[str, Any]) -> tuple[Turn, ...]:
    """The turns in ``input``: a string is one user turn, a list holds items."""
    given = body.body.get("input")
    if isinstance(given, str):
        return (Turn(Role.USER, (Text(given),)),)
    if not isinstance(given, list) or not given:
        raise body.wrong("input", "a string or a list of at least one input item")
    turns = _Turns()
    for item in body.inners("input"):
        _read_item(item, turns, extras)
    return tuple(turns.finished())


class _Turns:
    """Gathers parts into turns."""

    __slots__ = ("_gathering", "_parts", "_turns")

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._parts: list[Part] = []
        self._gathering: Role | None = None

    def add(self, role: Role, parts: Iterable[Part]) -> None:
        """Parts that belong with the neighbours of the same role: an answer's, or function outputs."""
        if self._gathering is not role:
            self._close()
            self._gathering = role
        self._parts.extend(parts)

    def add_turn(self, turn: Turn) -> None:
        """A turn of its own."""
        self._close()
        self._turns.append(turn)

    def finished(self) -> list[Turn]:
        """All turns."""
        self._close()
        return self._turns

    def _close(self) -> None:
        if self._gathering is not None and self._parts:
            self._turns.append(Turn(self._gathering, tuple(self._parts)))
        self._parts = []
        self._gathering = None


def _read_item(item: Fields, turns: _Turns, extras: dict[str, Any]) -> None:
    kind = item.optional_text("type") or ("message" if "role" in item.body else "item_reference")
    match kind:
        case "message":
            _read_message(item, turns, extras)
        case "function_call":
            extras.update(item.leftovers(_CALL))
            call = ToolCall(item.word("call_id"), item.word("name"), item.text("arguments"))
            turns.add(Role.ASSISTANT, (call,))
        case "function_call_output":
            extras.update(item.leftovers(_OUTPUT))
            result = ToolResult(item.word("call_id"), _read_output(item, extras))
            turns.add(Role.USER, (result,))
        case "reasoning":
            extras.update(item.leftovers(_REASONING))
            thinking = read_reasoning(item)
            turns.add(Role.ASSISTANT, () if thinking is None else (thinking,))
        case "item_reference":
            raise InvalidRequest(
                f"`{item.path}` refers to an item stored at another server, which no other model can read; "
                "send the whole item in its place",
                param=item.path,
            )
        case _:
            raise InvalidRequest(
                f"`{item.path}` is of type {shown(kind)}, which only the upstream that made it can read; "
                f"what can be translated for another model: {_ACCEPTED}",
                param=item.at("type"),
            )


def _read_message(item: Fields, turns: _Turns, extras: dict[str, Any]) -> None:
    role = _ROLES.get(item.optional_text("role") or "")
    if role is None:
        raise item.fault(item.at("role"), f"`{item.at('role')}` must be one of {', '.join(_ROLES)}")
    extras.update(item.leftovers(_MESSAGE))
    accepted = ASSISTANT_TYPES if role is Role.ASSISTANT else INPUT_TYPES
    parts = _read_content(item, "content", accepted, extras)
    if role is Role.ASSISTANT:
        turns.add(role, parts)
    else:
        turns.add_turn(Turn(role, parts))


def _read_content(item: Fields, key: str, accepted: tuple[str, ...], extras: dict[str, Any]) -> tuple[Part, ...]:
    content = item.body.get(key)
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise item.wrong(key, "a string or a list of content parts")
    return tuple(read_part(part, accepted, extras) for part in item.inners(key))


def _read_output(item: Fields, extras: dict[str, Any]) -> tuple[Text | Image | Document, ...]:
    if item.body.get("output") == "":
        return ()
    # TOOL_OUTPUT_TYPES admits no other kinds of part.
    return cast("tuple[Text | Image | Document, ...]", _read_content(item, "output", TOOL_OUTPUT_TYPES, extras))


def read_reasoning(item: Fields) -> Thinking | RedactedThinking | None:
    """The thinking in a reasoning item, of a request or an answer; None for an item that says nothing."""
    texts = [part.text("text") for key in ("summary", "content") for part in item.inners(key)]
    text = BETWEEN_SUMMARIES.join(texts)
    return read_sealed(text, item.optional_text("encrypted_content"), item.optional_text("id") or "")
