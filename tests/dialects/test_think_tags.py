"""Thinking between tags, told apart from the answer however the text is cut."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import anthropic_messages, openai_chat, openai_responses
from gateway.dialects.join import join
from gateway.dialects.sse import SseEvent
from gateway.dialects.think_tags import Opening, Piece, TagReader, TagSplitter, opening_of, split_answer
from gateway.domain.capabilities import PLAIN
from gateway.domain.capability_table import find
from gateway.domain.chat import Answer, Text, Thinking, ToolCall
from gateway.domain.events import PartEnded, PartKind, PartStarted, StreamEvent
from tests.randomness import examples

MODEL, EITHER = Opening.BY_MODEL, Opening.BY_EITHER
SPLITS = [
    ("<think>why</think>So", MODEL, [(True, "why"), (False, "So")]),
    ("\n <think>\n why \n</think>\n\n So.\n", MODEL, [(True, "why"), (False, "So.\n")]),
    ("  No tags, <b>as it</b> is < and </ \n", MODEL, [(False, "  No tags, <b>as it</b> is < and </ \n")]),
    ("<think>never closed", MODEL, [(True, "never closed")]),
    ("<think>never closed  \n", MODEL, [(True, "never closed")]),
    ("<think>cut </thi", MODEL, [(True, "cut </thi")]),
    ("<thi", MODEL, [(False, "<thi")]),
    ("<think></think>So", MODEL, [(False, "So")]),
    ("<think>only</think>", MODEL, [(True, "only")]),
    ("<think>a</think>b\n<think>c</think>d", MODEL, [(True, "a"), (False, "b\n"), (True, "c"), (False, "d")]),
    ("<think>a</think><think>b</think>c", MODEL, [(True, "ab"), (False, "c")]),
    ("<think>a</think></think>\n b", MODEL, [(True, "a"), (False, "b")]),
    ("<think>a<think>b</think>c</think>d", MODEL, [(True, "a<think>b</think>c"), (False, "d")]),
    ("<think>I use <think> here.</think>So", MODEL, [(True, "I use <think> here."), (False, "So")]),
    ("<think>a<think>b</think>c<think>d</think>e</think>f", MODEL, [
        (True, "a<think>b</think>c<think>d</think>e"),
        (False, "f"),
    ]),
    ("<think>x</think>Write <think> and </think>.", MODEL, [(True, "x"), (False, "Write <think> and </think>.")]),
    ("Write </think> to close.", MODEL, [(False, "Write </think> to close.")]),
    ("</think>So", MODEL, [(False, "So")]),
    ("why </think> So", EITHER, [(True, "why"), (False, "So")]),
    ("</think>\nSo", EITHER, [(False, "So")]),
    ("<think>why</think>So", EITHER, [(True, "why"), (False, "So")]),
    ("No thinking at all", EITHER, [(False, "No thinking at all")]),
    ("First.\n<think>why</think>So", EITHER, [(False, "First.\n"), (True, "why"), (False, "So")]),
    ("", EITHER, []),
    (" \n", MODEL, [(False, " \n")]),
]  # fmt: skip


def split(pieces: Iterable[str], opening: Opening) -> list[tuple[bool, str]]:
    """What a text that comes in these pieces is split into, neighbours of one kind joined."""
    splitter = TagSplitter(opening)
    told: list[Piece] = [piece for text in pieces for piece in splitter.feed(text)]
    joined: list[tuple[bool, str]] = []
    for piece in (*told, *splitter.close()):
        if joined and joined[-1][0] == piece.is_thinking:
            joined[-1] = (piece.is_thinking, joined[-1][1] + piece.text)
        else:
            joined.append((piece.is_thinking, piece.text))
    return joined


@pytest.mark.parametrize(("text", "opening", "expected"), SPLITS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_thinking_is_told_from_the_answer(
    text: str, opening: Opening, expected: list[tuple[bool, str]], size: int
) -> None:
    """Tags that are cut, missing, repeated or nested are understood alike in deltas of every size."""
    assert split([text[at : at + size] for at in range(0, len(text), size)], opening) == expected


TEXTS = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think>", "a", "b c", " ", "\n", "é", "<thin"]), max_size=14
).map("".join)


@examples(400)
@given(TEXTS, st.sampled_from(Opening), st.data())
def test_the_cutting_of_the_text_changes_nothing(text: str, opening: Opening, data: st.DataObject) -> None:
    """Any two ways to cut one text give the same parts."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(pieces, opening) == split([text], opening)


