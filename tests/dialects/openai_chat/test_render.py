"""Tests of gateway/dialects/openai_chat/render.py and render_messages.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.dialects.openai_chat.render import render_request
from gateway.dialects.openai_chat.render_messages import render_messages
from gateway.domain.chat import (
    Conversation,
    Document,
    Image,
    Part,
    RedactedThinking,
    Refusal,
    Role,
    Text,
    Thinking,
    ThinkingMode,
    ThinkingWish,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

_PLAIN = Conversation("m", (Turn(Role.USER, (Text("Hello"),)),))


def _messages(*turns: Turn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = render_request(Conversation("m", turns)).body["messages"]
    return messages


def _user(*parts: Part) -> Turn:
    return Turn(Role.USER, parts)


def test_a_plain_conversation_is_a_plain_body() -> None:
    """Nothing that the client did not say is sent."""
    rendered = render_request(_PLAIN)
    assert rendered.body == {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    assert rendered.dropped == ()


def test_images_of_tool_results_move_behind_all_results() -> None:
    """Results stay directly after their calls; what they cannot hold follows, named by its call."""
    image = Image(media_type="image/png", data="AAA=")
    assert _messages(
        _user(ToolResult("c1", (Text("seen"), image)), ToolResult("c2", (Text("two"),)), Text("Go on"))
    ) == [
        {"role": "tool", "tool_call_id": "c1", "content": "seen"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Returned by tool call c1:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAA="}},
                {"type": "text", "text": "Go on"},
            ],
        },
    ]


def test_interleaved_thinking_comes_before_text_and_calls() -> None:
    """An assistant message has a field for each kind of part, whatever their order was."""
    turn = Turn(
        Role.ASSISTANT,
        (Thinking("a", "s1"), Text("x"), RedactedThinking("r"), ToolCall("c", "f", ""), Thinking("b", "s2")),
    )
    assert _messages(turn) == [
        {
            "role": "assistant",
            "content": "x",
            "reasoning_content": "ab",
            "thinking_blocks": [
                {"type": "thinking", "thinking": "a", "signature": "s1"},
                {"type": "redacted_thinking", "data": "r"},
                {"type": "thinking", "thinking": "b", "signature": "s2"},
            ],
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        }
    ]


def test_a_text_document_is_said_with_its_labels() -> None:
    """Chat takes no text files: name, context and text are said."""
    document = Document(media_type="text/plain", text="body", name="notes.txt", context="from Ann")
    assert _messages(_user(document)) == [{"role": "user", "content": "notes.txt\nfrom Ann\n\nbody"}]


def test_parts_that_a_role_cannot_hold_are_named() -> None:
    """A part in a role that has no place for it is dropped by name, and the message stays valid."""
    image = Image(url="https://a.example/b.png")
    turns = (Turn(Role.SYSTEM, (image,)), Turn(Role.ASSISTANT, (image,)), Turn(Role.USER, (Thinking("t"),)))
    rendered = render_request(Conversation("m", turns))
    assert rendered.dropped == ("system.image", "assistant.image", "user.thinking")
    assert [message["content"] for message in rendered.body["messages"]] == ["", "", ""]


@pytest.mark.parametrize(
    ("wish", "fields", "dropped"),
    [
        (ThinkingWish(), {}, ()),
        (ThinkingWish(effort="xhigh", mode=ThinkingMode.ADAPTIVE), {"reasoning_effort": "xhigh"}, ()),
        (ThinkingWish(mode=ThinkingMode.DISABLED), {"reasoning_effort": "none"}, ()),
        (ThinkingWish(mode=ThinkingMode.ADAPTIVE), {}, ("thinking.mode",)),
        (ThinkingWish(budget_tokens=2048, mode=ThinkingMode.ENABLED), {}, ("thinking.budget_tokens",)),
        (ThinkingWish(effort="low", display="omitted"), {"reasoning_effort": "low"}, ("thinking.display",)),
    ],
)
def test_thinking_is_effort_or_named_as_dropped(
    wish: ThinkingWish, fields: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    """Chat knows effort alone; a budget, a mode or a display is named as lost."""
    rendered = render_request(replace(_PLAIN, thinking=wish))
    assert {key: rendered.body[key] for key in rendered.body if key.startswith("reasoning")} == fields
    assert rendered.dropped == dropped


def test_another_dialects_extras_are_named_and_our_own_put_back() -> None:
    """Extras go back under the dialect they came from, and nowhere else."""
    extras = {"openai-chat": {"store": True}, "anthropic-messages": {"container": "c", "store": False}}
    rendered = render_request(replace(_PLAIN, extras=extras))
    assert rendered.body["store"] is True
    assert "container" not in rendered.body
    assert rendered.dropped == ("container", "store")


def test_stream_options_are_joined() -> None:
    """The client's other stream options stay beside include_usage; without a stream there are none."""
    extras = {"openai-chat": {"stream_options": {"include_obfuscation": False}}}
    streamed = replace(_PLAIN, stream=True, include_usage=True, extras=extras)
    assert render_request(streamed).body["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert extras == {"openai-chat": {"stream_options": {"include_obfuscation": False}}}
    assert "stream_options" not in render_request(replace(streamed, stream=False)).body


@pytest.mark.parametrize(
    ("choice", "dropped"),
    [
        (ToolChoice(ToolUse.AUTO, parallel=False), ()),
        (ToolChoice(ToolUse.NONE), ()),
        (ToolChoice(ToolUse.REQUIRED), ("tool_choice",)),
        (ToolChoice(ToolUse.NAMED, "f"), ("tool_choice",)),
    ],
)
def test_a_tool_choice_without_tools_is_not_sent(choice: ToolChoice, dropped: tuple[str, ...]) -> None:
    """OpenAI refuses it; a demand that is lost by that is named."""
    rendered = render_request(replace(_PLAIN, tool_choice=choice))
    assert rendered.dropped == dropped
    assert rendered.body.keys() == {"model", "messages"}


def test_a_named_tool_choice_is_rendered() -> None:
    """A forced tool is named in chat's own shape, parallel calls beside it."""
    body = render_request(replace(_PLAIN, tools=(Tool("f"),), tool_choice=ToolChoice(ToolUse.NAMED, "f", False))).body
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is False


def test_both_identities_of_an_end_user_go_back_to_their_fields() -> None:
    """Where the client sent user and safety_identifier, each keeps its own."""
    assert render_request(replace(_PLAIN, end_user="s")).body["user"] == "s"
    both = render_request(replace(_PLAIN, end_user="s", extras={"openai-chat": {"user": "u"}})).body
    assert (both["safety_identifier"], both["user"]) == ("s", "u")


def test_anthropics_tier_is_said_in_openais_words() -> None:
    """standard_only has a name of its own here."""
    assert render_request(replace(_PLAIN, service_tier="standard_only")).body["service_tier"] == "default"


def test_text_after_a_refusal_is_a_message_of_its_own() -> None:
    """A message has no order between its fields, so that what was said later comes later."""
    turn = Turn(Role.ASSISTANT, (Text("Well."), Refusal("I will not."), Text("But this:")))
    first, second = render_messages([turn], [])
    assert (first["content"], first["refusal"]) == ("Well.", "I will not.")
    assert second == {"role": "assistant", "content": "But this:"}


def test_refusals_one_after_another_stay_apart() -> None:
    """Two refusals are two messages: a message has one field for them, where they would run together."""
    turn = Turn(Role.ASSISTANT, (Refusal("I will not."), Refusal("Again, no."), Refusal("No.")))
    assert [message["refusal"] for message in render_messages([turn], [])] == ["I will not.", "Again, no.", "No."]


def test_refusals_after_a_call_share_its_message_and_stay_apart() -> None:
    """The call's result must follow its message, so refusals that come after it stand in it, a blank line between."""
    turn = Turn(Role.ASSISTANT, (ToolCall("c", "f", "{}"), Refusal("I will not."), Refusal("Again, no.")))
    (message,) = render_messages([turn], [])
    assert message["refusal"] == "I will not.\n\nAgain, no."
