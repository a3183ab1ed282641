"""Folding a neutral stream into the whole answer that it streams.

A stream that does not end in ``Finished`` is no answer: :func:`join` refuses it, so that a cut
stream can never pass for a whole one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.domain.chat import Answer, Part, RedactedThinking, Refusal, StopReason, Text, Thinking, ToolCall
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
from gateway.domain.usage import Usage, UsageSource
from gateway.errors import UpstreamFailed


@dataclass(slots=True)
class _OpenPart:
    """One part as far as it has come."""

    kind: PartKind
    call_id: str | None
    name: str | None
    data: str | None
    texts: list[str] = field(default_factory=list)
    signature: str | None = None

    def whole(self) -> Part:
        text = "".join(self.texts)
        match self.kind:
            case PartKind.TEXT:
                return Text(text)
            case PartKind.THINKING:
                return Thinking(text, self.signature)
            case PartKind.REDACTED_THINKING:
                return RedactedThinking(self.data or "")
            case PartKind.TOOL_CALL:
                return ToolCall(self.call_id or "", self.name or "", text)
            case PartKind.REFUSAL:
                return Refusal(text)


@dataclass(slots=True)
class _Folded:
    """What the events have told so far."""

    started: Started | None = None
    parts: dict[int, _OpenPart] = field(default_factory=dict)
    stopped: Stopped | None = None
    usage: Usage | None = None
    is_finished: bool = False

    def add(self, event: StreamEvent) -> None:
        match event:
            case Started():
                self.started = event
            case PartStarted(index, kind, call_id, name, data):
                self.parts[index] = _OpenPart(kind, call_id, name, data)
            case Delta(index, text):
                self._part(index).texts.append(text)
            case Signed(index, signature):
                self._part(index).signature = signature
            case PartEnded():
                pass
            case Stopped():
                self.stopped = event
            case Used(usage):
                self.usage = usage
            case Failed(message):
                raise UpstreamFailed(f"the upstream reported an error inside its stream: {message}")
            case Finished():
                self.is_finished = True

    def _part(self, index: int) -> _OpenPart:
        part = self.parts.get(index)
        if part is None:
            raise UpstreamFailed(f"the stream adds to part {index}, which it never began")
        return part


def join(events: Iterable[StreamEvent]) -> Answer:
    """The answer that ``events`` stream.

    Raises :class:`UpstreamFailed` for a stream that failed, was cut before ``Finished``, or breaks
    the order that :mod:`gateway.domain.events` states.
    """
    folded = _Folded()
    for event in events:
        if folded.is_finished:
            raise UpstreamFailed("the stream goes on after its terminal event")
        folded.add(event)
    if folded.started is None or not folded.is_finished:
        raise UpstreamFailed("the stream ended before its terminal event")
    stopped = folded.stopped or Stopped(StopReason.END)
    return Answer(
        id=folded.started.id,
        model=folded.started.model,
        parts=tuple(folded.parts[index].whole() for index in sorted(folded.parts)),
        stop=stopped.reason,
        usage=folded.usage or folded.started.usage or Usage(source=UsageSource.ESTIMATED),
        created=folded.started.created,
        stop_sequence=stopped.stop_sequence,
    )
