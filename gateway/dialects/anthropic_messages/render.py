"""Rendering a neutral conversation as a Messages API request.

Free of model names: what a given model accepts (thinking types, effort, sampling) is decided
elsewhere, from capabilities. Here stands only what holds for every model behind this API.
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.anthropic_messages.blocks import Block
from gateway.dialects.anthropic_messages.messages import continues_tool_turn_without_thinking, render_turns
from gateway.dialects.anthropic_messages.thinking import Room, render_thinking
from gateway.dialects.codec import Rendered
from gateway.domain.chat import (
    Conversation,
    Dialect,
    OutputFormat,
    OutputKind,
    Sampling,
    Tool,
    ToolUse,
)
from gateway.errors import InvalidRequest

JSON_INSTRUCTION = "Answer with a single valid JSON object and nothing else: no prose around it and no code fence."
"""Anthropic has no JSON mode without a schema; this system text stands in for it."""

_CHOICES = {ToolUse.AUTO: "auto", ToolUse.REQUIRED: "any", ToolUse.NONE: "none", ToolUse.NAMED: "tool"}
_FORCING = frozenset({ToolUse.REQUIRED, ToolUse.NAMED})
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only", "priority": "auto"}


def render_request(conversation: Conversation, *, max_output_tokens: int) -> Rendered:
    """Render a request; ``max_output_tokens`` is the answer's limit where the client set none.

    Raises :class:`InvalidRequest` for what would change the answer's meaning if it were left out.
    """
    dropped: list[str] = []
    if (conversation.sampling.candidates or 1) > 1:
        raise InvalidRequest("n: an Anthropic model gives one answer per request; accepted is 1", param="n")
    system, messages = render_turns(conversation.turns, dropped)
    thinking = render_thinking(
        conversation.thinking,
        Room(conversation.max_output_tokens, max_output_tokens),
        dropped,
        obstacle=_obstacle_to_thinking(conversation, messages),
    )
    body: dict[str, Any] = {"model": conversation.model, "max_tokens": thinking.max_tokens, "messages": messages}
    output_config: dict[str, Any] = {}
    if thinking.effort is not None:
        output_config["effort"] = thinking.effort
    _render_output_format(conversation.output_format, system, output_config, dropped)
    if system:
        body["system"] = _shortest(system)
    if conversation.tools:
        body["tools"] = [_render_tool(tool) for tool in conversation.tools]
    _render_tool_choice(conversation, body, dropped)
    if thinking.config is not None:
        body["thinking"] = thinking.config
    if output_config:
        body["output_config"] = output_config
    _render_stop(conversation.stop, body, dropped)
    _render_sampling(conversation.sampling, body, dropped, is_thinking=thinking.is_on)
    if conversation.end_user is not None:
        body["metadata"] = {"user_id": conversation.end_user}
    _render_service_tier(conversation.service_tier, body, dropped)
    if conversation.verbosity is not None:
        dropped.append("verbosity")
    if conversation.stream:
        body["stream"] = True
    _render_extras(conversation, body, dropped)
    return Rendered(body, tuple(dropped))


def _obstacle_to_thinking(conversation: Conversation, messages: list[dict[str, Any]]) -> str | None:
    """Why Anthropic would refuse a thinking budget on this request, if it would.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#extended-thinking-with-tool-use
    """
    choice = conversation.tool_choice
    if choice is not None and choice.use in _FORCING:
        return "tool_choice forces a tool"
    if continues_tool_turn_without_thinking(messages):
        return "the tool turn under way began without it"
    return None


def _shortest(system: list[Block]) -> str | list[Block]:
    """A lone text without a cache mark as a plain string, which is the same to Anthropic."""
    if len(system) == 1 and system[0].keys() == {"type", "text"}:
        return str(system[0]["text"])
    return system


def _render_tool(tool: Tool) -> dict[str, Any]:
    """Anthropic demands a schema, of type object, for every tool."""
    schema = {"type": "object", "properties": {}} if tool.schema is None else {"type": "object", **tool.schema}
    rendered: dict[str, Any] = {"name": tool.name, "input_schema": schema}
    if tool.description is not None:
        rendered["description"] = tool.description
    if tool.strict is not None:
        rendered["strict"] = tool.strict
    if tool.cache_control is not None:
        rendered["cache_control"] = dict(tool.cache_control)
    return rendered


def _render_tool_choice(conversation: Conversation, body: dict[str, Any], dropped: list[str]) -> None:
    choice = conversation.tool_choice
    if choice is None:
        return
    if not conversation.tools:
        if choice.use in _FORCING:
            raise InvalidRequest("tool_choice demands a tool, and tools is empty; declare it", param="tool_choice")
        dropped.append("tool_choice")
        return
    rendered: dict[str, Any] = {"type": _CHOICES[choice.use]}
    if choice.use is ToolUse.NAMED:
        rendered["name"] = choice.name
    if choice.parallel is not None:
        if choice.use is ToolUse.NONE:
            dropped.append("parallel_tool_calls")
        else:
            rendered["disable_parallel_tool_use"] = not choice.parallel
    body["tool_choice"] = rendered


def _render_output_format(
    form: OutputFormat, system: list[Block], output_config: dict[str, Any], dropped: list[str]
) -> None:
    match form.kind:
        case OutputKind.TEXT:
            return
        case OutputKind.JSON:
            system.append({"type": "text", "text": JSON_INSTRUCTION})
            dropped.append("response_format: json_object→system instruction")
        case OutputKind.SCHEMA:
            output_config["format"] = {"type": "json_schema", "schema": dict(form.schema or {"type": "object"})}
            if form.name is not None:
                dropped.append("response_format.name")
            if form.description is not None:
                dropped.append("response_format.description")
            if form.strict is False:
                dropped.append("response_format.strict: false→true")


def _render_stop(stop: tuple[str, ...], body: dict[str, Any], dropped: list[str]) -> None:
    """Anthropic refuses stop sequences of white space alone."""
    sequences = []
    for index, sequence in enumerate(stop):
        if sequence.strip():
            sequences.append(sequence)
        else:
            dropped.append(f"stop[{index}]: white space alone")
    if sequences:
        body["stop_sequences"] = sequences


_LEAST_TOP_P_WHILE_THINKING = 0.95


def _render_sampling(sampling: Sampling, body: dict[str, Any], dropped: list[str], *, is_thinking: bool) -> None:
    """While it thinks, a model takes neither temperature nor top_k, and top_p only near 1.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility
    """
    temperature, top_p, top_k = sampling.temperature, sampling.top_p, sampling.top_k
    if temperature is not None and is_thinking and temperature != 1:
        dropped.append("temperature: not while thinking")
    elif temperature is not None:
        body["temperature"] = min(temperature, 1.0)
        if temperature > 1:
            dropped.append(f"temperature: {temperature:g}→1")
    if top_p is not None and is_thinking and top_p < _LEAST_TOP_P_WHILE_THINKING:
        dropped.append("top_p: not while thinking")
    elif top_p is not None:
        body["top_p"] = top_p
    if top_k is not None and is_thinking:
        dropped.append("top_k: not while thinking")
    elif top_k is not None:
        body["top_k"] = top_k
    unknown = ("seed", "presence_penalty", "frequency_penalty")
    dropped.extend(name for name in unknown if getattr(sampling, name) is not None)


def _render_service_tier(tier: str | None, body: dict[str, Any], dropped: list[str]) -> None:
    """``default`` means standard capacity, ``priority`` is what ``auto`` uses where the account has it."""
    if tier is None:
        return
    if tier not in _TIERS:
        dropped.append("service_tier")
        return
    body["service_tier"] = _TIERS[tier]
    if tier == "priority":
        dropped.append("service_tier: priority→auto")


def _render_extras(conversation: Conversation, body: dict[str, Any], dropped: list[str]) -> None:
    """This dialect's own top-level fields go back; details under a dotted path have lost their place."""
    for source, fields in conversation.extras.items():
        for name, value in fields.items():
            if source == Dialect.ANTHROPIC_MESSAGES and "." not in name and name not in body:
                body[name] = value
            else:
                dropped.append(name)
