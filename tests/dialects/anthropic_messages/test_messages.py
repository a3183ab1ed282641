"""The order of turns in a rendered request."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.anthropic_messages.messages import continues_tool_turn_without_thinking, render_turns
from gateway.domain.chat import Audio, Image, Part, Role, Text, Thinking, ToolCall, ToolResult, Turn
from gateway.errors import InvalidRequest

CALL = ToolCall("t", "f", "{}")
RESULT = ToolResult("t", (Text("42"),))


def user(*parts: Part) -> Turn:
    """A user turn."""
    return Turn(Role.USER, parts)


def assistant(*parts: Part) -> Turn:
    """An assistant turn."""
    return Turn(Role.ASSISTANT, parts)


def system(text: str, role: Role = Role.SYSTEM) -> Turn:
    """A system or developer turn."""
    return Turn(role, (Text(text),))


def text(value: str) -> dict[str, str]:
    """A text block."""
    return {"type": "text", "text": value}


def render(*turns: Turn) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """System blocks, messages, and what was dropped."""
    dropped: list[str] = []
    return *render_turns(turns, dropped), dropped


def test_leading_instructions_are_the_system() -> None:
    """All system and developer turns before the first other one become system, unnamed."""
    blocks, messages, dropped = render(system("A"), system("B", Role.DEVELOPER), user(Text("Hi")))
    assert blocks == [text("A"), text("B")]
    assert messages == [{"role": "user", "content": [text("Hi")]}]
    assert dropped == []


def test_later_instructions_stay_in_place_between_marks() -> None:
    """A system turn in mid-conversation stays where it is, as marked text of the user's turn, and is named."""
    _, messages, dropped = render(user(Text("Hi")), assistant(Text("Ho")), system("Stop."), user(Text("Go on")))
    assert messages[2] == {"role": "user", "content": [text("<system>\nStop.\n</system>"), text("Go on")]}
    assert dropped == ["messages[2].role: system→user"]


def test_instructions_alone_still_ask() -> None:
    """A conversation of system turns alone asks with the last one, since messages must not be empty."""
    blocks, messages, dropped = render(system("A"), system("B"))
    assert blocks == [text("A")]
    assert messages == [{"role": "user", "content": [text("<system>\nB\n</system>")]}]
    assert dropped == ["messages[1].role: system→user"]


def test_neighbours_of_one_role_are_one_message() -> None:
    """Consecutive turns of one role are merged, also when an empty one stood between them."""
    _, messages, _ = render(
        user(Text("a")), assistant(Text("")), user(Text("b")), assistant(Text("c")), assistant(CALL)
    )
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert messages[0]["content"] == [text("a"), text("b")]
    assert [block["type"] for block in messages[1]["content"]] == ["text", "tool_use"]


def test_tool_results_come_first() -> None:
    """Results stand at the front of the user message after their calls, whatever came between."""
    other = ToolResult("u", ())
    _, messages, _ = render(
        user(Text("Hi")),
        assistant(CALL, ToolCall("u", "f", "{}")),
        system("Hurry."),
        user(Text("well,"), RESULT),
        user(other),
    )
    kinds = [block.get("tool_use_id", block["type"]) for block in messages[2]["content"]]
    assert kinds == ["t", "u", "text", "text"]


def test_odd_ids_meet_their_results() -> None:
    """An id that Anthropic refuses is mapped alike in the call and in its result."""
    _, messages, _ = render(
        user(Text("Hi")), assistant(ToolCall("f:0", "f", "{}")), user(ToolResult("f:0", (Text("x"),)))
    )
    assert messages[1]["content"][0]["id"] == messages[2]["content"][0]["tool_use_id"] != "f:0"


def test_a_prefill_loses_trailing_white_space() -> None:
    """White space at the end of a last assistant turn is cut off, because Anthropic refuses it."""
    _, messages, dropped = render(user(Text("Hi")), assistant(Text("The answer is ")))
    assert messages[1]["content"] == [text("The answer is")]
    assert dropped == ["messages: white space at the end of the last assistant turn"]


def test_names_and_odd_system_parts_are_named() -> None:
    """Speakers' names, and system parts that are no text, are left out by name."""
    _, _, dropped = render(
        Turn(Role.SYSTEM, (Text("A"), Image(url="https://a"))), Turn(Role.USER, (Text("Hi"),), name="Ada")
    )
    assert dropped == ["messages[0].content[1]: image in a system prompt", "messages[1].name"]


@pytest.mark.parametrize("turn", [user(), user(Text(" ")), user(Audio("QQ==", "wav")), system("")])
def test_nothing_to_send_is_refused(turn: Turn) -> None:
    """A conversation that leaves no content is refused in words that say what is needed."""
    with pytest.raises(InvalidRequest, match="at least one message needs text") as refused:
        render(turn)
    assert refused.value.param == "messages"


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ((user(Text("Hi")), assistant(CALL), user(RESULT)), True),
        ((user(Text("Hi")), assistant(Thinking("t", "s"), CALL), user(RESULT)), False),
        ((user(Text("Hi")), assistant(Text("Ho")), user(Text("Hm"))), False),
        ((user(RESULT),), False),
    ],
)
def test_tool_turns_without_thinking(turns: tuple[Turn, ...], expected: bool) -> None:
    """A tool turn under way is recognized by the results at the end, and by how its message began."""
    assert continues_tool_turn_without_thinking(render(*turns)[1]) is expected
