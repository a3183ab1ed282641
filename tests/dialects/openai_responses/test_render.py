"""A neutral conversation, rendered as a Responses request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from openai.types.responses.response_format_text_config_param import ResponseFormatTextConfigParam
from openai.types.responses.response_input_item_param import ResponseInputItemParam
from openai.types.responses.tool_param import ToolParam
from pydantic import TypeAdapter

from gateway.dialects.openai_responses import CODEC
from gateway.domain.chat import (
    Conversation,
    Document,
    Image,
    OutputFormat,
    OutputKind,
    Part,
    RedactedThinking,
    Refusal,
    Role,
    Sampling,
    Text,
    Thinking,
    ThinkingMode,
    ThinkingWish,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tests.dialects.openai_responses.typed import encodable
from tests.dialects.strategies import conversations

_OWN_EXTRAS = st.sampled_from(
    [{}, {"openai-responses": {"metadata": {"a": "b"}, "reasoning.mode": "pro", "text.x": 1, "store": True}}]
)


def _asked(*turns: Turn, **members: Any) -> Conversation:
    return Conversation("m", turns or (Turn(Role.USER, (Text("Hi"),)),), **members)


def _rendered(conversation: Conversation) -> tuple[dict[str, Any], tuple[str, ...]]:
    rendered = CODEC.render_request(conversation, max_output_tokens=4096)
    return rendered.body, rendered.dropped


def _sayable_part(part: Part) -> Part | None:
    match part:
        case Text(text):
            return Text(text)
        case Image():
            return replace(part, detail=None if part.detail == "auto" else part.detail, cache_control=None)
        case Document():
            name = part.name
            if part.data is not None or part.text is not None:
                name = name or ("document.txt" if part.text is not None else "document.pdf")
            elif part.url is not None or part.file_id is not None:
                name = None
            return replace(part, name=name, context=None, cache_control=None)
        case ToolCall():
            return replace(part, cache_control=None)
        case ToolResult():
            parts: Any = tuple(_sayable_part(inner) for inner in part.parts)
            return replace(part, parts=parts, is_error=False, cache_control=None)
        case Thinking() | RedactedThinking():
            return None
        case _:
            return part


def _said(conversation: Conversation) -> list[tuple[Role, Part]]:
    """Who says what, whatever the cut into turns."""
    said = [(turn.role, _sayable_part(part)) for turn in conversation.turns for part in turn.parts]
    return [(role, part) for role, part in said if part is not None]


def _sayable_settings(asked: Conversation) -> Conversation:
    """What this dialect can say of a conversation's settings; the rest must be named as dropped."""
    wish = asked.thinking
    form = asked.output_format
    if form.kind is OutputKind.SCHEMA:
        form = replace(form, name=form.name or "answer")
    return replace(
        asked,
        turns=(),
        tools=tuple(
            Tool(tool.name, tool.description, tool.schema or {"type": "object", "properties": {}}, tool.strict is True)
            for tool in asked.tools
        ),
        tool_choice=asked.tool_choice if asked.tools else None,
        output_format=form,
        max_output_tokens=None if asked.max_output_tokens is None else max(16, asked.max_output_tokens),
        stop=(),
        sampling=Sampling(temperature=asked.sampling.temperature, top_p=asked.sampling.top_p),
        thinking=ThinkingWish(
            effort="none" if wish.mode is ThinkingMode.DISABLED else wish.effort,
            display={"summarized": "auto", "omitted": None}.get(wish.display or "", wish.display),
        ),
        include_usage=False,
    )


@given(asked=conversations(extras=_OWN_EXTRAS))
def test_rendering_and_reading_keep_the_meaning(asked: Conversation) -> None:
    """A rendered request reads back as the same conversation, save what the dialect cannot say."""
    body, _ = _rendered(asked)
    read = CODEC.read_request(body)
    assert _said(read) == _said(asked)
    assert replace(read, turns=()) == replace(_sayable_settings(asked), extras=dict(asked.extras))


@given(asked=conversations())
def test_what_is_lost_is_named(asked: Conversation) -> None:
    """Every setting and kind of part that the dialect cannot say stands in ``dropped``."""
    _, dropped = _rendered(asked)
    parts = [part for turn in asked.turns for part in turn.parts]
    lost = {
        "stop": bool(asked.stop),
        "candidates": (asked.sampling.candidates or 1) > 1,
        "thinking.budget_tokens": asked.thinking.budget_tokens is not None,
        "thinking": any(isinstance(part, Thinking) for part in parts),
        "redacted_thinking": any(isinstance(part, RedactedThinking) for part in parts),
        "tool_result.is_error": any(isinstance(part, ToolResult) and part.is_error for part in parts),
        "name": any(turn.name is not None for turn in asked.turns),
    } | {
        name: getattr(asked.sampling, name) is not None
        for name in ("top_k", "seed", "presence_penalty", "frequency_penalty")
    }
    assert {name for name in lost if lost[name]} == {name for name in dropped if name in lost}


_items: TypeAdapter[Any] = TypeAdapter(ResponseInputItemParam)
_tools: TypeAdapter[Any] = TypeAdapter(ToolParam)
_formats: TypeAdapter[Any] = TypeAdapter(ResponseFormatTextConfigParam)


@given(asked=conversations())
def test_requests_are_what_the_openai_package_types(asked: Conversation) -> None:
    """Members, items, tools and formats validate against the openai package's own types."""
    body = encodable(_rendered(asked)[0])
    assert body.keys() <= ResponseCreateParamsBase.__annotations__.keys() | {"stream"}
    for item in body["input"]:
        if not _holds_audio(item):
            _items.validate_python(_with_id(item))
    for tool in body.get("tools", []):
        _tools.validate_python(tool)
    if "format" in body.get("text", {}):
        _formats.validate_python(body["text"]["format"])


