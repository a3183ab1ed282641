"""Tools and tool choice of a Responses request."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.openai_responses import CODEC
from gateway.domain.chat import Conversation, Role, Text, Tool, ToolChoice, ToolUse, Turn
from gateway.errors import InvalidRequest

_SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
_F = {"type": "function", "name": "f", "description": "does f", "parameters": _SCHEMA, "strict": True}
_G = {"type": "function", "name": "g", "parameters": None, "strict": None}


def _read(**members: Any) -> Conversation:
    return CODEC.read_request({"model": "m", "input": "x", "tools": [_F, _G], **members})


def test_function_tools_are_read() -> None:
    """Name, description, schema and strictness of each function are kept."""
    assert _read().tools == (Tool("f", "does f", _SCHEMA, True), Tool("g"))


@pytest.mark.parametrize(
    ("members", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, ToolChoice()),
        ({"tool_choice": "none"}, ToolChoice(ToolUse.NONE)),
        ({"tool_choice": "required", "parallel_tool_calls": False}, ToolChoice(ToolUse.REQUIRED, None, False)),
        ({"tool_choice": {"type": "function", "name": "g"}}, ToolChoice(ToolUse.NAMED, "g")),
        ({"parallel_tool_calls": True}, ToolChoice(parallel=True)),
    ],
)
def test_every_choice_is_read(members: dict[str, Any], choice: ToolChoice | None) -> None:
    """Each form of ``tool_choice`` reads as its neutral value, with ``parallel_tool_calls`` in it."""
    assert _read(**members).tool_choice == choice


def test_allowed_tools_narrow_the_tools() -> None:
    """``allowed_tools`` leaves only the allowed functions, and its mode."""
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    read = _read(tool_choice=allowed)
    assert [tool.name for tool in read.tools] == ["g"]
    assert read.tool_choice == ToolChoice(ToolUse.REQUIRED)


@pytest.mark.parametrize(
    "kind", ["web_search", "file_search", "computer", "mcp", "code_interpreter", "custom", "namespace"]
)
def test_tools_of_the_server_are_refused_by_type(kind: str) -> None:
    """A tool that OpenAI's servers run is refused, naming its type."""
    with pytest.raises(InvalidRequest, match=f"`{kind}`; only function tools can be translated") as fault:
        _read(tools=[_F, {"type": kind}])
    assert fault.value.param == "tools[1].type"
    with pytest.raises(InvalidRequest, match=f"`{kind}`"):
        _read(tool_choice={"type": kind})


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ({"type": "function", "name": "h"}, "tool_choice.name"),
        ({"type": "allowed_tools", "mode": "auto", "tools": []}, "tool_choice.tools"),
        ({"type": "allowed_tools", "mode": "never", "tools": []}, "tool_choice.mode"),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "h"}]},
            "tool_choice.tools[0].name",
        ),
    ],
)
def test_choices_that_cannot_be_are_refused(choice: dict[str, Any], param: str) -> None:
    """A choice of what was not declared, or of nothing, is refused with its path."""
    with pytest.raises(InvalidRequest) as fault:
        _read(tool_choice=choice)
    assert fault.value.param == param


def test_silence_about_strictness_does_not_become_strict() -> None:
    """A tool of another dialect is rendered as not strict, because strict is the default here."""
    asked = Conversation("m", (Turn(Role.USER, (Text("x"),)),), tools=(Tool("f"), Tool("g", strict=True)))
    tools = CODEC.render_request(asked, max_output_tokens=9).body["tools"]
    assert [tool["strict"] for tool in tools] == [False, True]
    assert tools[0]["parameters"] == {"type": "object", "properties": {}}


def test_a_demand_without_tools_is_named() -> None:
    """A forced choice without tools cannot be rendered and is named as dropped."""
    asked = Conversation("m", (Turn(Role.USER, (Text("x"),)),), tool_choice=ToolChoice(ToolUse.REQUIRED))
    rendered = CODEC.render_request(asked, max_output_tokens=9)
    assert rendered.dropped == ("tool_choice",)
    assert "tool_choice" not in rendered.body
