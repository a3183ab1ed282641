"""Tests of gateway/dialects/openai_chat/request.py, messages.py, content.py and thinking.py."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.dialects.openai_chat.request import read_request
from gateway.domain.chat import (
    Audio,
    Document,
    Image,
    OutputFormat,
    OutputKind,
    RedactedThinking,
    Refusal,
    Role,
    Text,
    Thinking,
    ThinkingWish,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from gateway.errors import InvalidRequest

_HELLO = [{"role": "user", "content": "Hello"}]


def _body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": _HELLO, **fields}


def _turns(*messages: Any) -> tuple[Turn, ...]:
    return read_request({"model": "m", "messages": list(messages)}).turns


def _function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def test_every_role_is_read_in_its_place() -> None:
    """System and developer messages stay apart, and where they stood."""
    assert _turns(
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U", "name": "ann"},
        {"role": "developer", "content": [{"type": "text", "text": "D"}]},
        {"role": "assistant", "content": "A"},
    ) == (
        Turn(Role.SYSTEM, (Text("S"),)),
        Turn(Role.USER, (Text("U"),), "ann"),
        Turn(Role.DEVELOPER, (Text("D"),)),
        Turn(Role.ASSISTANT, (Text("A"),)),
    )


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "t"}, Text("t")),
        ({"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}, Text("t", {"type": "ephemeral"})),
        (
            {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
            Image(url="https://a/b.png", detail="low"),
        ),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAA="}}, Image("image/png", "AAA=")),
        ({"type": "image_url", "image_url": {"url": "data:image/png;x=y;base64,AAA="}}, Image("image/png", "AAA=")),
        ({"type": "input_audio", "input_audio": {"data": "AAA=", "format": "wav"}}, Audio("AAA=", "wav")),
        ({"type": "file", "file": {"file_id": "file-1"}}, Document(file_id="file-1")),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAA=", "filename": "a.pdf"}},
            Document("application/pdf", "AAA=", name="a.pdf"),
        ),
        ({"type": "file", "file": {"file_data": "AAA="}}, Document(data="AAA=")),
        ({"type": "file", "file": {"file_data": "https://a/b.pdf"}}, Document(url="https://a/b.pdf")),
    ],
)
def test_every_content_part_is_read(part: dict[str, Any], expected: Any) -> None:
    """Each kind of content part reads into its neutral part."""
    assert _turns({"role": "user", "content": [part]}) == (Turn(Role.USER, (expected,)),)


def test_consecutive_tool_messages_are_one_turn() -> None:
    """Results of parallel calls join one user turn; the user's own words are another."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    turns = _turns(
        {"role": "assistant", "content": "", "tool_calls": [call, {**call, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "and?"},
    )
    assert turns == (
        Turn(Role.ASSISTANT, (ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "f", '{"a": 1}'))),
        Turn(Role.USER, (ToolResult("c1", (Text("one"),)), ToolResult("c2", (Text("two"),)))),
        Turn(Role.USER, (Text("and?"),)),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_content": "hm"}, (Thinking("hm"),)),
        ({"reasoning": "hm"}, (Thinking("hm"),)),
        (
            {
                "reasoning_content": "ignored",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln+/=="},
                    {"type": "redacted_thinking", "data": "b3BhcXVl"},
                ],
            },
            (Thinking("hm", "c2ln+/=="), RedactedThinking("b3BhcXVl")),
        ),
        ({"thinking_blocks": [], "reasoning_content": "hm"}, (Thinking("hm"),)),
    ],
)
def test_thinking_that_comes_back_is_read(fields: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """Thinking stands first, signatures byte for byte; blocks win over plain text."""
    message = {"role": "assistant", "content": "A", "refusal": "no", **fields}
    assert _turns(message) == (Turn(Role.ASSISTANT, (*expected, Text("A"), Refusal("no"))),)


def test_top_level_fields_are_read() -> None:
    """Limits, sampling, effort, tier and identity find their neutral fields."""
    conversation = read_request(
        _body(
            max_tokens=10,
            max_completion_tokens=20,
            stop="END",
            temperature=1,
            top_p=0.5,
            top_k=3,
            seed=7,
            presence_penalty=0.1,
            frequency_penalty=-0.1,
            n=3,
            reasoning_effort="high",
            verbosity="low",
            service_tier="flex",
            user="u",
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    sampling = conversation.sampling
    assert (conversation.max_output_tokens, conversation.stop) == (20, ("END",))
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (1, 0.5, 3, 7)
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.candidates) == (0.1, -0.1, 3)
    assert conversation.thinking == ThinkingWish(effort="high")
    assert (conversation.verbosity, conversation.service_tier, conversation.end_user) == ("low", "flex", "u")
    assert (conversation.stream, conversation.include_usage, conversation.extras) == (True, True, {})
    assert read_request(_body(max_tokens=10)).max_output_tokens == 10
    assert read_request(_body(stop=["a", "b"])).stop == ("a", "b")


def test_other_fields_are_kept_under_their_dialect() -> None:
    """What no neutral field covers is kept as it came, save nulls and the gateway's own field."""
    body = _body(
        metadata={"a": "b"},
        store=True,
        logprobs=None,
        ponder={"tags": {}},
        stream_options={"include_obfuscation": False},
        user="u",
        safety_identifier="s",
    )
    conversation = read_request(body)
    assert conversation.end_user == "s"
    assert conversation.extras == {
        "openai-chat": {
            "metadata": {"a": "b"},
            "store": True,
            "stream_options": {"include_obfuscation": False},
            "user": "u",
        }
    }


def test_tools_are_read() -> None:
    """A function with all its fields is a tool."""
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    conversation = read_request(_body(tools=[{"type": "function", "function": function}]))
    assert conversation.tools == (Tool("f", "d", {"type": "object"}, True),)


@pytest.mark.parametrize(
    ("fields", "expected", "tools"),
    [
        ({}, None, "fg"),
        ({"parallel_tool_calls": False}, ToolChoice(parallel=False), "fg"),
        ({"tool_choice": "auto"}, ToolChoice(ToolUse.AUTO), "fg"),
        ({"tool_choice": "none"}, ToolChoice(ToolUse.NONE), "fg"),
        ({"tool_choice": "required", "parallel_tool_calls": True}, ToolChoice(ToolUse.REQUIRED, None, True), "fg"),
        ({"tool_choice": _function("g")}, ToolChoice(ToolUse.NAMED, "g"), "fg"),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [_function("g")]},
                }
            },
            ToolChoice(ToolUse.REQUIRED),
            "g",
        ),
    ],
)
def test_every_tool_choice_is_read(fields: dict[str, Any], expected: ToolChoice | None, tools: str) -> None:
    """Each form of tool_choice keeps its meaning; allowed_tools leaves only the allowed."""
    conversation = read_request(_body(tools=[_function("f"), _function("g")], **fields))
    assert conversation.tool_choice == expected
    assert "".join(tool.name for tool in conversation.tools) == tools


