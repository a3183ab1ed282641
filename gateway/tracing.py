"""What requests ask of whoever sends their spans and measures elsewhere; and the span that is current.

Nothing here knows OpenTelemetry: without it, no request has a trace, and all of this costs a
comparison with None. Neither prompts nor secrets are ever handed to a trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Protocol, TypeAlias

from gateway.domain.ask import Ask
from gateway.domain.model import Model
from gateway.domain.record import CallRecord, RequestRecord

Attribute: TypeAlias = str | int | float | bool


class CallSpan(Protocol):
    """An upstream call under way."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What tells the upstream of the span that its own ones belong to."""
        ...

    def end(self, record: CallRecord) -> None: ...


class Part(Protocol):
    """A stage of a request: the calls that are begun within it belong to it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """As of :class:`CallSpan`, for calls that have no span of their own."""
        ...

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        """Add what is known only now."""
        ...


class Trace(Protocol):
    """The span of one request, and those below it."""

    @property
    def id(self) -> str:
        """The trace's, as its tools show it: 32 hexadecimal digits."""
        ...

    def call(self, model: Model, started_at: float) -> CallSpan:
        """Begin the span of an upstream call, at these Unix seconds."""
        ...

    def part(self, name: str, attributes: Mapping[str, Attribute]) -> AbstractContextManager[Part]:
        """A span around some work of the request; it is current within."""
        ...

    def end(self, record: RequestRecord, model: str) -> None:
        """End the request's span with its record; ``model`` is the configured one that it went to last."""
        ...


class Tracer(Protocol):
    """Sends spans and measures to a collector."""

    def begin(self, ask: Ask) -> Trace:
        """The trace of a request, which continues the one that its ``traceparent`` names."""
        ...

    def close(self) -> None:
        """Send what waits, for a few seconds at most; blocks."""
        ...


CURRENT: ContextVar[Part | None] = ContextVar("ponder_part", default=None)
"""The innermost part of the request that is being worked on."""

_NO_HEADERS: Mapping[str, str] = {}


def trace_headers() -> Mapping[str, str]:
    """The headers for a call that is part of what is going on, and has no span of its own; none without a trace."""
    part = CURRENT.get()
    return _NO_HEADERS if part is None else part.headers
