"""Rendering whole requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.dialects.anthropic_messages import CODEC
from gateway.dialects.anthropic_messages.render import JSON_INSTRUCTION
from gateway.dialects.codec import Rendered
from gateway.domain.chat import (
    Conversation,
    OutputFormat,
    OutputKind,
    Role,
    Sampling,
    Text,
    ThinkingMode,
    ThinkingWish,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from gateway.errors import InvalidRequest
from tests.dialects.anthropic_messages.sdk_types import check_request

PLAIN = Conversation("m", (Turn(Role.USER, (Text("Hi"),)),))
TOOL = Tool("f", schema={"type": "object", "properties": {}})


def render(conversation: Conversation = PLAIN, **changes: Any) -> Rendered:
    """What ``conversation`` with ``changes`` becomes; its body must have the SDK's types."""
    rendered = CODEC.render_request(replace(conversation, **changes), max_output_tokens=1000)
    check_request(rendered.body)
    return rendered


def test_the_least_request() -> None:
    """A plain conversation becomes model, messages and the limit that fills in, and nothing else."""
    assert render() == Rendered(
        {
            "model": "m",
            "max_tokens": 1000,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        }
    )


def test_a_full_request() -> None:
    """Every field that Anthropic knows is rendered, with nothing dropped."""
    mark = {"type": "ephemeral", "ttl": "1h"}
    rendered = render(
        turns=(Turn(Role.SYSTEM, (Text("Be brief.", mark),)), *PLAIN.turns),
        tools=(Tool("f", "d", {"type": "object"}, strict=True, cache_control=mark),),
        tool_choice=ToolChoice(ToolUse.AUTO, parallel=False),
        output_format=OutputFormat(OutputKind.SCHEMA, schema={"type": "object"}),
        max_output_tokens=4000,
        stop=("END",),
        sampling=Sampling(temperature=1, top_p=0.99),
        thinking=ThinkingWish("high", 2048, ThinkingMode.ENABLED, "summarized"),
        stream=True,
        end_user="u",
        service_tier="default",
        extras={"anthropic-messages": {"container": "c"}},
    )
    assert rendered.dropped == ()
    assert {key: rendered.body[key] for key in rendered.body if key not in {"model", "messages"}} == {
        "max_tokens": 4000,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": mark}],
        "tools": [
            {"name": "f", "input_schema": {"type": "object"}, "description": "d", "strict": True, "cache_control": mark}
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 2048, "display": "summarized"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "stop_sequences": ["END"],
        "temperature": 1,
        "top_p": 0.99,
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
        "stream": True,
        "container": "c",
    }


@pytest.mark.parametrize("schema", [None, {}, {"properties": {}}])
def test_tools_always_have_an_object_schema(schema: dict[str, Any] | None) -> None:
    """A tool without a schema, or with one that names no type, gets the object schema Anthropic demands."""
    tool = render(tools=(Tool("f", schema=schema),)).body["tools"][0]
    assert tool["input_schema"]["type"] == "object"


@pytest.mark.parametrize(
    ("choice", "expected", "dropped"),
    [
        (ToolChoice(), {"type": "auto"}, ()),
        (ToolChoice(ToolUse.REQUIRED, parallel=True), {"type": "any", "disable_parallel_tool_use": False}, ()),
        (ToolChoice(ToolUse.NAMED, "f"), {"type": "tool", "name": "f"}, ()),
        (ToolChoice(ToolUse.NONE, parallel=False), {"type": "none"}, ("parallel_tool_calls",)),
    ],
)
def test_tool_choices(choice: ToolChoice, expected: dict[str, Any], dropped: tuple[str, ...]) -> None:
    """Each tool choice has its words; parallel use has none where no tool may be used."""
    rendered = render(tools=(TOOL,), tool_choice=choice)
    assert (rendered.body["tool_choice"], rendered.dropped) == (expected, dropped)


def test_a_tool_choice_needs_tools() -> None:
    """Without tools a free choice is dropped by name, and a forced one refused."""
    rendered = render(tool_choice=ToolChoice())
    assert ("tool_choice" in rendered.body, rendered.dropped) == (False, ("tool_choice",))
    with pytest.raises(InvalidRequest, match="tools is empty"):
        render(tool_choice=ToolChoice(ToolUse.REQUIRED))


def test_json_without_a_schema_becomes_an_instruction() -> None:
    """JSON mode without a schema is a system instruction, at the end of system, and named."""
    rendered = render(
        turns=(Turn(Role.SYSTEM, (Text("A"),)), *PLAIN.turns), output_format=OutputFormat(OutputKind.JSON)
    )
    assert [block["text"] for block in rendered.body["system"]] == ["A", JSON_INSTRUCTION]
    assert rendered.dropped == ("response_format: json_object→system instruction",)


def test_what_a_schema_loses_is_named() -> None:
    """Name, description and leniency of a demanded format are named; strictness is Anthropic's only way."""
    form = OutputFormat(OutputKind.SCHEMA, "n", "d", {"type": "object"}, strict=False)
    assert render(output_format=form).dropped == (
        "response_format.name",
        "response_format.description",
        "response_format.strict: false→true",
    )
    assert render(output_format=OutputFormat(OutputKind.SCHEMA, schema={}, strict=True)).dropped == ()


def test_what_anthropic_does_not_know_is_named() -> None:
    """Parameters without a counterpart are dropped by name."""
    rendered = render(
        sampling=Sampling(temperature=1.7, seed=1, presence_penalty=0.5, frequency_penalty=0.5, candidates=1),
        stop=("\n\n", "END"),
        verbosity="low",
        service_tier="flex",
        extras={"openai-chat": {"logit_bias": {}, "store": True}, "anthropic-messages": {"tools.0.defer_loading": 1}},
    )
    assert rendered.dropped == (
        "stop[0]: white space alone",
        "temperature: 1.7→1",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "service_tier",
        "verbosity",
        "logit_bias",
        "store",
        "tools.0.defer_loading",
    )
    assert (rendered.body["temperature"], rendered.body["stop_sequences"]) == (1, ["END"])


def test_priority_is_what_auto_uses() -> None:
    """A wish for priority becomes auto, which uses it where the account has it, and is named."""
    rendered = render(service_tier="priority")
    assert (rendered.body["service_tier"], rendered.dropped) == ("auto", ("service_tier: priority→auto",))


def test_several_candidates_are_refused() -> None:
    """More than one answer cannot be had from Anthropic, and the client must know."""
    with pytest.raises(InvalidRequest) as refused:
        render(sampling=Sampling(candidates=2))
    assert refused.value.param == "n"


@pytest.mark.parametrize("wish", [ThinkingWish(budget_tokens=2048), ThinkingWish(mode=ThinkingMode.ADAPTIVE)])
def test_sampling_gives_way_to_thinking(wish: ThinkingWish) -> None:
    """While thinking is on, sampling that Anthropic would refuse is dropped by name."""
    rendered = render(thinking=wish, sampling=Sampling(temperature=0, top_p=0.5, top_k=3))
    assert rendered.dropped == (
        "temperature: not while thinking",
        "top_p: not while thinking",
        "top_k: not while thinking",
    )
    assert not {"temperature", "top_p", "top_k"} & rendered.body.keys()


def test_a_budget_gives_way_to_a_forced_tool() -> None:
    """A thinking budget beside a forced tool is dropped by name, since Anthropic refuses the pair."""
    rendered = render(
        tools=(TOOL,), tool_choice=ToolChoice(ToolUse.REQUIRED), thinking=ThinkingWish(budget_tokens=2048)
    )
    assert "thinking" not in rendered.body
    assert rendered.dropped == ("thinking: tool_choice forces a tool",)


def test_a_budget_gives_way_inside_a_tool_turn_without_thinking() -> None:
    """A tool turn that began without signed thinking goes on without, since Anthropic refuses the change."""
    turns = (
        *PLAIN.turns,
        Turn(Role.ASSISTANT, (ToolCall("t", "f", "{}"),)),
        Turn(Role.USER, (ToolResult("t", (Text("42"),)),)),
    )
    rendered = render(turns=turns, tools=(TOOL,), thinking=ThinkingWish(budget_tokens=2048))
    assert "thinking" not in rendered.body
    assert rendered.dropped == ("thinking: the tool turn under way began without it",)
