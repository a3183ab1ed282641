"""Writing neutral events as a Messages API event stream.

Anthropic's blocks never overlap, and neutral parts may (parallel tool calls). So the part that
began first is written as it comes, while the deltas of the others wait until the parts before
them have ended; nothing else is held back, save a block's beginning until it has something to
say, and ``message_delta`` until the usage that belongs into it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.dialects.anthropic_messages.stop import render_stop
from gateway.dialects.anthropic_messages.usage import render_delta_usage, render_usage
from gateway.dialects.json_bytes import dumps
from gateway.domain.chat import StopReason
from gateway.domain.events import (
    Delta,
    Failed,
    Finished,
    PartEnded,
    PartKind,
    PartStarted,
    Signed,
    Started,
    Stopped,
    StreamEvent,
    Used,
)
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed

_ERROR_TYPES = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "rate_limit_error",
        "timeout_error",
        "api_error",
        "overloaded_error",
    }
)
_FOREIGN_ERROR_TYPES = {
    "rate_limit_exceeded": "rate_limit_error",
    "upstream_rate_limited": "rate_limit_error",
    "upstream_overloaded": "overloaded_error",
    "upstream_timeout": "timeout_error",
    "insufficient_quota": "billing_error",
}
_AT_ONCE = frozenset({PartKind.TOOL_CALL, PartKind.REDACTED_THINKING})
"""Parts whose beginning already says something; of the others, empty ones are left out."""


@dataclass(slots=True)
class _Part:
    """A part that has not been written to its end; ``unwritten`` are deltas that wait."""

    start: PartStarted
    unwritten: list[str] = field(default_factory=list)
    signature: str | None = None
    is_begun: bool = False
    is_ended: bool = False


class AnthropicStreamWriter:
    """The state of one client's stream; :meth:`write` gives the bytes of each neutral event."""

    __slots__ = ("_block_count", "_has_refusal", "_has_tool_calls", "_is_told", "_parts", "_stopped", "_usage")

    def __init__(self) -> None:
        self._parts: dict[int, _Part] = {}
        self._block_count = 0
        self._has_tool_calls = False
        self._has_refusal = False
        self._usage = Usage()
        self._stopped: Stopped | None = None
        self._is_told = False

    def write(self, event: StreamEvent) -> bytes:
        """The SSE bytes that ``event`` lets out, possibly none.

        ``Finished`` gives ``message_stop`` alone, unless no ``Used`` came after ``Stopped``: then
        ``message_delta`` comes with it, because the stream would be no answer without.
        """
        match event:
            case Delta(index, text):
                self._part(index).unwritten.append(text)
                return self._written()
            case PartStarted():
                return self._begin(event)
            case PartEnded(index):
                self._part(index).is_ended = True
                return self._written()
            case Signed(index, signature):
                self._part(index).signature = signature
                return b""
            case Started():
                return self._start(event)
            case Stopped():
                self._stopped = event
                return b""
            case Used(usage):
                self._usage = usage
                return b"" if self._stopped is None else self._told()
            case Finished():
                return (b"" if self._is_told else self._told()) + _sse("message_stop", {})
            case Failed():
                return _error(event)

    def _start(self, started: Started) -> bytes:
        """The usage here is what is known yet, mostly zeros; the one in ``message_delta`` counts."""
        if started.usage is not None:
            self._usage = started.usage
        message: dict[str, Any] = {
            "id": started.id,
            "type": "message",
            "role": "assistant",
            "model": started.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": render_usage(self._usage),
        }
        return _sse("message_start", {"message": message})

    def _begin(self, start: PartStarted) -> bytes:
        if start.kind is PartKind.TOOL_CALL:
            self._has_tool_calls = True
        if start.kind is PartKind.REFUSAL:
            self._has_refusal = True
        self._parts[start.index] = _Part(start)
        return self._written()

    def _part(self, index: int) -> _Part:
        part = self._parts.get(index)
        if part is None:
            raise UpstreamFailed(f"the stream continues part {index}, which is not open")
        return part

    def _written(self) -> bytes:
        """What may be written now: the first open part so far, and whole those that ended behind it."""
        pieces: list[bytes] = []
        while self._parts:
            index, part = next(iter(self._parts.items()))
            self._write_part(part, pieces)
            if not part.is_ended:
                break
            del self._parts[index]
        return b"".join(pieces)

    def _write_part(self, part: _Part, pieces: list[bytes]) -> None:
        text = "".join(part.unwritten)
        part.unwritten.clear()
        if not part.is_begun:
            if not text and part.signature is None and part.start.kind not in _AT_ONCE:
                return
            part.is_begun = True
            block = {"index": self._block_count, "content_block": _empty_block(part.start)}
            pieces.append(_sse("content_block_start", block))
        if text:
            pieces.append(self._delta(_text_delta(part.start.kind, text)))
        if part.is_ended:
            if part.signature is not None:
                pieces.append(self._delta({"type": "signature_delta", "signature": part.signature}))
            pieces.append(_sse("content_block_stop", {"index": self._block_count}))
            self._block_count += 1

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _sse("content_block_delta", {"index": self._block_count, "delta": delta})

    def _told(self) -> bytes:
        """``message_delta``, after closing whatever part the stream left open."""
        self._is_told = True
        for part in self._parts.values():
            part.is_ended = True
        closing = self._written()
        stopped = self._stopped or Stopped(StopReason.END)
        reason = render_stop(stopped.reason, has_tool_calls=self._has_tool_calls, has_refusal=self._has_refusal)
        delta = {"stop_reason": reason, "stop_sequence": stopped.stop_sequence}
        return closing + _sse("message_delta", {"delta": delta, "usage": render_delta_usage(self._usage)})


def _sse(name: str, members: dict[str, Any]) -> bytes:
    return b"event: " + name.encode("ascii") + b"\ndata: " + dumps({"type": name, **members}) + b"\n\n"


def _empty_block(start: PartStarted) -> dict[str, Any]:
    match start.kind:
        case PartKind.THINKING:
            return {"type": "thinking", "thinking": "", "signature": ""}
        case PartKind.REDACTED_THINKING:
            return {"type": "redacted_thinking", "data": start.data or ""}
        case PartKind.TOOL_CALL:
            return {"type": "tool_use", "id": start.call_id or "", "name": start.name or "", "input": {}}
        case PartKind.TEXT | PartKind.REFUSAL:
            return {"type": "text", "text": ""}


def _text_delta(kind: PartKind, text: str) -> dict[str, Any]:
    match kind:
        case PartKind.THINKING:
            return {"type": "thinking_delta", "thinking": text}
        case PartKind.TOOL_CALL:
            return {"type": "input_json_delta", "partial_json": text}
        case _:
            return {"type": "text_delta", "text": text}


def _error(failed: Failed) -> bytes:
    kind = failed.kind or ""
    shown = kind if kind in _ERROR_TYPES else _FOREIGN_ERROR_TYPES.get(kind, "api_error")
    return _sse("error", {"error": {"type": shown, "message": failed.message}})
