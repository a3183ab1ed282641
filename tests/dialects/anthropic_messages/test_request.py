"""Reading whole requests."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic_messages import CODEC
from gateway.domain.chat import (
    Dialect,
    OutputFormat,
    OutputKind,
    Role,
    Sampling,
    Text,
    ThinkingMode,
    ThinkingWish,
    Tool,
    ToolChoice,
    ToolUse,
    Turn,
)
from gateway.errors import InvalidRequest
from tests.dialects.strategies import json_values

MESSAGES = [{"role": "user", "content": "Hi"}]
MARK = {"type": "ephemeral"}


def body(**members: Any) -> dict[str, Any]:
    """A plain request with these members."""
    return {"model": "m", "max_tokens": 64, "messages": MESSAGES, **members}


def test_a_full_request() -> None:
    """Every field that has a neutral value is read into it."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    conversation = CODEC.read_request(
        body(
            max_tokens=4096,
            system=[{"type": "text", "text": "Be brief.", "cache_control": MARK}],
            messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
            tools=[
                {"name": "f", "description": "d", "input_schema": schema, "strict": True, "cache_control": MARK},
                {"type": "custom", "name": "g", "input_schema": {}},
            ],
            tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
            stop_sequences=["END"],
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            thinking={"type": "enabled", "budget_tokens": 2048, "display": "summarized"},
            output_config={"effort": "high", "format": {"type": "json_schema", "schema": schema}},
            metadata={"user_id": "u"},
            service_tier="standard_only",
            stream=True,
        )
    )
    assert conversation.turns == (
        Turn(Role.SYSTEM, (Text("Be brief.", MARK),)),
        Turn(Role.USER, (Text("Hi"),)),
        Turn(Role.ASSISTANT, (Text("Ho"),)),
    )
    assert conversation.tools == (Tool("f", "d", schema, strict=True, cache_control=MARK), Tool("g", schema={}))
    assert conversation.tool_choice == ToolChoice(ToolUse.NAMED, "f", parallel=False)
    assert conversation.stop == ("END",)
    assert conversation.sampling == Sampling(temperature=0.5, top_p=0.9, top_k=40)
    assert conversation.thinking == ThinkingWish("high", 2048, ThinkingMode.ENABLED, "summarized")
    assert conversation.output_format == OutputFormat(OutputKind.SCHEMA, schema=schema)
    assert (conversation.end_user, conversation.service_tier) == ("u", "default")
    assert (conversation.max_output_tokens, conversation.stream, conversation.include_usage) == (4096, True, True)
    assert conversation.extras == {}


def test_system_turns_stay_in_place() -> None:
    """A system message between others stays a system turn where it stands."""
    messages = [*MESSAGES, {"role": "system", "content": "Now in French."}, {"role": "assistant", "content": "Oui"}]
    conversation = CODEC.read_request(body(system="Be brief.", messages=messages))
    assert [turn.role for turn in conversation.turns] == [Role.SYSTEM, Role.USER, Role.SYSTEM, Role.ASSISTANT]


@pytest.mark.parametrize("system", ["", None, []])
def test_an_empty_system_is_no_turn(system: Any) -> None:
    """An empty system prompt gives no system turn."""
    assert len(CODEC.read_request(body(system=system)).turns) == 1


def test_null_and_missing_are_the_same() -> None:
    """The SDK's null members read like absent ones, a missing max_tokens included."""
    names = ("system", "tools", "tool_choice", "stop_sequences", "temperature", "thinking", "metadata", "unknown")
    nulls = {**dict.fromkeys(names), "max_tokens": None, "output_config": {"effort": None, "format": None}}
    assert CODEC.read_request(body(**nulls)) == CODEC.read_request({"model": "m", "messages": MESSAGES})


def test_what_has_no_neutral_value_is_kept_in_extras() -> None:
    """Unknown top-level fields are kept by name, details of known ones by path."""
    conversation = CODEC.read_request(
        body(
            container="c",
            metadata={"team": "t"},
            output_config={"task_budget": 3},
            tools=[{"name": "f", "input_schema": {}, "defer_loading": True}],
            messages=[{"role": "user", "content": "Hi", "clear_at": "never"}],
        )
    )
    assert conversation.extras == {
        Dialect.ANTHROPIC_MESSAGES: {
            "container": "c",
            "metadata.team": "t",
            "output_config.task_budget": 3,
            "tools.0.defer_loading": True,
            "messages.0.clear_at": "never",
        }
    }


