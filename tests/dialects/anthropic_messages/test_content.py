"""Reading content blocks: every kind, and every fault with its path."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.anthropic_messages.content import read_content
from gateway.dialects.anthropic_messages.fields import Field
from gateway.domain.chat import (
    Document,
    Image,
    Part,
    RedactedThinking,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.errors import InvalidRequest

MARK = {"type": "ephemeral", "ttl": "1h"}


def read(content: Any, role: Role = Role.USER) -> tuple[Part, ...]:
    """The parts of ``content``, which must leave nothing unread."""
    unread: dict[str, Any] = {}
    parts = read_content(Field(content, "messages.0.content"), role, unread)
    assert unread == {}
    return parts


def test_a_string_is_one_text() -> None:
    """String content is shorthand for one text block."""
    assert read("Hello") == (Text("Hello"),)


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a", "cache_control": MARK}, Text("a", MARK)),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
            Image(media_type="image/png", data="QQ=="),
        ),
        ({"type": "image", "source": {"type": "url", "url": "https://a.example/i"}}, Image(url="https://a.example/i")),
        ({"type": "image", "source": {"type": "file", "file_id": "file_1"}}, Image(file_id="file_1")),
        (
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
                "title": "T",
                "context": "C",
                "cache_control": MARK,
            },
            Document("application/pdf", data="QQ==", name="T", context="C", cache_control=MARK),
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
            Document("text/plain", text="x"),
        ),
        (
            {"type": "document", "source": {"type": "url", "url": "https://a.example/d"}},
            Document(url="https://a.example/d"),
        ),
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, Document(file_id="file_1")),
        (
            {"type": "search_result", "source": "https://a", "title": "T", "content": [{"type": "text", "text": "x"}]},
            Document("text/plain", text="x", name="T", context="https://a"),
        ),
        ({"type": "tool_result", "tool_use_id": "t"}, ToolResult("t", ())),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": "x", "is_error": True},
            ToolResult("t", (Text("x"),), is_error=True),
        ),
        (
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image", "source": {"type": "url", "url": "https://a"}},
                ],
                "cache_control": MARK,
            },
            ToolResult("t", (Text("x"), Image(url="https://a")), cache_control=MARK),
        ),
    ],
)
def test_user_blocks(block: dict[str, Any], part: Part) -> None:
    """Each block that a user message may hold becomes its part, with nothing left over."""
    if block["type"] == "search_result":
        unread: dict[str, Any] = {}
        assert read_content(Field([block], "messages.0.content"), Role.USER, unread) == (part,)
        assert unread == {"messages.0.content.0.type": "search_result"}
    else:
        assert read([block]) == (part,)


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a", "citations": None}, Text("a")),
        ({"type": "thinking", "thinking": "t", "signature": "c2ln"}, Thinking("t", "c2ln")),
        ({"type": "thinking", "thinking": "t", "signature": ""}, Thinking("t", None)),
        ({"type": "redacted_thinking", "data": "ZGF0YQ=="}, RedactedThinking("ZGF0YQ==")),
        (
            {"type": "tool_use", "id": "t", "name": "f", "input": {"b": 1, "a": [2]}},
            ToolCall("t", "f", '{"b":1,"a":[2]}'),
        ),
        ({"type": "tool_use", "id": "t", "name": "f", "input": {}}, ToolCall("t", "f", "{}")),
    ],
)
def test_assistant_blocks(block: dict[str, Any], part: Part) -> None:
    """Each block that an assistant message may hold becomes its part; null members count as absent."""
    assert read([block], Role.ASSISTANT) == (part,)


def test_documents_made_of_blocks() -> None:
    """A document made of blocks becomes a text document and its images, and says so."""
    block = {
        "type": "document",
        "title": "T",
        "source": {
            "type": "content",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image", "source": {"type": "url", "url": "https://a"}},
                {"type": "text", "text": "b"},
            ],
        },
    }
    unread: dict[str, Any] = {}
    parts = read_content(Field([block], "c"), Role.USER, unread)
    assert parts == (Document("text/plain", text="a\n\nb", name="T"), Image(url="https://a"))
    assert unread == {"c.0.source.type": "content"}
    block["source"] = {"type": "content", "content": "a"}
    assert read_content(Field([block], "c"), Role.USER, unread) == (Document("text/plain", text="a", name="T"),)


def test_what_has_no_neutral_value_is_named() -> None:
    """Citations and other details of blocks stay out of the parts, and are kept under their paths."""
    unread: dict[str, Any] = {}
    citation = {"type": "char_location", "cited_text": "x"}
    content = [{"type": "text", "text": "a", "citations": [citation]}]
    assert read_content(Field(content, "messages.1.content"), Role.ASSISTANT, unread) == (Text("a"),)
    assert unread == {"messages.1.content.0.citations": [citation]}


@pytest.mark.parametrize(
    ("content", "role", "param"),
    [
        (None, Role.USER, "messages.0.content"),
        (7, Role.USER, "messages.0.content"),
        (["x"], Role.USER, "messages.0.content.0"),
        ([{"type": 3}], Role.USER, "messages.0.content.0.type"),
        ([{"type": "text"}], Role.USER, "messages.0.content.0.text"),
        ([{"type": "text", "text": "a", "cache_control": "yes"}], Role.USER, "messages.0.content.0.cache_control"),
        ([{"type": "image"}], Role.USER, "messages.0.content.0.source"),
        ([{"type": "image", "source": {"type": "ftp"}}], Role.USER, "messages.0.content.0.source.type"),
        ([{"type": "image", "source": {"type": "url", "url": ""}}], Role.USER, "messages.0.content.0.source.url"),
        ([{"type": "tool_result", "content": "x"}], Role.USER, "messages.0.content.0.tool_use_id"),
        (
            [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_use"}]}],
            Role.USER,
            "messages.0.content.0.content.0.type",
        ),
        ([{"type": "tool_use", "id": "t", "name": "f", "input": []}], Role.ASSISTANT, "messages.0.content.0.input"),
        ([{"type": "tool_use", "id": "t", "name": "f"}], Role.USER, "messages.0.content.0.type"),
        ([{"type": "image", "source": {}}], Role.ASSISTANT, "messages.0.content.0.type"),
        ([{"type": "image", "source": {}}], Role.SYSTEM, "messages.0.content.0.type"),
    ],
)
def test_faults_are_named_by_their_path(content: Any, role: Role, param: str) -> None:
    """A block that cannot be read is refused with the path of its fault."""
    with pytest.raises(InvalidRequest) as refused:
        read(content, role)
    assert refused.value.param == param
    assert param in refused.value.message


@pytest.mark.parametrize("kind", ["server_tool_use", "web_search_tool_result", "container_upload"])
def test_server_tool_blocks_are_refused_clearly(kind: str) -> None:
    """Blocks of server tools are refused with the reason and with what is accepted."""
    with pytest.raises(InvalidRequest, match="only by a model whose upstream speaks the Anthropic Messages API") as no:
        read([{"type": kind}], Role.ASSISTANT)
    assert "accepted are text, thinking, redacted_thinking, tool_use" in no.value.message


def test_messages_hold_no_prompt() -> None:
    """What a client wrote where a type should stand is not repeated in the error."""
    with pytest.raises(InvalidRequest) as refused:
        read([{"type": "my secret prompt, with spaces"}])
    assert "secret" not in refused.value.message
