"""What a dialect must be able to do: read and render requests, answers and streams.

Codecs are pure: no clock, no network, no randomness of their own. They raise
:class:`gateway.errors.InvalidRequest` (with ``param``) for a client's request that cannot be
read, and :class:`gateway.errors.UpstreamFailed` for an upstream's answer that cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.dialects.sse import SseEvent
from gateway.domain.chat import Answer, Conversation, Dialect
from gateway.domain.events import StreamEvent
from gateway.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request body for an upstream; ``dropped`` names what its dialect cannot say."""

    body: dict[str, Any]
    dropped: tuple[str, ...] = ()


class StreamReader(Protocol):
    """Turns an upstream's SSE events into neutral ones; holds the state of one stream."""

    def feed(self, event: SseEvent) -> tuple[StreamEvent, ...]: ...


class StreamWriter(Protocol):
    """Turns neutral events into the client's SSE bytes; holds the state of one stream.

    ``Finished`` must render the terminal event alone, so that the gateway can put its cost
    comment before it.
    """

    def write(self, event: StreamEvent) -> bytes: ...


class Codec(Protocol):
    """One dialect."""

    @property
    def dialect(self) -> Dialect: ...

    def read_request(self, body: Mapping[str, Any]) -> Conversation: ...

    def render_request(self, conversation: Conversation, *, max_output_tokens: int) -> Rendered:
        """``max_output_tokens`` fills in where the dialect demands a limit and the client set none."""
        ...

    def read_answer(self, body: Mapping[str, Any]) -> Answer: ...

    def render_answer(self, answer: Answer) -> dict[str, Any]: ...

    def find_usage(self, body: Mapping[str, Any]) -> Usage | None:
        """The usage in a whole answer's body, with what stands beside it and changes its price; None if there is none.

        Tolerant of missing, null and odd members.
        """
        ...

    def reader(self) -> StreamReader: ...

    def writer(self, *, include_usage: bool) -> StreamWriter:
        """``include_usage``: whether an openai-chat client asked for the usage chunk."""
        ...
