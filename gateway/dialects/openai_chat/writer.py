"""Neutral events, turned into chat completion chunks.

Thinking is written as it comes in ``reasoning_content``; when a part's signature arrives, one
delta of ``thinking_blocks`` holds the whole signed block, for clients that send it back. An
unsigned part gets such a block when it ends, if others have one; the first of all has to wait
until another thinking part follows it at once.
Every block has an ``index``: the openai package refuses to accumulate a list whose entries have none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.dialects.json_bytes import dumps
from gateway.dialects.openai_chat.stops import render_stop
from gateway.dialects.openai_chat.thinking import ThinkingPart, render_block
from gateway.dialects.openai_chat.usage import render_service_tier, render_usage
from gateway.domain.chat import RedactedThinking, Thinking
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

_DONE = b"data: [DONE]\n\n"

_THINKING = (PartKind.THINKING, PartKind.REDACTED_THINKING)

_FIELDS = {PartKind.TEXT: "content", PartKind.REFUSAL: "refusal", PartKind.THINKING: "reasoning_content"}


@dataclass(slots=True)
class _Written:
    """What has been written of one part."""

    kind: PartKind
    call_place: int = 0
    thought: list[str] = field(default_factory=list)
    is_signed: bool = False


class Writer:
    """Writes one stream; see :class:`gateway.dialects.codec.StreamWriter`."""

    __slots__ = (
        "_block_count",
        "_call_count",
        "_envelope",
        "_has_refusal",
        "_has_stopped",
        "_include_usage",
        "_parts",
        "_unsigned",
        "_usage",
    )

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._envelope: dict[str, Any] = {}
        self._parts: dict[int, _Written] = {}
        self._block_count = 0
        self._call_count = 0
        self._has_refusal = False
        self._has_stopped = False
        self._unsigned: Thinking | None = None
        self._usage: Usage | None = None

    def write(self, event: StreamEvent) -> bytes:
        """The chunks that say ``event``; empty where chat has nothing to say."""
        match event:
            case Started(answer_id, model, created):
                self._envelope = {
                    "id": answer_id,
                    "object": "chat.completion.chunk",
                    "created": created,
                    "model": model,
                }
                return self._chunk({"role": "assistant", "content": ""})
            case PartStarted():
                return self._begin_part(event)
            case Delta(index, text):
                return self._add(self._parts[index], text)
            case Signed(index, signature):
                part = self._parts[index]
                part.is_signed = True
                return self._block(Thinking("".join(part.thought), signature))
            case PartEnded(index):
                return self._end_part(self._parts[index])
            case Stopped():
                self._has_stopped = True
                finish = self._chunk({}, **render_stop(event, has_refusal=self._has_refusal))
                return finish + (self._usage_chunk(self._usage) if self._usage else b"")
            case Used(usage):
                self._usage = usage
                return self._usage_chunk(usage) if self._has_stopped else b""
            case Failed(message, kind):
                return _data(
                    {"error": {"message": message, "type": kind or "upstream_failed", "param": None, "code": kind}}
                )
            case Finished():
                return _DONE

    def _begin_part(self, event: PartStarted) -> bytes:
        part = self._parts[event.index] = _Written(event.kind)
        parted = b""
        if self._unsigned is not None and event.kind in _THINKING:
            parted = self._block(self._unsigned)
        self._unsigned = None
        if event.kind is PartKind.TOOL_CALL:
            part.call_place = self._call_count
            self._call_count += 1
            function = {"name": event.name or "", "arguments": ""}
            call = {"index": part.call_place, "id": event.call_id or "", "type": "function", "function": function}
            return self._chunk({"tool_calls": [call]})
        if event.kind is PartKind.REDACTED_THINKING:
            return parted + self._block(RedactedThinking(event.data or ""))
        self._has_refusal = self._has_refusal or event.kind is PartKind.REFUSAL
        return parted

    def _add(self, part: _Written, text: str) -> bytes:
        if part.kind is PartKind.TOOL_CALL:
            return self._chunk({"tool_calls": [{"index": part.call_place, "function": {"arguments": text}}]})
        if part.kind is PartKind.THINKING:
            part.thought.append(text)
        return self._chunk({_FIELDS[part.kind]: text})

    def _end_part(self, part: _Written) -> bytes:
        if part.kind is not PartKind.THINKING or part.is_signed:
            return b""
        block = Thinking("".join(part.thought))
        if self._block_count:
            return self._block(block)
        self._unsigned = block
        return b""

    def _block(self, block: ThinkingPart) -> bytes:
        place = self._block_count
        self._block_count += 1
        return self._chunk({"thinking_blocks": [{"index": place, **render_block(block)}]})

    def _chunk(self, delta: dict[str, Any], **stop: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **stop}
        chunk = {**self._envelope, "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return _data(chunk)

    def _usage_chunk(self, usage: Usage) -> bytes:
        if not self._include_usage:
            return b""
        return _data({**self._envelope, "choices": [], "usage": render_usage(usage), **render_service_tier(usage)})


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + dumps(value) + b"\n\n"
