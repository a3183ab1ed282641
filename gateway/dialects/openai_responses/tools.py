"""Tools and tool choice: function tools are translated, tools that OpenAI's servers run are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.openai_responses.fields import Fields, shown
from gateway.domain.chat import Conversation, Tool, ToolChoice, ToolUse
from gateway.errors import InvalidRequest, PonderError

_TOOL = frozenset({"type", "name", "description", "parameters", "strict"})
_MODES = {"auto": ToolUse.AUTO, "none": ToolUse.NONE, "required": ToolUse.REQUIRED}
_CHOICES = '"auto", "none", "required", {"type": "function", "name": NAME} or {"type": "allowed_tools", …}'


def read_tools(body: Fields, extras: dict[str, Any]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """The tools the model may call, and how freely.

    ``allowed_tools`` narrows the tools themselves: that is all it means to a model.
    """
    tools = tuple(_read_tool(tool, extras) for tool in body.inners("tools"))
    parallel = body.flag("parallel_tool_calls")
    choice = body.body.get("tool_choice")
    if choice is None:
        return tools, None if parallel is None else ToolChoice(parallel=parallel)
    if isinstance(choice, str) and choice in _MODES:
        return tools, ToolChoice(_MODES[choice], parallel=parallel)
    if not isinstance(choice, Mapping):
        raise body.wrong("tool_choice", _CHOICES)
    chosen = Fields(choice, "tool_choice", body.fault)
    match chosen.optional_text("type"):
        case "function":
            name = chosen.word("name")
            _demand(name, tools, chosen.at("name"))
            return tools, ToolChoice(ToolUse.NAMED, name, parallel)
        case "allowed_tools":
            return _read_allowed(chosen, tools, parallel)
        case kind:
            raise _untranslatable(chosen, kind)


def _read_tool(tool: Fields, extras: dict[str, Any]) -> Tool:
    kind = tool.optional_text("type")
    if kind != "function":
        raise _untranslatable(tool, kind)
    extras.update(tool.leftovers(_TOOL))
    return Tool(
        name=tool.word("name"),
        description=tool.optional_text("description"),
        schema=tool.mapping("parameters"),
        strict=tool.flag("strict"),
    )


def _untranslatable(tool: Fields, kind: str | None) -> PonderError:
    path = tool.at("type")
    return InvalidRequest(
        f"`{path}` is {shown(kind)}; only function tools can be translated for a model that does not speak "
        "the Responses API: declare a function and run it yourself, or choose a model that does",
        param=path,
    )


def _read_allowed(
    chosen: Fields, tools: tuple[Tool, ...], parallel: bool | None
) -> tuple[tuple[Tool, ...], ToolChoice]:
    mode = chosen.optional_text("mode")
    if mode not in ("auto", "required"):
        raise chosen.wrong("mode", '"auto" or "required"')
    allowed: set[str] = set()
    for tool in chosen.inners("tools"):
        kind = tool.optional_text("type")
        if kind != "function":
            raise _untranslatable(tool, kind)
        name = tool.word("name")
        _demand(name, tools, tool.at("name"))
        allowed.add(name)
    if not allowed:
        raise chosen.wrong("tools", "a list of at least one function tool")
    return tuple(tool for tool in tools if tool.name in allowed), ToolChoice(_MODES[mode], parallel=parallel)


def _demand(name: str, tools: tuple[Tool, ...], path: str) -> None:
    if all(tool.name != name for tool in tools):
        raise InvalidRequest(f"`{path}` must be the name of a function in `tools`; none has this name", param=path)


def render_tools(conversation: Conversation, dropped: dict[str, None]) -> dict[str, Any]:
    """The members ``tools``, ``tool_choice`` and ``parallel_tool_calls``; none without tools."""
    if not conversation.tools:
        if conversation.tool_choice is not None and conversation.tool_choice.use in (ToolUse.REQUIRED, ToolUse.NAMED):
            dropped["tool_choice"] = None
        return {}
    if any(tool.cache_control is not None for tool in conversation.tools):
        dropped["cache_control"] = None
    rendered: dict[str, Any] = {"tools": [_render_tool(tool) for tool in conversation.tools]}
    choice = conversation.tool_choice
    if choice is None:
        return rendered
    if choice.use is ToolUse.NAMED:
        rendered["tool_choice"] = {"type": "function", "name": choice.name}
    else:
        rendered["tool_choice"] = choice.use.value
    if choice.parallel is not None:
        rendered["parallel_tool_calls"] = choice.parallel
    return rendered


def _render_tool(tool: Tool) -> dict[str, Any]:
    # Strict is this dialect's default and no other's: silence must not change what a schema means.
    rendered: dict[str, Any] = {"type": "function", "name": tool.name, "strict": tool.strict is True}
    if tool.description is not None:
        rendered["description"] = tool.description
    rendered["parameters"] = {"type": "object", "properties": {}} if tool.schema is None else dict(tool.schema)
    return rendered