@pytest.mark.parametrize("mode", list(ThinkingMode))
def test_thinking_modes(mode: ThinkingMode) -> None:
    """Every thinking type is read."""
    thinking = {"type": mode.value, **({"budget_tokens": 1024} if mode is ThinkingMode.ENABLED else {})}
    assert CODEC.read_request(body(thinking=thinking)).thinking.mode is mode


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, ToolChoice(ToolUse.AUTO)),
        ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice(ToolUse.REQUIRED, parallel=True)),
        ({"type": "none"}, ToolChoice(ToolUse.NONE)),
    ],
)
def test_tool_choices(choice: dict[str, Any], expected: ToolChoice) -> None:
    """Each tool choice is read, parallel use included."""
    assert CODEC.read_request(body(tool_choice=choice)).tool_choice == expected


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"system": 4}, "system"),
        ({"system": [{"type": "image"}]}, "system.0.type"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences.0"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_k": 1.5}, "top_k"),
        ({"thinking": {"type": "sometimes"}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "adaptive", "display": "loud"}}, "thinking.display"),
        ({"output_config": {"effort": "minimal"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_object"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"metadata": "u"}, "metadata"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_faults_are_named_by_their_path(members: dict[str, Any], param: str) -> None:
    """A request that cannot be read is refused with the path of its first fault."""
    with pytest.raises(InvalidRequest) as refused:
        CODEC.read_request(body(**members))
    assert refused.value.param == param
    assert refused.value.message.startswith(param)


def test_server_tools_are_refused_clearly() -> None:
    """A server tool is refused with the reason and with what is accepted."""
    with pytest.raises(InvalidRequest, match="'web_search_20250305' is a tool of Anthropic's own"):
        CODEC.read_request(body(tools=[{"type": "web_search_20250305", "name": "web_search"}]))


_blocks = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["text", "image", "document", "search_result", "tool_use", "tool_result", "thinking", "redacted_thinking"]
        )
    },
    optional={
        "text": json_values,
        "source": st.one_of(
            json_values,
            st.fixed_dictionaries(
                {"type": st.sampled_from(["base64", "url", "file", "text", "content"])},
                optional={"data": json_values, "url": json_values, "media_type": json_values, "content": json_values},
            ),
        ),
        "tool_use_id": json_values,
        "content": json_values,
        "id": json_values,
        "name": json_values,
        "input": json_values,
        "cache_control": json_values,
        "thinking": json_values,
        "data": json_values,
    },
)
_messages = st.lists(
    st.one_of(
        json_values,
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.lists(_blocks, max_size=3)}
        ),
    ),
    max_size=3,
)
_members = {
    "system": json_values,
    "tools": st.one_of(
        json_values, st.lists(st.fixed_dictionaries({"name": st.just("f"), "input_schema": json_values}))
    ),
    "tool_choice": st.one_of(json_values, st.fixed_dictionaries({"type": json_values, "name": json_values})),
    "output_config": st.one_of(json_values, st.fixed_dictionaries({"effort": json_values, "format": json_values})),
    "thinking": st.one_of(json_values, st.fixed_dictionaries({"type": json_values, "budget_tokens": json_values})),
    "max_tokens": json_values,
    "stop_sequences": json_values,
    "temperature": json_values,
    "metadata": json_values,
    "service_tier": json_values,
    "stream": json_values,
    "surprise": json_values,
}


@given(st.fixed_dictionaries({"model": st.just("m"), "messages": st.one_of(_messages, json_values)}, optional=_members))
def test_no_json_crashes_reading(fuzzed: dict[str, Any]) -> None:
    """Whatever JSON a client sends is read or refused; what is read is rendered or refused."""
    with contextlib.suppress(InvalidRequest):
        CODEC.render_request(CODEC.read_request(fuzzed), max_output_tokens=100)
