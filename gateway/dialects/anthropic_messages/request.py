"""Reading a Messages API request into a neutral conversation.

``max_tokens`` may be missing, although Anthropic demands it: token counting has none, and the
renderers fill one in. Top-level fields that nothing here covers go to ``extras``; so does, under
its dotted path, what blocks and tools say beyond their neutral values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.anthropic_messages.content import (
    Unread,
    note_unread,
    read_cache_control,
    read_content,
    read_system,
)
from gateway.dialects.anthropic_messages.fields import Field
from gateway.domain.chat import (
    Conversation,
    Dialect,
    OutputFormat,
    OutputKind,
    Role,
    Sampling,
    ThinkingMode,
    ThinkingWish,
    Tool,
    ToolChoice,
    ToolUse,
    Turn,
)
from gateway.errors import InvalidRequest

EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""The levels of ``output_config.effort``."""

LEAST_BUDGET_TOKENS = 1024
"""Anthropic refuses a smaller ``thinking.budget_tokens``."""

_KNOWN = frozenset(
    {
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "output_config",
        "max_tokens",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "thinking",
        "stream",
        "metadata",
        "service_tier",
    }
)
_TOOL_KEYS = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_TIERS = {"auto": "auto", "standard_only": "default"}
_CHOICES = {"auto": ToolUse.AUTO, "any": ToolUse.REQUIRED, "none": ToolUse.NONE, "tool": ToolUse.NAMED}


def read_request(body: Mapping[str, Any]) -> Conversation:
    """Read a request body; raises :class:`InvalidRequest` naming the path of the first fault."""
    root = Field(body, "")
    unread: Unread = {key: value for key, value in body.items() if key not in _KNOWN and value is not None}
    turns = _read_turns(root, unread)
    output_config = _read_output_config(root.get("output_config"), unread)
    is_streamed = root.get("stream").flag_or_none() or False
    tier = root.get("service_tier")
    return Conversation(
        model=root.get("model").name(),
        turns=turns,
        tools=_read_tools(root.get("tools"), unread),
        tool_choice=_read_tool_choice(root.get("tool_choice"), unread),
        output_format=_read_output_format(output_config.get("format"), unread),
        max_output_tokens=root.get("max_tokens").integer_or_none(0),
        stop=_read_stop(root.get("stop_sequences")),
        sampling=Sampling(
            temperature=root.get("temperature").number_or_none(0, 1),
            top_p=root.get("top_p").number_or_none(0, 1),
            top_k=root.get("top_k").integer_or_none(0),
        ),
        thinking=_read_thinking(root.get("thinking"), output_config.get("effort"), unread),
        stream=is_streamed,
        include_usage=is_streamed,
        end_user=_read_end_user(root.get("metadata"), unread),
        service_tier=_TIERS[tier.choice(_TIERS)] if tier.is_given else None,
        extras={Dialect.ANTHROPIC_MESSAGES.value: unread} if unread else {},
    )


def _read_turns(root: Field, unread: Unread) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    system = read_system(root.get("system"), unread)
    if system:
        turns.append(Turn(Role.SYSTEM, system))
    messages = root.get("messages")
    for message in messages.items():
        note_unread(message, frozenset({"role", "content"}), unread)
        role = Role(message.get("role").choice(("user", "assistant", "system")))
        turns.append(Turn(role, read_content(message.get("content"), role, unread)))
    if not messages.value:
        raise InvalidRequest("messages must hold at least one message", param="messages")
    return tuple(turns)


def _read_tools(tools: Field, unread: Unread) -> tuple[Tool, ...]:
    if not tools.is_given:
        return ()
    return tuple(_read_tool(tool, unread) for tool in tools.items("an array of tools"))


def _read_tool(tool: Field, unread: Unread) -> Tool:
    kind = tool.get("type")
    if kind.is_given and kind.value != "custom":
        raise InvalidRequest(
            f"{kind.path}: {kind.shown()} is a tool of Anthropic's own, which only a model whose upstream speaks the "
            "Anthropic Messages API can serve; accepted here are tools with an input_schema and no type, or 'custom'",
            param=kind.path,
        )
    note_unread(tool, _TOOL_KEYS, unread)
    return Tool(
        name=tool.get("name").name(),
        description=tool.get("description").text_or_none(),
        schema=tool.get("input_schema").object_or_none(),
        strict=tool.get("strict").flag_or_none(),
        cache_control=read_cache_control(tool),
    )


def _read_tool_choice(choice: Field, unread: Unread) -> ToolChoice | None:
    if not choice.is_given:
        return None
    note_unread(choice, frozenset({"type", "name", "disable_parallel_tool_use"}), unread)
    use = _CHOICES[choice.get("type").choice(_CHOICES)]
    is_serial = choice.get("disable_parallel_tool_use").flag_or_none()
    return ToolChoice(
        use=use,
        name=choice.get("name").name() if use is ToolUse.NAMED else None,
        parallel=None if is_serial is None else not is_serial,
    )


def _read_output_config(config: Field, unread: Unread) -> Field:
    if not config.is_given:
        return Field({}, config.path)
    note_unread(config, frozenset({"effort", "format"}), unread)
    return config


def _read_output_format(form: Field, unread: Unread) -> OutputFormat:
    if not form.is_given:
        return OutputFormat()
    form.get("type").choice(("json_schema",))
    note_unread(form, frozenset({"type", "schema"}), unread)
    return OutputFormat(OutputKind.SCHEMA, schema=form.get("schema").object())


def _read_stop(sequences: Field) -> tuple[str, ...]:
    if not sequences.is_given:
        return ()
    return tuple(sequence.text() for sequence in sequences.items("an array of strings"))


def _read_thinking(thinking: Field, effort: Field, unread: Unread) -> ThinkingWish:
    level = effort.choice(EFFORTS) if effort.is_given else None
    if not thinking.is_given:
        return ThinkingWish(effort=level)
    mode = ThinkingMode(thinking.get("type").choice([mode.value for mode in ThinkingMode]))
    note_unread(thinking, frozenset({"type", "budget_tokens", "display"}), unread)
    display = thinking.get("display")
    budget = thinking.get("budget_tokens")
    if mode is ThinkingMode.ENABLED and not budget.is_given:
        raise budget.refusal(f"a whole number of at least {LEAST_BUDGET_TOKENS}")
    return ThinkingWish(
        effort=level,
        budget_tokens=budget.integer_or_none(LEAST_BUDGET_TOKENS),
        mode=mode,
        display=display.choice(("summarized", "omitted")) if display.is_given else None,
    )


def _read_end_user(metadata: Field, unread: Unread) -> str | None:
    if not metadata.is_given:
        return None
    note_unread(metadata, frozenset({"user_id"}), unread)
    return metadata.get("user_id").text_or_none()
