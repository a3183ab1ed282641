"""A chat completion request, read into a conversation.

Refused, because no other dialect can say them: the deprecated ``functions`` and ``function_call``
(``tools`` replaces them) and ``custom`` tools. ``allowed_tools`` is kept by its meaning: only the
tools it allows are passed on. Top-level fields that no neutral value covers are kept under
``extras["openai-chat"]``; the gateway's own ``ponder`` field is not one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.openai_chat.fields import Fields, refused
from gateway.dialects.openai_chat.messages import read_turns
from gateway.domain.chat import (
    Conversation,
    Dialect,
    OutputFormat,
    OutputKind,
    Sampling,
    ThinkingWish,
    Tool,
    ToolChoice,
    ToolUse,
)

_READ = frozenset(
    (
        "model",
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "max_completion_tokens",
        "max_tokens",
        "stop",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "n",
        "reasoning_effort",
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "service_tier",
        "verbosity",
        "ponder",
    )
)
"""Top-level fields with a neutral value of their own, and the gateway's."""


def read_request(body: Mapping[str, Any]) -> Conversation:
    """The conversation that ``body`` asks to continue.

    Raises :class:`gateway.errors.InvalidRequest` for anything it cannot read.
    """
    fields = Fields(body)
    for deprecated, successor in (("functions", "tools"), ("function_call", "tool_choice")):
        if fields.has(deprecated):
            raise refused(deprecated, f"is no longer spoken: use {successor} instead")
    model = fields.name("model")
    tools = tuple(_read_tool(tool) for tool in fields.children("tools"))
    tool_choice, tools = _read_tool_choice(fields, tools)
    stream_options = fields.child("stream_options") if fields.has("stream_options") else Fields({})
    return Conversation(
        model=model,
        turns=read_turns(fields),
        tools=tools,
        tool_choice=tool_choice,
        output_format=_read_output_format(fields),
        max_output_tokens=_read_limit(fields),
        stop=_read_stop(fields),
        sampling=_read_sampling(fields),
        thinking=ThinkingWish(effort=fields.optional_text("reasoning_effort")),
        stream=fields.optional_flag("stream") or False,
        include_usage=stream_options.optional_flag("include_usage") or False,
        end_user=fields.optional_text("safety_identifier") or fields.optional_text("user"),
        service_tier=fields.optional_text("service_tier"),
        verbosity=fields.optional_text("verbosity"),
        extras=_read_extras(fields, stream_options),
    )


def _read_tool(tool: Fields) -> Tool:
    kind = tool.get("type")
    if kind == "custom":
        raise refused(
            tool.at("type"),
            "custom cannot be translated: declare the tool as a function with one string parameter, "
            "or ask for a model whose upstream speaks openai-chat",
        )
    if kind != "function":
        raise refused(tool.at("type"), "must be function")
    function = tool.child("function")
    return Tool(
        name=function.name("name"),
        description=function.optional_text("description"),
        schema=function.optional_mapping("parameters"),
        strict=function.optional_flag("strict"),
        cache_control=tool.optional_mapping("cache_control"),
    )


def _read_tool_choice(fields: Fields, tools: tuple[Tool, ...]) -> tuple[ToolChoice | None, tuple[Tool, ...]]:
    """The choice, and the tools that it leaves to choose from."""
    parallel = fields.optional_flag("parallel_tool_calls")
    choice = fields.get("tool_choice")
    if choice is None:
        return (None if parallel is None else ToolChoice(parallel=parallel)), tools
    if choice in ("auto", "none", "required"):
        return ToolChoice(ToolUse(choice), parallel=parallel), tools
    if not isinstance(choice, Mapping):
        raise refused(fields.at("tool_choice"), "must be auto, none, required or an object naming a function")
    place = Fields(choice, fields.at("tool_choice"))
    known = {tool.name for tool in tools}
    match choice.get("type"):
        case "function":
            function = place.child("function")
            name = _known_name(function, known)
            return ToolChoice(ToolUse.NAMED, name, parallel), tools
        case "allowed_tools":
            allowed = place.child("allowed_tools")
            mode = allowed.get("mode")
            if mode not in ("auto", "required"):
                raise refused(allowed.at("mode"), "must be auto or required")
            names = {_known_name(tool.child("function"), known) for tool in allowed.children("tools")}
            return ToolChoice(ToolUse(mode), parallel=parallel), tuple(tool for tool in tools if tool.name in names)
        case "custom":
            raise refused(place.at("type"), "custom cannot be translated: only functions can be chosen")
        case _:
            raise refused(place.at("type"), "must be function or allowed_tools")


def _known_name(function: Fields, known: set[str]) -> str:
    name = function.name("name")
    if name not in known:
        raise refused(function.at("name"), "must be the name of one of the request's tools")
    return name


def _read_output_format(fields: Fields) -> OutputFormat:
    if not fields.has("response_format"):
        return OutputFormat()
    demanded = fields.child("response_format")
    match demanded.get("type"):
        case "text":
            return OutputFormat()
        case "json_object":
            return OutputFormat(OutputKind.JSON)
        case "json_schema":
            json_schema = demanded.child("json_schema")
            return OutputFormat(
                OutputKind.SCHEMA,
                name=json_schema.optional_text("name"),
                description=json_schema.optional_text("description"),
                schema=json_schema.child("schema").values,
                strict=json_schema.optional_flag("strict"),
            )
        case _:
            raise refused(demanded.at("type"), "must be text, json_object or json_schema")


def _read_limit(fields: Fields) -> int | None:
    limit = fields.optional_integer("max_completion_tokens", at_least=1)
    older = fields.optional_integer("max_tokens", at_least=1)
    return limit if limit is not None else older


def _read_stop(fields: Fields) -> tuple[str, ...]:
    stop = fields.get("stop")
    match stop:
        case None:
            return ()
        case str():
            return (stop,)
        case list() if all(isinstance(sequence, str) for sequence in stop):
            return tuple(stop)
        case _:
            raise refused(fields.at("stop"), "must be a string or a list of strings")


def _read_sampling(fields: Fields) -> Sampling:
    return Sampling(
        temperature=fields.optional_number("temperature"),
        top_p=fields.optional_number("top_p"),
        top_k=fields.optional_integer("top_k"),
        seed=fields.optional_integer("seed"),
        presence_penalty=fields.optional_number("presence_penalty"),
        frequency_penalty=fields.optional_number("frequency_penalty"),
        candidates=fields.optional_integer("n", at_least=1),
    )


def _read_extras(fields: Fields, stream_options: Fields) -> Mapping[str, Any]:
    kept = {key: value for key, value in fields.values.items() if key not in _READ and value is not None}
    options = {key: value for key, value in stream_options.values.items() if key != "include_usage"}
    if options:
        kept["stream_options"] = options
    if fields.has("safety_identifier") and fields.has("user"):
        kept["user"] = fields.get("user")
    return {Dialect.OPENAI_CHAT.value: kept} if kept else {}