@pytest.mark.parametrize(
    ("demanded", "expected"),
    [
        (None, OutputFormat()),
        ({"type": "text"}, OutputFormat()),
        ({"type": "json_object"}, OutputFormat(OutputKind.JSON)),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
            OutputFormat(OutputKind.SCHEMA, "n", None, {"type": "object"}, True),
        ),
    ],
)
def test_every_response_format_is_read(demanded: Any, expected: OutputFormat) -> None:
    """Each form of response_format is read."""
    assert read_request(_body(response_format=demanded)).output_format == expected


def _user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"model": None}, "model", "string"),
        ({"model": ""}, "model", "empty"),
        ({"messages": []}, "messages", "at least one"),
        ({"messages": ["hi"]}, "messages[0]", "object"),
        ({"messages": [{"role": "robot", "content": ""}]}, "messages[0].role", "assistant"),
        ({"messages": [{"role": "function", "name": "f", "content": ""}]}, "messages[0].role", "role tool"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "content parts"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "string"),
        ({"messages": [{"role": "assistant", "function_call": {}}]}, "messages[0].function_call", "tool_calls"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages[0].audio", "transcript"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {}}]}]},
            "messages[0].tool_calls[0].type",
            "function",
        ),
        (
            {"messages": [{"role": "assistant", "thinking_blocks": [{"type": "thought"}]}]},
            "messages[0].thinking_blocks[0].type",
            "redacted_thinking",
        ),
        (_user({"type": "video_url"}), "messages[0].content[0].type", "image_url"),
        (_user({"type": "image_url"}), "messages[0].content[0].image_url", "object"),
        (
            _user({"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
            "messages[0].content[1].image_url.url",
            "http(s)",
        ),
        (_user({"type": "file", "file": {}}), "messages[0].content[0].file", "exactly one"),
        (_user({"type": "file", "file": {"file_data": "data:,x"}}), "messages[0].content[0].file.file_data", "base64"),
        ({"functions": [{"name": "f"}]}, "functions", "use tools"),
        ({"function_call": "auto"}, "function_call", "use tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type", "function"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "function"),
        ({"tool_choice": _function("h")}, "tool_choice.function.name", "one of the request's tools"),
        ({"tool_choice": "any"}, "tool_choice", "required"),
        ({"tool_choice": {"type": "custom"}}, "tool_choice.type", "functions"),
        ({"response_format": {"type": "grammar"}}, "response_format.type", "json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            "response_format.json_schema.schema",
            "object",
        ),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens", "integer"),
        ({"temperature": "hot"}, "temperature", "number"),
        ({"temperature": math.inf}, "temperature", "number"),
        ({"stop": [1]}, "stop", "list of strings"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"reasoning_effort": 3}, "reasoning_effort", "string"),
        ({"stream_options": []}, "stream_options", "object"),
    ],
)
def test_what_is_refused_names_its_place_and_what_would_be_accepted(
    fields: dict[str, Any], param: str, says: str
) -> None:
    """A refusal carries the path of the fault and says what to send instead."""
    with pytest.raises(InvalidRequest) as caught:
        read_request(_body(**fields))
    assert caught.value.param == param
    assert says in caught.value.message
