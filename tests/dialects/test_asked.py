"""Tests of gateway/dialects/asked.py."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.asked import prompt_of
from gateway.domain.chat import Dialect

CHAT, RESPONSES, MESSAGES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC_MESSAGES
_PNG = "data:image/png;base64,AAAA"


def _chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def _user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (CHAT, _chat(_user("first"), {"role": "assistant", "content": "yes"}, _user("What is 2+2?"))),
        (CHAT, _chat(_user([{"type": "text", "text": "What is 2+2?"}]))),
        (RESPONSES, {"input": "What is 2+2?"}),
        (RESPONSES, {"input": [_user("What is 2+2?")]}),
        (RESPONSES, {"input": [{"type": "message", **_user([{"type": "input_text", "text": "What is 2+2?"}])}]}),
        (MESSAGES, _chat(_user("What is 2+2?"))),
        (MESSAGES, _chat(_user([{"type": "text", "text": "What is 2+2?"}]), system="Be brief.")),
    ],
)
def test_the_ask_is_the_last_user_turn(dialect: Dialect, body: dict[str, Any]) -> None:
    """In every dialect, as text or as parts, the text is that of the last user turn."""
    assert prompt_of(dialect, body).text == "What is 2+2?"


@pytest.mark.parametrize(
    ("dialect", "part"),
    [
        (
            MESSAGES,
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Secret plans"}},
        ),
        (MESSAGES, {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "Secret plans"}]}),
        (CHAT, {"type": "file", "file": {"file_data": "Secret plans"}}),
        (RESPONSES, {"type": "input_file", "file_data": "Secret plans"}),
    ],
)
def test_embedded_text_is_not_the_ask(dialect: Dialect, part: dict[str, Any]) -> None:
    """Documents, files and tool results add tokens, and no words to the ask."""
    kind = "input_text" if dialect is RESPONSES else "text"
    content = [part, {"type": kind, "text": "Summarize."}]
    name = "input" if dialect is RESPONSES else "messages"
    alone = prompt_of(dialect, {name: [_user([content[1]])]})
    both = prompt_of(dialect, {name: [_user(content)]})
    assert both.text == alone.text == "Summarize."
    assert both.tokens > alone.tokens


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (CHAT, _chat(_user("Weather?"), {"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "rain"})),
        (
            RESPONSES,
            {
                "input": [
                    _user("Weather?"),
                    {"type": "function_call"},
                    {"type": "function_call_output", "output": "rain"},
                ]
            },
        ),
        (MESSAGES, _chat(_user("Weather?"), _user([{"type": "tool_result", "content": "rain"}]))),
    ],
)
def test_a_tool_turn_keeps_the_ask_in_words(dialect: Dialect, body: dict[str, Any]) -> None:
    """When tool results come last, the ask stays what the user said, and the turn is marked."""
    prompt = prompt_of(dialect, body)
    assert (prompt.text, prompt.is_tool_turn, prompt.turns) == ("Weather?", True, 1)


def test_an_answered_tool_call_is_over() -> None:
    """A user turn after tool results is not a tool turn."""
    body = _chat(_user("Weather?"), {"role": "tool", "content": "rain"}, _user("Thanks"))
    prompt = prompt_of(CHAT, body)
    assert (prompt.text, prompt.is_tool_turn, prompt.turns) == ("Thanks", False, 2)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (CHAT, _chat(_user([{"type": "image_url", "image_url": {"url": _PNG}}, {"type": "text", "text": "What?"}]))),
        (RESPONSES, {"input": [_user([{"type": "input_image", "image_url": _PNG}])]}),
        (MESSAGES, _chat(_user([{"type": "image", "source": {"type": "base64", "data": "AAAA"}}]))),
    ],
)
def test_images_are_seen(dialect: Dialect, body: dict[str, Any]) -> None:
    """An image anywhere is marked, and counts at a flat rate."""
    prompt = prompt_of(dialect, body)
    assert prompt.has_images
    assert 1600 <= prompt.tokens < 1650


@pytest.mark.parametrize(
    ("dialect", "more"),
    [
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {}}}),
        (RESPONSES, {"text": {"format": {"type": "json_schema"}}}),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema"}}}),
        (MESSAGES, {"output_format": {"type": "json_schema"}}),
    ],
)
def test_a_schema_is_seen(dialect: Dialect, more: dict[str, Any]) -> None:
    """An answer demanded in a schema is marked."""
    assert prompt_of(dialect, more).has_schema
    assert not prompt_of(dialect, {}).has_schema


def test_tools_are_seen() -> None:
    """Tools that are offered are marked and count towards the tokens."""
    offered = prompt_of(CHAT, _chat(_user("Hi"), tools=[{"type": "function", "function": {"name": "x" * 400}}]))
    assert offered.has_tools
    assert offered.tokens > 100
    assert not prompt_of(CHAT, _chat(_user("Hi"), tools=[])).has_tools


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (CHAT, _chat({"role": "system", "content": "Be brief."}, _user("Hi"))),
        (CHAT, _chat({"role": "developer", "content": "Be brief."}, _user("Hi"))),
        (RESPONSES, {"instructions": "Be brief.", "input": "Hi"}),
        (MESSAGES, _chat(_user("Hi"), system="Be brief.")),
        (MESSAGES, _chat(_user("Hi"), system=[{"type": "text", "text": "Be brief."}])),
    ],
)
def test_the_system_prompt_is_known_by_its_digest(dialect: Dialect, body: dict[str, Any]) -> None:
    """The same system prompt has the same SHA-256 in every dialect; without one there is none."""
    assert prompt_of(dialect, body).system_digest == hashlib.sha256(b"Be brief.").hexdigest()
    assert prompt_of(dialect, {"messages": [_user("Hi")], "input": "Hi"}).system_digest is None


def test_a_long_ask_is_cut() -> None:
    """A long ask keeps its beginning and its end; the tokens count all of it."""
    prompt = prompt_of(CHAT, _chat(_user("a" * 4_000 + "b" * 4_000)))
    assert prompt.text == "a" * 1_000 + "\n" + "b" * 500
    assert prompt.tokens >= 2_000


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_WORDS = st.sampled_from(
    ("role", "content", "type", "text", "user", "tool_result", "input", "messages", "image", "system")
)
_ODD = st.recursive(
    _SCALARS | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=25,
)
_NAMES = st.sampled_from(
    (
        "messages",
        "input",
        "instructions",
        "system",
        "tools",
        "text",
        "response_format",
        "output_config",
        "output_format",
    )
)


@given(dialect=st.sampled_from(Dialect), body=st.dictionaries(_NAMES, _ODD))
def test_no_body_raises(dialect: Dialect, body: dict[str, Any]) -> None:
    """Whatever a body holds, there is a prompt, and its text is within bounds."""
    prompt = prompt_of(dialect, body)
    assert len(prompt.text) <= 1_501
    assert prompt.turns >= 1


def test_a_body_nested_deeply_is_no_trouble() -> None:
    """A body that nests deeper than Python's stack is read all the same."""
    nested: Any = "x"
    for _ in range(5_000):
        nested = [nested]
    assert prompt_of(CHAT, {"messages": nested}).text == ""


def test_half_a_surrogate_pair_is_no_trouble() -> None:
    """Text that no encoding can carry is read all the same."""
    prompt = prompt_of(MESSAGES, _chat(_user("broken \ud83d"), system="also \ud83d"))
    assert prompt.text == "broken \ud83d"
    assert prompt.system_digest is not None
