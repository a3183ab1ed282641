"""A neutral conversation, rendered as a request for an upstream that speaks the Responses API.

Translated requests are stateless: ``store`` is false unless the client itself asked to store, and
items carry no ids, because the API looks up ids that it never stored and fails.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from gateway.dialects.codec import Rendered
from gateway.dialects.openai_responses.content import render_part
from gateway.dialects.openai_responses.tools import render_tools
from gateway.dialects.seals import openai_seal
from gateway.domain.chat import (
    Conversation,
    Dialect,
    OutputFormat,
    OutputKind,
    Part,
    RedactedThinking,
    Refusal,
    Role,
    Text,
    Thinking,
    ThinkingMode,
    ThinkingWish,
    ToolCall,
    ToolResult,
    Turn,
)

LEAST_OUTPUT_TOKENS = 16
"""The API refuses a smaller ``max_output_tokens``."""
LONGEST_END_USER = 64
"""The API refuses a longer ``safety_identifier``."""

_OMITTED = "omitted"
"""Anthropic's word for no summary, which is what this dialect does when nothing is said."""
_SUMMARIES = {"summarized": "auto"}
_TIERS = {"standard_only": "default"}
_KNOWN_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
_NESTED = ("reasoning", "text")


def render_request(conversation: Conversation) -> Rendered:
    """The request body, and what of the conversation it cannot say."""
    dropped: dict[str, None] = {}
    instructions, turns = _split_instructions(conversation.turns)
    body: dict[str, Any] = {"model": conversation.model}
    if instructions is not None:
        body["instructions"] = instructions
    body["input"] = _render_items(turns, dropped)
    body |= render_tools(conversation, dropped)
    body |= _render_limits(conversation, dropped)
    body |= _render_thinking(conversation.thinking, dropped)
    if text := _render_text_settings(conversation):
        body["text"] = text
    body["store"] = False
    if conversation.stream:
        body["stream"] = True
    _restore_extras(conversation, body, dropped)
    return Rendered(body, tuple(dropped))


def _split_instructions(turns: tuple[Turn, ...]) -> tuple[str | None, tuple[Turn, ...]]:
    """A leading system turn of one text is ``instructions``; any other stays where it stands, as a message."""
    if len(turns) > 1 and turns[0].role is Role.SYSTEM and len(turns[0].parts) == 1 and turns[0].name is None:
        match turns[0].parts[0]:
            case Text(text, None):
                return text, turns[1:]
            case _:
                pass
    return None, turns


def _render_items(turns: tuple[Turn, ...], dropped: dict[str, None]) -> list[dict[str, Any]]:
    """The input items; reasoning that led to nothing (the answer was cut there) is refused, so it is left out."""
    kept: list[dict[str, Any]] = []
    leads_on = False
    for item in reversed([item for turn in turns for item in _render_turn(turn, dropped)]):
        if item["type"] == "reasoning" and not leads_on:
            dropped["thinking"] = None
            continue
        leads_on = item["type"] in ("reasoning", "function_call") or item.get("role") == Role.ASSISTANT.value
        kept.append(item)
    return kept[::-1]


def _kind(part: Part) -> type[Part] | None:
    """What makes an item of its own; None for content that gathers in messages."""
    return type(part) if isinstance(part, Thinking | RedactedThinking | ToolCall | ToolResult) else None


def _render_turn(turn: Turn, dropped: dict[str, None]) -> list[dict[str, Any]]:
    if turn.name is not None:
        dropped["name"] = None
    items: list[dict[str, Any]] = []
    for kind, group in groupby(turn.parts, _kind):
        parts = tuple(group)
        if kind is None:
            items += _render_message(turn.role, parts, dropped)
        else:
            items += [item for part in parts if (item := _render_item(part, dropped)) is not None]
    return items


