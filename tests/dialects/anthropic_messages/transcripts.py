"""Golden transcripts: the event sequences of the Messages API, after the examples in its documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gateway.dialects.anthropic_messages.stream_reader import AnthropicStreamReader
from gateway.dialects.anthropic_messages.stream_writer import AnthropicStreamWriter
from gateway.dialects.sse import EventSplitter, parse
from gateway.domain.events import StreamEvent

_GOLDEN = Path(__file__).parent / "golden"

TEXT = (_GOLDEN / "text.sse").read_bytes()
PARALLEL_TOOLS = (_GOLDEN / "parallel_tools.sse").read_bytes()
THINKING = (_GOLDEN / "thinking.sse").read_bytes()
"""Thinking, then redacted thinking, then text."""
WEB_SEARCH = (_GOLDEN / "web_search.sse").read_bytes()
REFUSAL = (_GOLDEN / "refusal.sse").read_bytes()
ERROR_MID_STREAM = (_GOLDEN / "error_mid_stream.sse").read_bytes()

SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds+/=="
REDACTED = "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpP"
"""What the thinking transcript carries."""


def read_stream(raw: bytes) -> list[StreamEvent]:
    """All neutral events of a transcript."""
    reader = AnthropicStreamReader()
    splitter = EventSplitter()
    events: list[StreamEvent] = []
    for chunk in splitter.feed(raw):
        event = parse(chunk)
        if event is not None:
            events.extend(reader.feed(event))
    assert splitter.rest == b""
    return events


def write_stream(events: Iterable[StreamEvent]) -> bytes:
    """What a writer makes of neutral events."""
    writer = AnthropicStreamWriter()
    return b"".join(writer.write(event) for event in events)


def payloads(raw: bytes) -> list[dict[str, Any]]:
    """The data of each event, which must repeat the event's name as its type."""
    found = []
    for chunk in EventSplitter().feed(raw):
        event = parse(chunk)
        assert event is not None
        body = json.loads(event.data)
        assert body["type"] == event.name
        found.append(body)
    return found
