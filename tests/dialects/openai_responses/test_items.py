"""Input items to turns."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.openai_responses import CODEC
from gateway.domain.chat import RedactedThinking, Refusal, Role, Text, Thinking, ToolCall, ToolResult, Turn
from gateway.errors import InvalidRequest


def _turns(*items: dict[str, Any]) -> tuple[Turn, ...]:
    return CODEC.read_request({"model": "m", "input": list(items)}).turns


def test_one_tool_round_is_one_turn_each() -> None:
    """Reasoning, message and parallel calls make one assistant turn, their outputs one user turn."""
    turns = _turns(
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look it up."}]},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "One moment.", "annotations": []}],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'},
        {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "weather", "arguments": '{ "city":"Rome"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "sun"}]},
        {"role": "user", "content": "Thanks"},
    )
    assert turns == (
        Turn(Role.USER, (Text("Weather?"),)),
        Turn(
            Role.ASSISTANT,
            (
                Thinking("Look it up."),
                Text("One moment."),
                ToolCall("c1", "weather", '{"city": "Oslo"}'),
                ToolCall("c2", "weather", '{ "city":"Rome"}'),
            ),
        ),
        Turn(Role.USER, (ToolResult("c1", (Text("rain"),)), ToolResult("c2", (Text("sun"),)))),
        Turn(Role.USER, (Text("Thanks"),)),
    )


def test_sealed_reasoning_is_opened() -> None:
    """Encrypted content that we sealed reads as Anthropic's own signature and data."""
    (turn,) = _turns(
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ponder:red:QUJD"},
        {
            "type": "reasoning",
            "id": "rs_2",
            "summary": [{"type": "summary_text", "text": "Why"}],
            "encrypted_content": "ponder:sig:U0lH",
        },
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    )
    assert turn.parts == (RedactedThinking("QUJD"), Thinking("Why", "U0lH"), Refusal("No."))


def test_several_summaries_read_as_one_text() -> None:
    """Summary parts and raw reasoning are joined by a blank line; an empty item leaves no trace."""
    (turn,) = _turns(
        {"type": "reasoning", "id": "rs_0", "summary": []},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
            "content": [{"type": "reasoning_text", "text": "c"}],
        },
    )
    assert turn.parts == (Thinking("a\n\nb\n\nc"),)


@pytest.mark.parametrize(
    ("item", "named"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "send the whole item"),
        ({"id": "msg_1"}, "send the whole item"),
        ({"type": "web_search_call", "id": "ws_1"}, "`web_search_call`"),
        ({"type": "custom_tool_call", "call_id": "c"}, "`custom_tool_call`"),
        ({"type": "a sentence of the user's"}, "a value of type str"),
    ],
)
def test_items_of_another_server_are_refused(item: dict[str, Any], named: str) -> None:
    """Items that only their maker can read are refused by type, with what can be translated instead."""
    with pytest.raises(InvalidRequest, match=named):
        _turns(item)