def _with_id(item: dict[str, Any]) -> dict[str, Any]:
    """The types want an id on answers sent back; the API looks up ids and fails on those it never stored."""
    if item.get("role") == "assistant" and isinstance(item["content"], list):
        return {"id": "msg_1", "status": "completed"} | item
    return item


def _holds_audio(item: dict[str, Any]) -> bool:
    """The types know ``input_audio`` and leave it out of what messages may hold."""
    content = item.get("content")
    return isinstance(content, list) and any(part["type"] == "input_audio" for part in content)


def test_a_leading_system_turn_becomes_instructions() -> None:
    """A leading system turn of one text is ``instructions``; a developer turn stays a message."""
    body, _ = _rendered(
        _asked(Turn(Role.SYSTEM, (Text("Be kind."),)), Turn(Role.DEVELOPER, (Text("Be brief."),)), Turn(Role.USER, ()))
    )
    assert body["instructions"] == "Be kind."
    assert [item["role"] for item in body["input"]] == ["developer"]


def test_a_lone_system_turn_stays_input() -> None:
    """``input`` is never left empty: a system turn alone stays a message."""
    body, _ = _rendered(_asked(Turn(Role.SYSTEM, (Text("Say hi."),))))
    assert "instructions" not in body
    assert len(body["input"]) == 1


def test_translated_requests_are_not_stored() -> None:
    """``store`` is false unless the client itself asked this dialect to store."""
    assert _rendered(_asked())[0]["store"] is False
    assert _rendered(_asked(extras={"openai-responses": {"store": True}}))[0]["store"] is True


def test_extras_of_other_dialects_are_named() -> None:
    """Another dialect's extras are dropped by name, and so are our own that have lost their place."""
    extras = {"openai-chat": {"logit_bias": {}}, "openai-responses": {"input[0].phase": "x", "include": []}}
    body, dropped = _rendered(_asked(extras=extras))
    assert dropped == ("logit_bias", "input[0].phase")
    assert body["include"] == []


def test_openai_reasoning_goes_back_to_openai() -> None:
    """Reasoning that OpenAI encrypted comes back under its own id, directly before what it led to."""
    body, dropped = _rendered(
        _asked(
            Turn(Role.USER, (Text("Hi"),)),
            Turn(Role.ASSISTANT, (Thinking("Why", "ponder:openai:rs_1:gAAA"), ToolCall("c", "f", "{}"))),
            Turn(Role.USER, (ToolResult("c", (Text("1"),)),)),
        )
    )
    assert dropped == ()
    assert body["input"][1] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Why"}],
        "encrypted_content": "gAAA",
    }


def test_reasoning_that_led_to_nothing_is_left_out() -> None:
    """OpenAI refuses a reasoning item without a follower, so one from a cut answer is dropped by name."""
    body, dropped = _rendered(
        _asked(
            Turn(Role.USER, (Text("Hi"),)),
            Turn(Role.ASSISTANT, (RedactedThinking("ponder:openai:rs_1:gAAA"),)),
            Turn(Role.USER, (Text("Go on"),)),
        )
    )
    assert [item["type"] for item in body["input"]] == ["message", "message"]
    assert dropped == ("thinking",)


@pytest.mark.parametrize(
    ("members", "expected", "dropped"),
    [
        ({"max_output_tokens": 1}, {"max_output_tokens": 16}, ("max_output_tokens: 1→16",)),
        ({"end_user": "u" * 64}, {"safety_identifier": "u" * 64}, ()),
        ({"end_user": "u" * 65}, {"safety_identifier": None}, ("end_user",)),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}, ()),
        ({"service_tier": "batch"}, {"service_tier": None}, ("service_tier",)),
        ({"thinking": ThinkingWish(mode=ThinkingMode.DISABLED)}, {"reasoning": {"effort": "none"}}, ()),
        ({"thinking": ThinkingWish(mode=ThinkingMode.ADAPTIVE)}, {"reasoning": None}, ("thinking.mode",)),
        (
            {"thinking": ThinkingWish(effort="high", display="summarized")},
            {"reasoning": {"effort": "high", "summary": "auto"}},
            ("thinking.display: summarized→auto",),
        ),
        ({"tool_choice": ToolChoice(parallel=False)}, {"parallel_tool_calls": None}, ()),
        ({"output_format": OutputFormat(OutputKind.JSON)}, {"text": {"format": {"type": "json_object"}}}, ()),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}, ()),
    ],
)
def test_settings_are_fitted(members: dict[str, Any], expected: dict[str, Any], dropped: tuple[str, ...]) -> None:
    """Settings are fitted to what the API takes, and what changes is named."""
    body, named = _rendered(_asked(**members))
    assert {key: body.get(key) for key in expected} == expected
    assert named == dropped


def test_assistant_content_takes_the_form_every_server_reads() -> None:
    """One text is a plain string; several texts, or a refusal, are a list of output parts without an id."""
    body, _ = _rendered(
        _asked(
            Turn(Role.ASSISTANT, (Text("One"),)),
            Turn(Role.ASSISTANT, (Text("Two"), Refusal("No."))),
        )
    )
    assert [item["content"] for item in body["input"]] == [
        "One",
        [{"type": "output_text", "text": "Two", "annotations": []}, {"type": "refusal", "refusal": "No."}],
    ]
