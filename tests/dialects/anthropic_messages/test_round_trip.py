"""Requests rendered and read again: what Anthropic can say keeps its meaning."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, reject
from hypothesis import strategies as st

from gateway.dialects.anthropic_messages import CODEC
from gateway.dialects.codec import Rendered
from gateway.dialects.json_bytes import dumps, loads
from gateway.domain.chat import (
    Conversation,
    OutputKind,
    RedactedThinking,
    Role,
    Text,
    Thinking,
    ThinkingMode,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.errors import InvalidRequest
from tests.dialects.anthropic_messages.essence import said
from tests.dialects.anthropic_messages.sdk_types import check_request
from tests.dialects.strategies import conversations

_KEPT_TIERS = {"auto": "auto", "default": "default", "priority": "auto"}


def _sendable(conversation: Conversation) -> Conversation:
    """Without what Anthropic refuses outright: several candidates, and a budget beyond the limit."""
    limit, budget = conversation.max_output_tokens, conversation.thinking.budget_tokens
    return replace(
        conversation,
        sampling=replace(conversation.sampling, candidates=None),
        max_output_tokens=None if limit is not None and budget is not None and limit <= budget else limit,
    )


def _render(conversation: Conversation) -> Rendered:
    """The rendered request; conversations of blank text alone cannot be sent and are not looked at."""
    try:
        return CODEC.render_request(conversation, max_output_tokens=1000)
    except InvalidRequest as refused:
        if refused.param == "messages":
            reject()
        raise


sendable = conversations(interleaved=True).map(_sendable)


@given(sendable)
def test_requests_have_the_sdks_types(conversation: Conversation) -> None:
    """Each rendered request validates against the anthropic package's parameter types."""
    check_request(_render(conversation).body)


@given(sendable)
def test_what_is_said_survives(conversation: Conversation) -> None:
    """System text and every sendable part come back in order, by the same speaker, over real JSON bytes."""
    back = CODEC.read_request(loads(dumps(_render(conversation).body)))
    system, others = said(conversation)
    system_back, others_back = said(back)
    if conversation.output_format.kind is OutputKind.JSON:
        system_back.pop()
    assert (system_back, others_back) == (system, others)


@given(sendable)
def test_parameters_survive(conversation: Conversation) -> None:
    """Every parameter that Anthropic has comes back, unless it was named as dropped."""
    rendered = _render(conversation)
    back = CODEC.read_request(rendered.body)
    named = {entry.split(":")[0] for entry in rendered.dropped}
    assert [(tool.name, tool.description, tool.strict, tool.cache_control) for tool in back.tools] == [
        (tool.name, tool.description, tool.strict, tool.cache_control) for tool in conversation.tools
    ]
    assert [tool.schema for tool in back.tools] == [
        tool.schema or {"type": "object", "properties": {}} for tool in conversation.tools
    ]
    if "parallel_tool_calls" not in named:
        assert back.tool_choice == conversation.tool_choice
    assert back.output_format.schema == conversation.output_format.schema
    assert back.stop == tuple(sequence for sequence in conversation.stop if sequence.strip())
    assert (back.model, back.stream, back.end_user) == (conversation.model, conversation.stream, conversation.end_user)
    assert back.service_tier == _KEPT_TIERS.get(conversation.service_tier or "")
    for name in ("temperature", "top_p", "top_k"):
        if name not in named:
            assert getattr(back.sampling, name) == getattr(conversation.sampling, name)
    assert back.extras == {}


@given(sendable)
def test_thinking_survives(conversation: Conversation) -> None:
    """Mode, budget, effort and display come back, unless named; a client's limit is never changed."""
    rendered = _render(conversation)
    back = CODEC.read_request(rendered.body)
    named = {entry.split(":")[0] for entry in rendered.dropped}
    wish = conversation.thinking
    if conversation.max_output_tokens is not None:
        assert back.max_output_tokens == conversation.max_output_tokens
    if wish.effort == "none" and wish.mode is None:
        assert back.thinking.mode is ThinkingMode.DISABLED
    elif "thinking" not in named:
        assert (back.thinking.mode, back.thinking.budget_tokens) == (wish.mode, wish.budget_tokens)
    if "reasoning_effort" not in named and wish.effort != "none":
        assert back.thinking.effort == wish.effort
    if "thinking.display" not in named:
        assert back.thinking.display == wish.display


@given(sendable)
def test_the_second_time_nothing_is_lost(conversation: Conversation) -> None:
    """What Anthropic could say once it says again: rendering what was read changes and drops nothing."""
    first = _render(conversation)
    again = CODEC.render_request(CODEC.read_request(first.body), max_output_tokens=1000)
    assert again == Rendered(first.body)


@given(st.text('abc+/=\\"é\n', min_size=1), st.text('abc+/=\\"é\n', min_size=1))
def test_signatures_survive_byte_for_byte(signature: str, data: str) -> None:
    """Signatures and redacted data come back exactly, in their order, around a tool call."""
    parts = (Thinking("a", signature), RedactedThinking(data), Text("b"), ToolCall("t", "f", "{}"))
    turns = (
        Turn(Role.USER, (Text("Hi"),)),
        Turn(Role.ASSISTANT, parts),
        Turn(Role.USER, (ToolResult("t", (Text("42"),)),)),
    )
    rendered = CODEC.render_request(Conversation("m", turns), max_output_tokens=100)
    assert rendered.dropped == ()
    assert CODEC.read_request(loads(dumps(rendered.body))).turns == turns
