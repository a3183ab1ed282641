"""What a stand-in provider is told to answer, free of any dialect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Finish: TypeAlias = Literal["end", "tools", "length", "stop_sequence", "refusal", "content_filter"]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call the model makes; ``arguments`` is JSON text, sent in exactly this spelling."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Token counts to report; ``prompt`` includes ``cached`` and ``cache_write``."""

    prompt: int = 42
    cached: int = 16
    cache_write: int = 0
    completion: int = 30
    thinking: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: thinking first, then text or a refusal, then tool calls."""

    text: str = ""
    thinking: str = ""
    is_redacted: bool = False
    """Anthropic only: a redacted thinking block comes before the thinking."""
    refusal: str = ""
    tools: tuple[ToolUse, ...] = ()
    stopped_by: Literal["length", "content_filter"] | str | None = None
    """``length``, ``content_filter``, or the stop sequence that was met."""
    counts: Counts = Counts()

    @property
    def finish(self) -> Finish:
        """Why this answer ends."""
        if self.stopped_by == "length":
            return "length"
        if self.stopped_by == "content_filter":
            return "content_filter"
        if self.stopped_by is not None:
            return "stop_sequence"
        if self.refusal:
            return "refusal"
        return "tools" if self.tools else "end"


WEATHER_IN_PARIS = ToolUse("get_weather", '{"city": "Paris", "unit": "celsius"}')
WEATHER_IN_OSLO = ToolUse("get_weather", '{"city": "Oslo", "unit": "celsius"}')

GREETING = Reply(text="Hello! 👋 How may I help — today?")
ONE_TOOL = Reply(tools=(WEATHER_IN_PARIS,))
PARALLEL_TOOLS = Reply(text="Looking at both.", tools=(WEATHER_IN_PARIS, WEATHER_IN_OSLO))
THOUGHTFUL = Reply(
    text="The answer is 42.", thinking="Six times seven is forty-two.", counts=Counts(completion=40, thinking=24)
)
THOUGHTFUL_TOOL = Reply(
    thinking="I must look up the weather first.",
    tools=(WEATHER_IN_PARIS,),
    counts=Counts(completion=50, thinking=20),
)
DECLINED = Reply(refusal="I cannot help with that.")
CUT_SHORT = Reply(text="This answer goes on and", stopped_by="length")


def pieces(text: str, size: int = 6) -> Iterator[str]:
    """The text in small pieces, as a provider streams it."""
    for start in range(0, len(text), size):
        yield text[start : start + size]


def spelled(value: Any) -> bytes:
    """Compact JSON in UTF-8; where a lone surrogate forbids that, in escapes."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
