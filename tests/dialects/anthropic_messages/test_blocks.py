"""Rendering single parts as blocks that Anthropic accepts."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic_messages.blocks import Block, render_part, tool_id
from gateway.domain.chat import (
    Audio,
    Document,
    Image,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.errors import InvalidRequest

MARK = {"type": "ephemeral"}


def render(part: Part) -> tuple[Block | None, list[str]]:
    """The block of ``part``, and what was dropped."""
    dropped: list[str] = []
    return render_part(part, "P", dropped), dropped


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (
            Image(media_type="image/png", data="QQ=="),
            {"type": "base64", "media_type": "image/png", "data": "QQ=="},
        ),
        (Image(media_type="image/jpg", data="QQ=="), {"type": "base64", "media_type": "image/jpeg", "data": "QQ=="}),
        (Image(data="iVBORw0KGgoAAA"), {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAA"}),
        (Image(url="https://a"), {"type": "url", "url": "https://a"}),
        (Image(file_id="file_1"), {"type": "file", "file_id": "file_1"}),
        (
            Document("application/pdf", data="QQ=="),
            {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
        ),
        (Document(data="JVBERi0x"), {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"}),
        (Document("text/plain", text="x"), {"type": "text", "media_type": "text/plain", "data": "x"}),
        (
            Document("text/plain", data=base64.b64encode("ü".encode()).decode()),
            {"type": "text", "media_type": "text/plain", "data": "ü"},
        ),
        (Document(url="https://a"), {"type": "url", "url": "https://a"}),
        (Document(file_id="file_1"), {"type": "file", "file_id": "file_1"}),
    ],
)
def test_sources(part: Image | Document, source: dict[str, str]) -> None:
    """Images and documents keep their source; formats are recognized where nobody named them."""
    block, dropped = render(part)
    assert block is not None
    assert (block["source"], dropped) == (source, [])


def test_titles_context_and_cache_marks() -> None:
    """Documents keep their title, context and cache mark."""
    block, _ = render(Document(url="https://a", name="T", context="C", cache_control=MARK))
    assert block == {
        "type": "document",
        "source": {"type": "url", "url": "https://a"},
        "title": "T",
        "context": "C",
        "cache_control": MARK,
    }


@pytest.mark.parametrize(
    "part",
    [
        Image(data="QQ=="),
        Image(),
        Document(),
        Document("application/zip", data="QQ=="),
        Document("text/plain", data="/w=="),
        Document("text/plain", data="not base64!"),
        ToolCall("t", "f", "[1]"),
    ],
)
def test_what_cannot_be_left_out_is_refused(part: Part) -> None:
    """Content that the model must see and Anthropic cannot take is refused with its place."""
    with pytest.raises(InvalidRequest) as refused:
        render(part)
    assert refused.value.param == "P"


def test_bad_arguments_name_their_call() -> None:
    """Arguments that are no JSON object are refused with the call's id, and without their text."""
    with pytest.raises(InvalidRequest, match="tool call call_7 are not a JSON object") as refused:
        render(ToolCall("call_7", "f", '{"secret"'))
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("part", "block", "dropped"),
    [
        (Text(""), None, []),
        (Text(" \n"), None, ["P: blank text"]),
        (Refusal("No."), {"type": "text", "text": "No."}, ["P: refusal→text"]),
        (Audio("QQ==", "wav"), None, ["P: audio"]),
        (Thinking("t", "s"), {"type": "thinking", "thinking": "t", "signature": "s"}, []),
        (Thinking("t"), None, ["P: thinking that Anthropic did not sign"]),
        (Thinking("t", "ponder:openai:rs_1:abc"), None, ["P: thinking that Anthropic did not sign"]),
        (RedactedThinking("d"), {"type": "redacted_thinking", "data": "d"}, []),
        (RedactedThinking("ponder:openai:rs_1:abc"), None, ["P: thinking of another provider"]),
        (ToolCall("t", "f", ""), {"type": "tool_use", "id": "t", "name": "f", "input": {}}, []),
        (ToolResult("t", ()), {"type": "tool_result", "tool_use_id": "t"}, []),
        (
            ToolResult("t", (Text(" "), Text("x")), is_error=True, cache_control=MARK),
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{"type": "text", "text": "x"}],
                "is_error": True,
                "cache_control": MARK,
            },
            ["P.content[0]: blank text"],
        ),
    ],
)
def test_parts(part: Part, block: Block | None, dropped: list[str]) -> None:
    """Each part becomes its block, or is left out and named."""
    assert render(part) == (block, dropped)


def test_image_detail_and_media_types_are_named() -> None:
    """What an image or document loses on the way is named."""
    assert render(Image(url="https://a", detail="low"))[1] == ["P: image detail"]
    assert render(Document("text/csv", data="YSxi"))[1] == ["P: document media type→text/plain"]


def test_tool_ids_that_fit_stay() -> None:
    """Ids that Anthropic accepts are not touched."""
    assert tool_id("toolu_01-AbC") == "toolu_01-AbC"


@given(st.one_of(st.text(max_size=30), st.just("cut \ud83d"), st.just("functions.f:0\n")))
def test_tool_ids_are_mapped_consistently(call_id: str) -> None:
    """Any id maps to one that Anthropic accepts, and always to the same."""
    mapped = tool_id(call_id)
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", mapped)
    assert tool_id(call_id) == mapped == tool_id(mapped)


def test_different_odd_ids_stay_different() -> None:
    """Ids that differ only in characters that Anthropic refuses do not meet."""
    assert len({tool_id(call_id) for call_id in ("a.b", "a:b", "a_b", "a b", "")}) == 5
