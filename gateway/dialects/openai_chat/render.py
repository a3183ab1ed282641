"""A conversation, rendered as a chat completion request.

What chat cannot say at all is named in ``dropped``: thinking budgets and modes beyond effort,
``is_error`` of a tool result, the context of a document that is no text, parts that a role cannot
hold, and another dialect's extras.
Fields that compatible servers understand and OpenAI does not are rendered here and removed by
:func:`gateway.dialects.openai_chat.extensions.only_documented`.
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.codec import Rendered
from gateway.dialects.openai_chat.render_messages import render_messages
from gateway.domain.chat import (
    Conversation,
    Dialect,
    OutputFormat,
    OutputKind,
    ThinkingMode,
    ThinkingWish,
    Tool,
    ToolChoice,
    ToolUse,
)

_DEFAULT_SCHEMA_NAME = "response"
"""Chat demands a name for every schema."""

_SERVICE_TIERS = {"standard_only": "default"}
"""Anthropic's tiers by OpenAI's names."""


def render_request(conversation: Conversation) -> Rendered:
    """The body that asks a chat upstream to continue ``conversation``, and what it leaves out."""
    dropped: list[str] = []
    body: dict[str, Any] = {
        "model": conversation.model,
        "messages": render_messages(conversation.turns, dropped),
        **_render_tools(conversation, dropped),
        **_render_output_format(conversation.output_format),
        **_render_sampling(conversation),
        **_render_thinking(conversation.thinking, dropped),
    }
    own_extras = conversation.extras.get(Dialect.OPENAI_CHAT.value, {})
    if conversation.end_user is not None:
        # `user` is what every compatible server knows; OpenAI takes it for safety_identifier.
        body["safety_identifier" if "user" in own_extras else "user"] = conversation.end_user
    if conversation.service_tier is not None:
        body["service_tier"] = _SERVICE_TIERS.get(conversation.service_tier, conversation.service_tier)
    if conversation.verbosity is not None:
        body["verbosity"] = conversation.verbosity
    for dialect, extras in conversation.extras.items():
        if dialect == Dialect.OPENAI_CHAT.value:
            body |= extras
        else:
            dropped += extras
    body |= _render_stream(conversation, body.pop("stream_options", {}))
    return Rendered(body, tuple(dict.fromkeys(dropped)))


def _render_tools(conversation: Conversation, dropped: list[str]) -> dict[str, Any]:
    choice = conversation.tool_choice
    if not conversation.tools:
        # OpenAI refuses a tool_choice without tools; only a demand to call one is lost by that.
        if choice is not None and choice.use in (ToolUse.REQUIRED, ToolUse.NAMED):
            dropped.append("tool_choice")
        return {}
    rendered: dict[str, Any] = {"tools": [_render_tool(tool) for tool in conversation.tools]}
    if choice is not None:
        rendered["tool_choice"] = _render_tool_choice(choice)
        if choice.parallel is not None:
            rendered["parallel_tool_calls"] = choice.parallel
    return rendered


def _render_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = dict(tool.schema)
    if tool.strict is not None:
        function["strict"] = tool.strict
    rendered: dict[str, Any] = {"type": "function", "function": function}
    if tool.cache_control is not None:
        rendered["cache_control"] = dict(tool.cache_control)
    return rendered


def _render_tool_choice(choice: ToolChoice) -> str | dict[str, Any]:
    if choice.use is ToolUse.NAMED:
        return {"type": "function", "function": {"name": choice.name}}
    return choice.use.value


def _render_output_format(demanded: OutputFormat) -> dict[str, Any]:
    match demanded.kind:
        case OutputKind.TEXT:
            return {}
        case OutputKind.JSON:
            return {"response_format": {"type": "json_object"}}
        case OutputKind.SCHEMA:
            json_schema: dict[str, Any] = {"name": demanded.name or _DEFAULT_SCHEMA_NAME}
            if demanded.description is not None:
                json_schema["description"] = demanded.description
            json_schema["schema"] = dict(demanded.schema or {})
            if demanded.strict is not None:
                json_schema["strict"] = demanded.strict
            return {"response_format": {"type": "json_schema", "json_schema": json_schema}}


def _render_sampling(conversation: Conversation) -> dict[str, Any]:
    sampling = conversation.sampling
    values = {
        "max_completion_tokens": conversation.max_output_tokens,
        "stop": list(conversation.stop) or None,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "n": sampling.candidates,
    }
    return {key: value for key, value in values.items() if value is not None}


def _render_thinking(wish: ThinkingWish, dropped: list[str]) -> dict[str, Any]:
    if wish.display is not None:
        dropped.append("thinking.display")
    if wish.mode is ThinkingMode.DISABLED:
        return {"reasoning_effort": "none"}
    if wish.budget_tokens is not None:
        dropped.append("thinking.budget_tokens")
    if wish.effort is not None:
        return {"reasoning_effort": wish.effort}
    if wish.mode is not None and wish.budget_tokens is None:
        dropped.append("thinking.mode")
    return {}


def _render_stream(conversation: Conversation, options: dict[str, Any]) -> dict[str, Any]:
    """``stream`` and its options; OpenAI refuses the latter without the former."""
    if not conversation.stream:
        return {}
    if conversation.include_usage:
        options = {**options, "include_usage": True}
    return {"stream": True, "stream_options": options} if options else {"stream": True}