@examples(200)
@given(TEXTS, st.sampled_from(Opening))
def test_no_words_are_lost(text: str, opening: Opening) -> None:
    """Only tags and blank space are taken out."""
    told = "".join(part for _, part in split([text], opening))
    for tag in ("<think>", "</think>"):
        text, told = text.replace(tag, ""), told.replace(tag, "")
    assert "".join(told.split()) == "".join(text.split())


def test_text_without_thinking_is_not_held_back() -> None:
    """A model that begins with its answer is passed on at once; a template's opening is waited for."""
    assert TagSplitter(MODEL).feed("Hello") == (Piece(False, "Hello"),)
    assert TagSplitter(EITHER).feed("Hello") == ()
    assert TagSplitter(EITHER).feed("<think>Hello") == (Piece(True, "Hello"),)


def test_who_opens_follows_from_the_model() -> None:
    """A plain model is told to write the tag itself; a server without a parser may have a template that does."""
    assert (opening_of(PLAIN), opening_of(find("vllm", "m"))) == (MODEL, EITHER)


def chat_events(*deltas: dict[str, object]) -> list[SseEvent]:
    """A streamed chat completion with these deltas."""
    chunks = [{"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    last = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = [SseEvent(None, json.dumps(chunk).encode()) for chunk in (*chunks, last)]
    return [*events, SseEvent(None, b"[DONE]")]


def read(events: Iterable[SseEvent], opening: Opening = MODEL) -> list[StreamEvent]:
    """The neutral events of a chat stream, behind the tag reader."""
    reader = TagReader(openai_chat.CODEC.reader(), opening)
    return [happening for event in events for happening in reader.feed(event)]


CALL = {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "look", "arguments": "{}"}}]}


def test_a_stream_gets_thinking_parts() -> None:
    """Tagged text becomes a thinking part, and the answer and a tool call follow with numbers of their own."""
    events = read(chat_events({"content": "<thi"}, {"content": "nk>why</th"}, {"content": "ink>\n\nSo"}, CALL))
    answer = join(events)
    assert answer.parts == (Thinking("why"), Text("So"), ToolCall("t", "look", "{}"))
    started = [(event.index, event.kind) for event in events if isinstance(event, PartStarted)]
    assert started == [(0, PartKind.THINKING), (1, PartKind.TEXT), (2, PartKind.TOOL_CALL)]
    assert sorted(event.index for event in events if isinstance(event, PartEnded)) == [0, 1, 2]


def test_thinking_that_is_told_apart_already_stays() -> None:
    """A reasoning field of the server passes through beside the text."""
    events = read(chat_events({"reasoning_content": "hm"}, {"content": "So"}))
    assert join(events).parts == (Thinking("hm"), Text("So"))


@given(st.lists(TEXTS, min_size=1, max_size=6), st.sampled_from(Opening), st.booleans())
def test_a_stream_equals_the_whole_answer(texts: list[str], opening: Opening, has_call: bool) -> None:
    """Splitting a stream and splitting the answer that it streams come to the same."""
    events = chat_events(*({"content": text} for text in texts), *([CALL] if has_call else []))
    plain = openai_chat.CODEC.reader()
    whole = join([happening for event in events for happening in plain.feed(event)])
    assert join(read(events, opening)).parts == split_answer(whole, opening).parts


@pytest.mark.parametrize("codec", [openai_chat.CODEC, openai_responses.CODEC, anthropic_messages.CODEC])
def test_each_client_gets_its_dialects_own_thinking(codec: object) -> None:
    """What was tagged in the text stands where each dialect has its thinking, streamed and whole."""
    events = read(chat_events({"content": "<think>why</think>So"}))
    writer = codec.writer(include_usage=True)  # type: ignore[attr-defined]
    streamed = b"".join(writer.write(event) for event in events)
    assert b"why" in streamed
    assert b"<think>" not in streamed
    answer = Answer("c", "m", (Text("<think>why</think>So"),), join(events).stop, join(events).usage)
    rendered = codec.render_answer(split_answer(answer, MODEL))  # type: ignore[attr-defined]
    read_back = codec.read_answer(rendered)  # type: ignore[attr-defined]
    assert [part.text for part in read_back.parts] == ["why", "So"]
    assert isinstance(read_back.parts[0], Thinking)
