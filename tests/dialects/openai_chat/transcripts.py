"""Event sequences in the shapes that OpenAI, vLLM and llama.cpp send, and reading them."""

from __future__ import annotations

from pathlib import Path

from gateway.dialects.openai_chat import CODEC
from gateway.dialects.sse import EventSplitter, parse
from gateway.domain.events import StreamEvent

_FOLDER = Path(__file__).parent / "transcripts"


def transcript(name: str) -> bytes:
    """The bytes of one transcript."""
    return (_FOLDER / f"{name}.sse").read_bytes()


def read_stream(raw: bytes) -> list[StreamEvent]:
    """Every neutral event that the openai-chat reader makes of these bytes."""
    reader = CODEC.reader()
    events: list[StreamEvent] = []
    for whole in EventSplitter().feed(raw):
        event = parse(whole)
        if event is not None:
            events += reader.feed(event)
    return events
