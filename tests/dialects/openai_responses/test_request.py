"""A client's Responses request, read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.openai_responses import CODEC
from gateway.domain.chat import OutputFormat, OutputKind, Role, Sampling, Text, ThinkingWish, Turn
from gateway.errors import InvalidRequest
from tests.dialects.strategies import json_values


def _request(**members: Any) -> dict[str, Any]:
    return {"model": "gpt-5.4", "input": "Hi", **members}


def test_a_string_is_one_user_turn() -> None:
    """``input`` as a string reads as a single user turn."""
    read = CODEC.read_request(_request())
    assert (read.model, read.turns) == ("gpt-5.4", (Turn(Role.USER, (Text("Hi"),)),))
    assert read.extras == {}


def test_instructions_lead_and_developer_messages_stay() -> None:
    """``instructions`` become the leading system turn, apart from a developer message in ``input``."""
    read = CODEC.read_request(
        _request(
            instructions="Be kind.",
            input=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        )
    )
    assert [(turn.role, turn.parts) for turn in read.turns] == [
        (Role.SYSTEM, (Text("Be kind."),)),
        (Role.DEVELOPER, (Text("Be brief."),)),
        (Role.USER, (Text("Hi"),)),
    ]


def test_settings_are_read() -> None:
    """Limits, sampling, reasoning, verbosity and labels land in their neutral places."""
    read = CODEC.read_request(
        _request(
            max_output_tokens=500,
            temperature=0.5,
            top_p=1,
            reasoning={"effort": "high", "summary": "concise"},
            text={"verbosity": "low", "format": {"type": "json_object"}},
            safety_identifier="user_1",
            service_tier="flex",
            stream=True,
        )
    )
    assert read.max_output_tokens == 500
    assert read.sampling == Sampling(temperature=0.5, top_p=1)
    assert read.thinking == ThinkingWish(effort="high", display="concise")
    assert (read.verbosity, read.output_format) == ("low", OutputFormat(OutputKind.JSON))
    assert (read.end_user, read.service_tier, read.stream) == ("user_1", "flex", True)
    assert read.extras == {}


def test_a_schema_is_read_whole() -> None:
    """A ``json_schema`` format keeps name, description, schema and strictness."""
    form = {"type": "json_schema", "name": "n", "description": "d", "schema": {"type": "object"}, "strict": True}
    read = CODEC.read_request(_request(text={"format": form}))
    assert read.output_format == OutputFormat(OutputKind.SCHEMA, "n", "d", {"type": "object"}, True)


def test_uncovered_members_are_kept_by_their_paths() -> None:
    """Members without a neutral value go to ``extras``, nested ones under their paths."""
    read = CODEC.read_request(
        _request(
            input=[{"type": "message", "role": "assistant", "content": "Hi", "phase": "commentary"}],
            metadata={"a": "b"},
            store=True,
            reasoning={"mode": "pro"},
            tools=[{"type": "function", "name": "f", "parameters": None, "strict": None, "defer_loading": True}],
            user="old",
            safety_identifier="new",
            truncation=None,
        )
    )
    assert read.extras == {
        "openai-responses": {
            "metadata": {"a": "b"},
            "input[0].phase": "commentary",
            "tools[0].defer_loading": True,
            "reasoning.mode": "pro",
            "user": "old",
            "store": True,
        }
    }
    assert read.end_user == "new"


def test_not_storing_is_met_and_not_kept() -> None:
    """``store: false`` is what every translation does, so it leaves no trace."""
    assert CODEC.read_request(_request(store=False)).extras == {}


@pytest.mark.parametrize(
    "member",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": {"id": "conv_1"}},
        {"prompt": {"id": "pmpt_1"}},
        {"background": True},
    ],
)
def test_state_at_the_server_is_refused(member: dict[str, Any]) -> None:
    """What only OpenAI's servers know is refused, naming the member and the way out."""
    with pytest.raises(InvalidRequest, match=r"a model elsewhere cannot read; (send|leave)") as fault:
        CODEC.read_request(_request(**member))
    assert fault.value.param == next(iter(member))


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [1]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "text"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"type": "reasoning", "summary": [{}]}]}, "input[0].summary[0].text"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"stream": 1}, "stream"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"reasoning": "high"}, "reasoning"),
        ({"tool_choice": "maybe"}, "tool_choice"),
    ],
)
def test_faults_name_their_place(members: dict[str, Any], param: str) -> None:
    """A member that cannot be read is refused with its path and what would be accepted."""
    with pytest.raises(InvalidRequest, match="must be") as fault:
        CODEC.read_request(_request(**members))
    assert fault.value.param == param


_MEMBERS = [
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "stream",
    "user",
    "store",
    "max_output_tokens",
    "temperature",
]
_ITEM_KEYS = ["type", "role", "content", "call_id", "output", "summary", "encrypted_content", "id", "name", "arguments"]
_WORDS = st.sampled_from(
    [
        "message",
        "function_call",
        "function_call_output",
        "reasoning",
        "user",
        "assistant",
        "input_text",
        "input_image",
        "input_file",
        "input_audio",
        "output_text",
        "refusal",
        "function",
        "allowed_tools",
        "json_schema",
        "data:text/plain;base64,!!",
        "data:image/png;base64,AAAA",
    ]
)
_PART_KEYS = ["type", "text", "image_url", "file_data", "file_url", "filename", "input_audio", "detail", "refusal"]
_parts = st.lists(st.dictionaries(st.sampled_from(_PART_KEYS), st.one_of(_WORDS, json_values), max_size=4), max_size=2)
_items = st.lists(
    st.dictionaries(st.sampled_from(_ITEM_KEYS), st.one_of(_WORDS, _parts, json_values), max_size=6), max_size=3
)


@given(body=st.dictionaries(st.sampled_from(_MEMBERS), st.one_of(_WORDS, _items, json_values)))
def test_any_json_is_read_or_refused(body: dict[str, Any]) -> None:
    """Whatever JSON a client sends is read, or refused as invalid: nothing else is raised."""
    try:
        read = CODEC.read_request({"model": "m", "input": "x"} | body)
    except InvalidRequest:
        return
    CODEC.render_request(read, max_output_tokens=100)
