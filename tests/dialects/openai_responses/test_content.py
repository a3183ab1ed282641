"""Content parts in both directions."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.dialects.openai_responses import CODEC
from gateway.domain.chat import Audio, Conversation, Document, Image, Part, Role, Text, ToolResult, Turn
from gateway.errors import InvalidRequest


def _read(part: dict[str, Any]) -> Part:
    body = {"model": "m", "input": [{"role": "user", "content": [part]}]}
    return CODEC.read_request(body).turns[0].parts[0]


def _render(part: Part) -> Any:
    asked = Conversation("m", (Turn(Role.USER, (part,)),))
    return CODEC.render_request(asked, max_output_tokens=9)


_TEXT_FILE = base64.b64encode("Grüße".encode()).decode()


@pytest.mark.parametrize(
    ("part", "neutral"),
    [
        ({"type": "input_text", "text": ""}, Text("")),
        (
            {"type": "input_image", "detail": "high", "image_url": "data:image/png;base64,iVBOR"},
            Image("image/png", "iVBOR", detail="high"),
        ),
        (
            {"type": "input_image", "detail": "auto", "image_url": "https://x.example/a"},
            Image(url="https://x.example/a"),
        ),
        ({"type": "input_image", "detail": "low", "file_id": "file_1"}, Image(file_id="file_1", detail="low")),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
            Document("application/pdf", "JVBE", name="a.pdf"),
        ),
        (
            {"type": "input_file", "filename": "a.txt", "file_data": f"data:text/plain;base64,{_TEXT_FILE}"},
            Document("text/plain", text="Grüße", name="a.txt"),
        ),
        ({"type": "input_file", "file_url": "https://x.example/a"}, Document(url="https://x.example/a")),
        ({"type": "input_file", "file_id": "file_1"}, Document(file_id="file_1")),
        ({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}, Audio("UklG", "wav")),
    ],
)
def test_parts_mean_the_same_both_ways(part: dict[str, Any], neutral: Part) -> None:
    """Each kind of part reads as its neutral value and is rendered back as it was."""
    assert _read(part) == neutral
    rendered = _render(neutral)
    assert rendered.body["input"][0]["content"] == [part]
    assert rendered.dropped == ()


def test_bare_base64_is_told_by_its_file_name() -> None:
    """File data without a data URL takes its media type from the file's name."""
    assert _read({"type": "input_file", "filename": "A.PDF", "file_data": "JVBE"}) == Document(
        "application/pdf", "JVBE", name="A.PDF"
    )


def test_text_that_is_not_text_stays_data() -> None:
    """A text file that is not UTF-8 is kept as the bytes it is."""
    data = base64.b64encode(b"\xff\xfe").decode()
    assert _read(
        {"type": "input_file", "filename": "a.txt", "file_data": f"data:text/plain;base64,{data}"}
    ) == Document("text/plain", data, name="a.txt")


def test_cache_breakpoints_are_read_as_cache_marks() -> None:
    """A prompt cache breakpoint reads as a cache mark, and a cache mark is named when it is not rendered."""
    part = {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert _read(part) == Text("x", {"type": "ephemeral"})
    rendered = _render(Text("x", {"type": "ephemeral"}))
    assert rendered.dropped == ("cache_control",)
    assert rendered.body["input"][0]["content"] == [{"type": "input_text", "text": "x"}]


def test_inline_documents_get_a_file_name() -> None:
    """The API refuses inline data without a name, so a document without one is given one by its type."""
    (part,) = _render(Document("application/pdf", "JVBE", context="c")).body["input"][0]["content"]
    assert part["filename"] == "document.pdf"


def test_two_sources_are_refused() -> None:
    """A part that gives its content twice is refused, naming the members."""
    with pytest.raises(InvalidRequest, match="exactly one of"):
        _read({"type": "input_image", "image_url": "https://x.example", "file_id": "file_1"})


@pytest.mark.parametrize(
    ("parts", "output"),
    [
        ((), ""),
        ((Text("done"),), "done"),
        ((Text("a"), Text("b")), [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]),
        ((Image(file_id="f"),), [{"type": "input_image", "detail": "auto", "file_id": "f"}]),
    ],
)
def test_tool_outputs_are_as_short_as_they_can_be(parts: tuple[Any, ...], output: Any) -> None:
    """A single text is a string, which every server takes; anything else is a list of parts."""
    rendered = _render(ToolResult("c1", parts)).body["input"][0]
    assert rendered == {"type": "function_call_output", "call_id": "c1", "output": output}
