"""Server-sent events, as bytes: cutting a stream into events and reading one.

Follows the WHATWG grammar (https://html.spec.whatwg.org/multipage/server-sent-events.html) for
what providers send: lines end in LF, CRLF or CR, events end in an empty line, several ``data``
lines join with LF. Bytes of an event are kept so that a pass-through can forward them untouched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.errors import UpstreamFailed

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""One event larger than this is refused: no provider sends one, and memory is bounded."""

_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n")
_LINE = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event: its name (empty if unnamed) and its data bytes, joined with LF."""

    name: str
    data: bytes


class EventSplitter:
    """Cuts a byte stream into whole events, each with its terminating blank line."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that ``chunk`` completes, bytes as they came.

        Raises :class:`UpstreamFailed` when an event grows beyond :data:`MAX_EVENT_BYTES`.
        """
        buffer = self._rest + chunk if self._rest else chunk
        if b"\r" not in buffer:
            return self._feed_plain(buffer)
        events: list[bytes] = []
        start = 0
        for match in _BOUNDARY.finditer(buffer):
            # A CR at the very end may be the first half of a CRLF still to come.
            if match.end() == len(buffer) and buffer.endswith(b"\r"):
                break
            events.append(buffer[start : match.end()])
            start = match.end()
        self._keep(buffer[start:])
        return events

    def _feed_plain(self, buffer: bytes) -> list[bytes]:
        parts = buffer.split(b"\n\n")
        self._keep(parts.pop())
        return [part + b"\n\n" for part in parts]

    def _keep(self, rest: bytes) -> None:
        if len(rest) > MAX_EVENT_BYTES:
            raise UpstreamFailed(f"the upstream sent a stream event larger than {MAX_EVENT_BYTES} bytes")
        self._rest = rest

    @property
    def rest(self) -> bytes:
        """Bytes after the last whole event; not empty at the end means the stream was cut."""
        return self._rest


def parse(event: bytes) -> SseEvent | None:
    """Read one event's bytes; None for comments and events without data."""
    name = b""
    data: list[bytes] = []
    for line in _LINE.split(event):
        if not line or line[:1] == b":":
            continue
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    if not data:
        return None
    return SseEvent(name.decode("utf-8", "replace"), b"\n".join(data))


def comment(text: str) -> bytes:
    """An SSE comment; clients ignore it by the grammar."""
    return b": " + text.encode("ascii", "replace") + b"\n\n"
