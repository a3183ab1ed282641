"""Tests of gateway/dialects/openai_chat/open_parts.py, fed by whole streams."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.join import join
from gateway.dialects.openai_chat import CODEC
from gateway.domain.chat import Part, RedactedThinking, StopReason, Text, Thinking, ToolCall
from gateway.domain.events import (
    Delta,
    PartEnded,
    PartKind,
    PartStarted,
    Signed,
)
from gateway.errors import UpstreamFailed
from tests.dialects.openai_chat.transcripts import feed

_OPENAI_ID = "chatcmpl-CqZ3nGf0yUe8m2Tt1sVYwR5kLdHbX"


def _call(index: int | None, arguments: str | None = None, call_id: str = "", name: str = "") -> dict[str, Any]:
    function = {key: value for key, value in (("name", name or None), ("arguments", arguments)) if value is not None}
    call: dict[str, Any] = {"function": function}
    if index is not None:
        call["index"] = index
    if call_id:
        call |= {"id": call_id, "type": "function"}
    return {"tool_calls": [call]}


def _parts(*deltas: dict[str, Any]) -> tuple[Part, ...]:
    return join(feed(*deltas, finish="stop")).parts


_ONE = ToolCall("c1", "f", '{"a": 1}')
_TWO = ToolCall("c2", "g", '{"b": 2}')


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param((_call(0, '{"a": 1}', "c1", "f"), _call(1, '{"b": 2}', "c2", "g")), id="whole calls"),
        pytest.param(
            (
                {
                    "tool_calls": [
                        *_call(0, '{"a": 1}', "c1", "f")["tool_calls"],
                        *_call(1, '{"b": 2}', "c2", "g")["tool_calls"],
                    ]
                },
            ),
            id="both in one chunk",
        ),
        pytest.param(
            (
                _call(0, "", "c1", "f"),
                _call(1, "", "c2", "g"),
                _call(0, '{"a"'),
                _call(1, '{"b"'),
                _call(0, ": 1}"),
                _call(1, ": 2}"),
            ),
            id="interleaved",
        ),
        pytest.param(
            (
                _call(0, '{"a"', "c1", "f"),
                _call(0, ": 1}", "c1", "f"),
                _call(1, '{"b"', "c2", "g"),
                _call(1, ": 2}", "c2", "g"),
            ),
            id="id and name repeated",
        ),
        pytest.param((_call(0, '{"a": 1}', "c1", "f"), _call(0, '{"b": 2}', "c2", "g")), id="all at index 0"),
        pytest.param(
            (_call(0, "", "c1", "f"), _call(0, '{"a": 1}', "x1"), _call(1, "", "c2", "g"), _call(1, '{"b": 2}', "x2")),
            id="a new id with each delta",
        ),
        pytest.param(
            (_call(None, '{"a"', "c1", "f"), _call(None, ": 1}"), _call(None, '{"b": 2}', "c2", "g")), id="no index"
        ),
        pytest.param(
            (_call(0, '{"a"', "c1"), _call(0, ": 1}", name="f"), _call(1, '{"b": 2}', "c2", "g")), id="late name"
        ),
        pytest.param(
            (_call(0, '{"a": 1}', "c1", "f"), _call(1, '{"b": 2}', "c2", "g"), _call(0, " \n")), id="late blanks"
        ),
    ],
)
def test_every_way_of_streaming_two_calls(deltas: tuple[dict[str, Any], ...]) -> None:
    """Servers differ in what they send with which delta; the calls come out the same."""
    assert _parts(*deltas) == (_ONE, _TWO)


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    """Made-up ids are stable, differ between calls, and match the unstreamed answer's."""
    function = {"name": "f", "arguments": "{}"}
    message = {"tool_calls": [{"function": function}, {"function": function}]}
    unstreamed = CODEC.read_answer({"id": "a", "choices": [{"message": message}]}).parts
    assert _parts(_call(0, "{}", name="f"), _call(1, "{}", name="f")) == unstreamed
    first, second = unstreamed
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.id.startswith("call_")
    assert first.id != second.id


def test_the_deprecated_function_call_is_a_tool_call() -> None:
    """A server that still streams function_call gives a tool call."""
    events = feed(
        {"function_call": {"name": "f", "arguments": "{"}},
        {"function_call": {"arguments": "}"}},
        finish="function_call",
    )
    (call,) = join(events).parts
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments, join(events).stop) == ("f", "{}", StopReason.TOOL_CALLS)


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        (({"reasoning_content": "a"}, {"reasoning_content": "b"}), (Thinking("ab"),)),
        (({"reasoning_content": "a", "reasoning": "a"},), (Thinking("a"),)),
        (  # ours: text first, then the whole signed block
            (
                {"reasoning_content": "a"},
                {"reasoning_content": "b"},
                {"thinking_blocks": [{"type": "thinking", "thinking": "ab", "signature": "s"}]},
                {"thinking_blocks": [{"type": "redacted_thinking", "data": "r"}]},
                {"content": "x"},
            ),
            (Thinking("ab", "s"), RedactedThinking("r"), Text("x")),
        ),
        (  # litellm: each piece in both fields, the signature alone
            (
                {
                    "reasoning_content": "a",
                    "thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": None}],
                },
                {
                    "reasoning_content": "b",
                    "thinking_blocks": [{"type": "thinking", "thinking": "b", "signature": None}],
                },
                {"reasoning_content": "", "thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]},
            ),
            (Thinking("ab", "s"),),
        ),
        (  # everything in one delta
            (
                {
                    "reasoning_content": "ab",
                    "thinking_blocks": [
                        {"type": "thinking", "thinking": "a", "signature": "s1"},
                        {"type": "thinking", "thinking": "b", "signature": "s2"},
                    ],
                },
            ),
            (Thinking("a", "s1"), Thinking("b", "s2")),
        ),
        (  # an unsigned block repeats its text to end it
            (
                {"reasoning_content": "a"},
                {"thinking_blocks": [{"type": "thinking", "thinking": "a"}]},
                {"reasoning_content": "a"},
            ),
            (Thinking("a"), Thinking("a")),
        ),
        (  # a signature without text (omitted thinking)
            ({"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]},),
            (Thinking("", "s"),),
        ),
    ],
)
def test_every_way_of_streaming_thinking(deltas: tuple[dict[str, Any], ...], expected: tuple[Part, ...]) -> None:
    """Thinking text and signed blocks come out as the blocks they were."""
    assert _parts(*deltas) == expected


def test_thinking_is_told_as_it_comes() -> None:
    """The text of a thinking part is not held back until its signature."""
    block = {"type": "thinking", "thinking": "ab", "signature": "s"}
    assert feed({"reasoning_content": "a"}, {"reasoning_content": "b"}, {"thinking_blocks": [block]})[1:6] == [
        PartStarted(0, PartKind.THINKING),
        Delta(0, "a"),
        Delta(0, "b"),
        Signed(0, "s"),
        PartEnded(0),
    ]


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param((_call(0, '{"a', "c", "f"),), id="cut within a call"),
        pytest.param((_call(0, "{}", "c"),), id="a call without a name"),
        pytest.param((_call(0, "{}", "c", "f"), _call(1, "{}", "d", "g"), _call(0, "{}")), id="more after the end"),
    ],
)
def test_a_tool_call_that_cannot_be_made_is_refused(deltas: tuple[dict[str, Any], ...]) -> None:
    """A call that is cut, nameless or garbled never passes for one."""
    with pytest.raises(UpstreamFailed):
        feed(*deltas)
