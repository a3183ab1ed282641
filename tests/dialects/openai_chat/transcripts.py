"""Event sequences in the shapes that OpenAI, vLLM and llama.cpp send, and reading them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.dialects.json_bytes import dumps
from gateway.dialects.openai_chat import CODEC
from gateway.dialects.sse import EventSplitter, SseEvent, parse
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


def feed(*deltas: dict[str, Any], finish: str | None = None, done: bool = True, **last: Any) -> list[StreamEvent]:
    """The events of a stream of these deltas."""
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish, **last})
    chunks = [dumps({"id": "a", "model": "m", "created": 7, "choices": [choice]}) for choice in choices]
    reader = CODEC.reader()
    data = [*chunks, b"[DONE]"] if done else chunks
    return [neutral for one in data for neutral in reader.feed(SseEvent("", one))]
