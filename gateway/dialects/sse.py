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
_LONGEST_BOUNDARY = 4
_LINE = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event: its name (empty if unnamed) and its data bytes, joined with LF."""

    name: str
    data: bytes


class EventSplitter:
    """Cuts a byte stream into whole events, each with its terminating blank line.

    An event that comes in many chunks is put together once, when its end is here, so that the work
    grows with the bytes and not with their square.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that ``chunk`` completes, bytes as they came.

        Raises :class:`UpstreamFailed` when an event has grown beyond :data:`MAX_EVENT_BYTES`; the events
        before it have been returned by then.
        """
        rest = self._rest
        if rest:
            seam = max(0, len(rest) - _LONGEST_BOUNDARY)
            rest += chunk
            if _BOUNDARY.search(rest, seam) is None:
                if len(rest) > MAX_EVENT_BYTES:
                    raise UpstreamFailed(f"the upstream sent a stream event larger than {MAX_EVENT_BYTES} bytes")
                return []
            chunk = bytes(rest)
        if b"\r" in chunk:
            return self._cut(chunk)
        events = chunk.split(b"\n\n")
        self._rest = bytearray(events.pop())
        return [event + b"\n\n" for event in events]

    def _cut(self, buffer: bytes) -> list[bytes]:
        """The events of bytes in which some lines end in CR or CRLF."""
        events: list[bytes] = []
        start = 0
        for match in _BOUNDARY.finditer(buffer):
            # A CR at the very end may be the first half of a CRLF still to come.
            if match.end() == len(buffer) and buffer.endswith(b"\r"):
                break
            events.append(buffer[start : match.end()])
            start = match.end()
        self._rest = bytearray(buffer[start:])
        return events

    @property
    def rest(self) -> bytes:
        """Bytes after the last whole event; not empty at the end means the stream was cut."""
        return bytes(self._rest)


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
