"""Neutral events, written as the Responses event grammar.

Each part is an output item of its own, opened and closed where the part is. The terminal event
repeats the whole response: that is the dialect's own demand, so the writer keeps the parts that
it has written. ``Stopped`` and ``Used`` are only remembered; ``Finished`` writes the terminal
event alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.dialects.json_bytes import dumps
from gateway.dialects.openai_responses.answer import (
    call_item,
    item_id,
    message_item,
    reasoning_item,
    refusal_content,
    render_response,
    render_stop,
    text_content,
)
from gateway.domain.chat import RedactedThinking, StopReason, Thinking
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

_ERROR_CODES = frozenset({"server_error", "rate_limit_exceeded", "invalid_prompt"})
"""Codes that a response's ``error`` may carry and that can concern a translated answer."""


@dataclass(slots=True)
class _Item:
    """An output item as far as it has been written."""

    index: int
    started: PartStarted
    texts: list[str] = field(default_factory=list)
    signature: str | None = None
    completed: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)


class ResponsesWriter:
    """Writes one stream; see the module."""

    __slots__ = ("_items", "_sequence", "_started", "_stop", "_usage")

    def __init__(self) -> None:
        self._sequence = 0
        self._started = Started("", "")
        self._items: dict[int, _Item] = {}
        self._stop = StopReason.END
        self._usage: Usage | None = None

    def write(self, event: StreamEvent) -> bytes:
        """The bytes that say ``event``; empty for what this dialect says only at the end."""
        match event:
            case Delta(index, text):
                return self._write_delta(self._items[index], text)
            case Started():
                return self._write_started(event)
            case PartStarted():
                return self._write_part_started(event)
            case Signed(index, signature):
                self._items[index].signature = signature
            case PartEnded(index):
                return self._write_part_ended(self._items[index])
            case Stopped(reason):
                self._stop = reason
            case Used(usage):
                self._usage = usage
            case Failed():
                return self._write_failed(event)
            case Finished():
                return self._write_finished()
        return b""

    def _event(self, kind: str, **members: Any) -> bytes:
        body = {"type": kind, "sequence_number": self._sequence, **members}
        self._sequence += 1
        return b"event: " + kind.encode("ascii") + b"\ndata: " + dumps(body) + b"\n\n"

    def _response(self, status: str, **members: Any) -> dict[str, Any]:
        started = self._started
        output = [item.completed for item in self._items.values() if item.completed is not None]
        return render_response(
            started.id, started.model, started.created, output=output, usage=self._usage, status=status, **members
        )

    def _write_started(self, event: Started) -> bytes:
        self._started = event
        response = self._response("in_progress")
        created = self._event("response.created", response=response)
        # A usage known at the start is the input's; it counts only if none comes later.
        self._usage = event.usage
        return created + self._event("response.in_progress", response=response)

    def _id(self, item: _Item, prefix: str) -> str:
        return item_id(self._started.id, item.index, prefix)

    def _write_part_started(self, event: PartStarted) -> bytes:
        item = self._items[event.index] = _Item(event.index, event)
        match event.kind:
            case PartKind.TEXT | PartKind.REFUSAL:
                shell = message_item(self._id(item, "msg"), {}) | {"status": "in_progress", "content": []}
                return self._item_added(item, shell) + self._content(item, "response.content_part.added", "")
            case PartKind.TOOL_CALL:
                call = call_item(self._id(item, "fc"), event.call_id or "", event.name or "", "")
                return self._item_added(item, call | {"status": "in_progress"})
            case PartKind.THINKING | PartKind.REDACTED_THINKING:
                return self._item_added(item, self._reasoning_shell(item))

    def _reasoning_shell(self, item: _Item) -> dict[str, Any]:
        return {"id": self._id(item, "rs"), "type": "reasoning", "summary": []}

    def _item_added(self, item: _Item, shell: dict[str, Any]) -> bytes:
        return self._event("response.output_item.added", output_index=item.index, item=shell)

    def _content(self, item: _Item, kind: str, text: str) -> bytes:
        part = refusal_content(text) if item.started.kind is PartKind.REFUSAL else text_content(text)
        return self._in_message(item, kind, part=part)

    def _in_message(self, item: _Item, kind: str, **members: Any) -> bytes:
        return self._event(kind, item_id=self._id(item, "msg"), output_index=item.index, content_index=0, **members)

    def _in_call(self, item: _Item, kind: str, **members: Any) -> bytes:
        return self._event(kind, item_id=self._id(item, "fc"), output_index=item.index, **members)

    def _in_summary(self, item: _Item, kind: str, **members: Any) -> bytes:
        return self._event(kind, item_id=self._id(item, "rs"), output_index=item.index, summary_index=0, **members)

    def _write_delta(self, item: _Item, text: str) -> bytes:
        is_first = not item.texts
        item.texts.append(text)
        match item.started.kind:
            case PartKind.TEXT:
                return self._in_message(item, "response.output_text.delta", delta=text, logprobs=[])
            case PartKind.REFUSAL:
                return self._in_message(item, "response.refusal.delta", delta=text)
            case PartKind.TOOL_CALL:
                return self._in_call(item, "response.function_call_arguments.delta", delta=text)
            case PartKind.THINKING | PartKind.REDACTED_THINKING:
                begun = self._summary_part(item, "response.reasoning_summary_part.added", "") if is_first else b""
                return begun + self._in_summary(item, "response.reasoning_summary_text.delta", delta=text)

    def _summary_part(self, item: _Item, kind: str, text: str) -> bytes:
        return self._in_summary(item, kind, part={"type": "summary_text", "text": text})

    def _write_part_ended(self, item: _Item) -> bytes:
        text = item.text
        match item.started.kind:
            case PartKind.TEXT:
                item.completed = message_item(self._id(item, "msg"), text_content(text))
                ended = self._in_message(item, "response.output_text.done", text=text, logprobs=[])
                ended += self._content(item, "response.content_part.done", text)
            case PartKind.REFUSAL:
                item.completed = message_item(self._id(item, "msg"), refusal_content(text))
                ended = self._in_message(item, "response.refusal.done", refusal=text)
                ended += self._content(item, "response.content_part.done", text)
            case PartKind.TOOL_CALL:
                name = item.started.name or ""
                item.completed = call_item(self._id(item, "fc"), item.started.call_id or "", name, text)
                ended = self._in_call(item, "response.function_call_arguments.done", name=name, arguments=text)
            case PartKind.THINKING:
                item.completed = self._reasoning(item, Thinking(text, item.signature))
                ended = self._summary_done(item, text) if item.texts else b""
            case PartKind.REDACTED_THINKING:
                item.completed = self._reasoning(item, RedactedThinking(item.started.data or ""))
                ended = b""
        return ended + self._event("response.output_item.done", output_index=item.index, item=item.completed)

    def _reasoning(self, item: _Item, thinking: Thinking | RedactedThinking) -> dict[str, Any]:
        return reasoning_item(self._started.id, item.index, thinking)

    def _summary_done(self, item: _Item, text: str) -> bytes:
        done = self._in_summary(item, "response.reasoning_summary_text.done", text=text)
        return done + self._summary_part(item, "response.reasoning_summary_part.done", text)

    def _write_finished(self) -> bytes:
        output = [item.completed for item in self._items.values() if item.completed is not None]
        stop = render_stop(self._stop, output)
        return self._event(f"response.{stop['status']}", response=self._response(**stop))

    def _write_failed(self, event: Failed) -> bytes:
        """An ``error`` event and, once the response has begun, ``response.failed``.

        The error stands in the event twice: flat, as documented, and as an object, as OpenAI sends
        it and the official clients need it to raise. Clients that know only terminal events
        (Codex) read ``response.failed``.
        """
        code = event.kind or "server_error"
        error = {"type": code, "code": code, "message": event.message, "param": None}
        written = self._event("error", code=code, message=event.message, param=None, error=error)
        if self._started.id:
            known = code if code in _ERROR_CODES else "server_error"
            failed = self._response("failed", error={"code": known, "message": event.message})
            written += self._event("response.failed", response=failed)
        return written