def _render_item(part: Part, dropped: dict[str, None]) -> dict[str, Any] | None:
    match part:
        case ToolCall():
            if part.cache_control is not None:
                dropped["cache_control"] = None
            return {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
        case ToolResult():
            return _render_result(part, dropped)
        case Thinking() | RedactedThinking():
            return _render_reasoning(part, dropped)
        case _:
            return None


def _render_reasoning(thinking: Thinking | RedactedThinking, dropped: dict[str, None]) -> dict[str, Any] | None:
    """OpenAI takes back only reasoning that it encrypted itself."""
    seal = openai_seal(thinking)
    if seal is None:
        dropped["thinking" if isinstance(thinking, Thinking) else "redacted_thinking"] = None
        return None
    return {
        "type": "reasoning",
        "id": seal.item_id,
        "summary": render_summary(thinking),
        "encrypted_content": seal.encrypted_content,
    }


def render_summary(thinking: Thinking | RedactedThinking) -> list[dict[str, Any]]:
    """The ``summary`` of a reasoning item: one part, or none without text."""
    text = thinking.text if isinstance(thinking, Thinking) else ""
    return [{"type": "summary_text", "text": text}] if text else []


def _render_result(result: ToolResult, dropped: dict[str, None]) -> dict[str, Any]:
    if result.is_error:
        dropped["tool_result.is_error"] = None
    if result.cache_control is not None:
        dropped["cache_control"] = None
    rendered = [part for part in (render_part(part, dropped) for part in result.parts) if part is not None]
    output: str | list[dict[str, Any]] = rendered
    if not rendered:
        output = ""
    elif len(rendered) == 1 and rendered[0]["type"] == "input_text":
        output = rendered[0]["text"]
    return {"type": "function_call_output", "call_id": result.call_id, "output": output}


def _render_message(role: Role, parts: tuple[Part, ...], dropped: dict[str, None]) -> list[dict[str, Any]]:
    if role is Role.ASSISTANT:
        rendered = [_render_spoken(part, dropped) for part in parts]
    else:
        rendered = [render_part(part, dropped) for part in parts]
    content = [part for part in rendered if part is not None]
    if not content:
        return []
    if role is Role.ASSISTANT and len(content) == 1 and content[0]["type"] == "output_text":
        # The form that every server takes; lists of assistant content differ between them.
        return [{"type": "message", "role": role.value, "content": content[0]["text"]}]
    return [{"type": "message", "role": role.value, "content": content}]


def _render_spoken(part: Part, dropped: dict[str, None]) -> dict[str, Any] | None:
    match part:
        case Text():
            if part.cache_control is not None:
                dropped["cache_control"] = None
            return {"type": "output_text", "text": part.text, "annotations": []}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case _:
            dropped[f"assistant.{type(part).__name__.lower()}"] = None
            return None


def _render_limits(conversation: Conversation, dropped: dict[str, None]) -> dict[str, Any]:
    rendered: dict[str, Any] = {}
    if (limit := conversation.max_output_tokens) is not None:
        if limit < LEAST_OUTPUT_TOKENS:
            dropped[f"max_output_tokens: {limit}→{LEAST_OUTPUT_TOKENS}"] = None
        rendered["max_output_tokens"] = max(limit, LEAST_OUTPUT_TOKENS)
    sampling = conversation.sampling
    if sampling.temperature is not None:
        rendered["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        rendered["top_p"] = sampling.top_p
    if sampling.candidates is not None and sampling.candidates > 1:
        dropped["candidates"] = None
    for name in ("top_k", "seed", "presence_penalty", "frequency_penalty"):
        if getattr(sampling, name) is not None:
            dropped[name] = None
    if conversation.stop:
        dropped["stop"] = None
    return rendered | _render_labels(conversation, dropped)


def _render_labels(conversation: Conversation, dropped: dict[str, None]) -> dict[str, Any]:
    rendered: dict[str, Any] = {}
    if (end_user := conversation.end_user) is not None:
        if len(end_user) > LONGEST_END_USER:
            dropped["end_user"] = None
        else:
            rendered["safety_identifier"] = end_user
    if conversation.service_tier is not None:
        tier = _TIERS.get(conversation.service_tier, conversation.service_tier)
        if tier in _KNOWN_TIERS:
            rendered["service_tier"] = tier
        else:
            dropped["service_tier"] = None
    return rendered


def _render_thinking(wish: ThinkingWish, dropped: dict[str, None]) -> dict[str, Any]:
    """Effort is all this dialect knows: ``disabled`` is effort none, a token budget cannot be said."""
    if wish.budget_tokens is not None:
        dropped["thinking.budget_tokens"] = None
    reasoning: dict[str, Any] = {}
    effort = "none" if wish.mode is ThinkingMode.DISABLED else wish.effort
    if effort is not None:
        reasoning["effort"] = effort
    elif wish.mode is not None:
        dropped["thinking.mode"] = None
    if wish.display is not None and wish.display != _OMITTED:
        summary = _SUMMARIES.get(wish.display, wish.display)
        if summary != wish.display:
            dropped[f"thinking.display: {wish.display}→{summary}"] = None
        reasoning["summary"] = summary
    return {"reasoning": reasoning} if reasoning else {}


def _render_text_settings(conversation: Conversation) -> dict[str, Any]:
    rendered: dict[str, Any] = {}
    if (wanted := _render_format(conversation.output_format)) is not None:
        rendered["format"] = wanted
    if conversation.verbosity is not None:
        rendered["verbosity"] = conversation.verbosity
    return rendered


def _render_format(wanted: OutputFormat) -> dict[str, Any] | None:
    match wanted.kind:
        case OutputKind.TEXT:
            return None
        case OutputKind.JSON:
            return {"type": "json_object"}
        case OutputKind.SCHEMA:
            rendered: dict[str, Any] = {
                "type": "json_schema",
                "name": wanted.name or "answer",
                "schema": dict(wanted.schema or {}),
            }
            if wanted.description is not None:
                rendered["description"] = wanted.description
            if wanted.strict is not None:
                rendered["strict"] = wanted.strict
            return rendered


def _restore_extras(conversation: Conversation, body: dict[str, Any], dropped: dict[str, None]) -> None:
    """Our own extras go back to where they came from; nested ones of items and tools have lost their place."""
    for source, extras in conversation.extras.items():
        for key, value in extras.items():
            outer, _, inner = key.partition(".")
            if source != Dialect.OPENAI_RESPONSES.value or "[" in outer:
                dropped[key] = None
            elif not inner:
                body[key] = value
            elif outer in _NESTED and "." not in inner:
                body[outer] = body.get(outer, {}) | {inner: value}
            else:
                dropped[key] = None
