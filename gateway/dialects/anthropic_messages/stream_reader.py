"""Reading a Messages API event stream into neutral events.

The grammar: ``message_start``, then blocks strictly one after another (``content_block_start``,
``content_block_delta``…, ``content_block_stop``), ``message_delta`` with cumulative usage, and
``message_stop``; ``ping`` anywhere, ``error`` instead of the rest. Event names are not needed,
since the data repeats them, and some compatible servers leave them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dialects.anthropic_messages.answer import error_type, required_text, text_or_empty
from gateway.dialects.anthropic_messages.arguments import write_arguments
from gateway.dialects.anthropic_messages.stop import read_stop, refusal_explanation
from gateway.dialects.anthropic_messages.usage import merge_usage, read_usage
from gateway.dialects.json_bytes import loads
from gateway.dialects.sse import SseEvent
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
from gateway.errors import InvalidRequest, UpstreamFailed

_KINDS = {
    "text": PartKind.TEXT,
    "thinking": PartKind.THINKING,
    "redacted_thinking": PartKind.REDACTED_THINKING,
    "tool_use": PartKind.TOOL_CALL,
}
_DELTA_TEXTS = {
    (PartKind.TEXT, "text_delta"): "text",
    (PartKind.THINKING, "thinking_delta"): "thinking",
    (PartKind.TOOL_CALL, "input_json_delta"): "partial_json",
}


@dataclass(slots=True)
class _Block:
    """An open content block; ``index`` is its neutral part's, ``given_input`` what its start held."""

    index: int
    kind: PartKind
    given_input: Any = None
    has_text: bool = False


class AnthropicStreamReader:
    """The state of one upstream stream; :meth:`feed` gives the neutral events of each SSE event.

    Blocks that no neutral part covers (server tools and their results) are passed over, and so
    are citations. Raises :class:`UpstreamFailed` for events that break the grammar.
    """

    __slots__ = ("_blocks", "_has_tool_calls", "_is_over", "_is_started", "_is_stopped", "_part_count", "_usage")

    def __init__(self) -> None:
        self._blocks: dict[int, _Block | None] = {}
        self._part_count = 0
        self._usage: dict[str, Any] = {}
        self._has_tool_calls = False
        self._is_started = False
        self._is_stopped = False
        self._is_over = False

    def feed(self, event: SseEvent) -> tuple[StreamEvent, ...]:
        """The neutral events that ``event`` tells; nothing after the terminal one."""
        if self._is_over or event.name == "ping":
            return ()
        body = _read_object(event.data)
        kind = body.get("type")
        if kind == "error":
            return self._fail(body.get("error"))
        if kind == "message_start":
            return self._start(body)
        if kind == "ping":
            return ()
        if not self._is_started:
            raise UpstreamFailed("the upstream's stream does not begin with message_start")
        match kind:
            case "content_block_delta":
                return self._add(body)
            case "content_block_start":
                return self._begin_block(body)
            case "content_block_stop":
                return self._end_block(_read_index(body))
            case "message_delta":
                return self._update(body)
            case "message_stop":
                return self._finish()
            case _:
                return ()

    def _fail(self, error: Any) -> tuple[StreamEvent, ...]:
        self._is_over = True
        message = error.get("message") if isinstance(error, Mapping) else None
        shown = message if isinstance(message, str) else "the upstream reported an error without a message"
        return (Failed(shown, error_type(error)),)

    def _start(self, body: Mapping[str, Any]) -> tuple[StreamEvent, ...]:
        if self._is_started:
            raise UpstreamFailed("the upstream's stream begins twice")
        self._is_started = True
        message = _object(body, "message")
        self._usage = merge_usage({}, message.get("usage"))
        usage = read_usage(self._usage) if self._usage else None
        return (Started(text_or_empty(message.get("id")), text_or_empty(message.get("model")), usage=usage),)

    def _begin_block(self, body: Mapping[str, Any]) -> tuple[StreamEvent, ...]:
        wire_index = _read_index(body)
        if wire_index in self._blocks:
            raise UpstreamFailed("the upstream's stream begins a content block twice")
        content = _object(body, "content_block")
        kind = _KINDS.get(text_or_empty(content.get("type")))
        if kind is None:
            self._blocks[wire_index] = None
            return ()
        block = _Block(self._part_count, kind)
        self._blocks[wire_index] = block
        self._part_count += 1
        match kind:
            case PartKind.REDACTED_THINKING:
                return (PartStarted(block.index, kind, data=required_text(content, "data")),)
            case PartKind.TOOL_CALL:
                self._has_tool_calls = True
                block.given_input = content.get("input")
                call_id, name = required_text(content, "id"), required_text(content, "name")
                return (PartStarted(block.index, kind, call_id=call_id, name=name),)
            case _:
                return (PartStarted(block.index, kind), *_given_text(block, content))

    def _add(self, body: Mapping[str, Any]) -> tuple[StreamEvent, ...]:
        block = self._open_block(_read_index(body))
        if block is None:
            return ()
        delta = _object(body, "delta")
        delta_type = text_or_empty(delta.get("type"))
        if delta_type == "signature_delta" and block.kind is PartKind.THINKING:
            signature = text_or_empty(delta.get("signature"))
            return (Signed(block.index, signature),) if signature else ()
        key = _DELTA_TEXTS.get((block.kind, delta_type))
        text = text_or_empty(delta.get(key)) if key is not None else ""
        if not text:
            return ()
        block.has_text = True
        return (Delta(block.index, text),)

    def _end_block(self, wire_index: int) -> tuple[StreamEvent, ...]:
        block = self._open_block(wire_index)
        self._blocks[wire_index] = None
        return () if block is None else _ending(block)

    def _update(self, body: Mapping[str, Any]) -> tuple[StreamEvent, ...]:
        self._usage = merge_usage(self._usage, body.get("usage"))
        used = Used(read_usage(self._usage))
        delta = _object(body, "delta")
        reason = delta.get("stop_reason")
        if reason is None or self._is_stopped:
            return (used,)
        stop = read_stop(reason, has_tool_calls=self._has_tool_calls)
        explanation = refusal_explanation(delta.get("stop_details"))
        spoken: tuple[StreamEvent, ...] = ()
        if stop is StopReason.REFUSAL and explanation is not None:
            index = self._part_count
            self._part_count += 1
            spoken = (PartStarted(index, PartKind.REFUSAL), Delta(index, explanation), PartEnded(index))
        self._is_stopped = True
        stopped = Stopped(stop, text_or_empty(delta.get("stop_sequence")) or None)
        return (*self._end_open_blocks(), *spoken, stopped, used)

    def _finish(self) -> tuple[StreamEvent, ...]:
        self._is_over = True
        if self._is_stopped:
            return (Finished(),)
        stop = read_stop(None, has_tool_calls=self._has_tool_calls)
        return (*self._end_open_blocks(), Stopped(stop), Finished())

    def _open_block(self, wire_index: int) -> _Block | None:
        if wire_index not in self._blocks:
            raise UpstreamFailed("the upstream's stream continues a content block that it never began")
        return self._blocks[wire_index]

    def _end_open_blocks(self) -> tuple[StreamEvent, ...]:
        """Servers that forget ``content_block_stop`` still leave whole parts."""
        endings: list[StreamEvent] = []
        for wire_index, block in self._blocks.items():
            if block is not None:
                self._blocks[wire_index] = None
                endings += _ending(block)
        return tuple(endings)


def _given_text(block: _Block, content: Mapping[str, Any]) -> tuple[StreamEvent, ...]:
    """Text and signature that stand in the block's start; Anthropic itself sends them empty there."""
    given: list[StreamEvent] = []
    text = text_or_empty(content.get("text" if block.kind is PartKind.TEXT else "thinking"))
    if text:
        given.append(Delta(block.index, text))
    signature = text_or_empty(content.get("signature"))
    if signature and block.kind is PartKind.THINKING:
        given.append(Signed(block.index, signature))
    return tuple(given)


def _ending(block: _Block) -> tuple[StreamEvent, ...]:
    """A tool call without arguments streams no JSON at all; unstreamed, its input is ``{}``."""
    if block.kind is PartKind.TOOL_CALL and not block.has_text:
        return (Delta(block.index, write_arguments(block.given_input)), PartEnded(block.index))
    return (PartEnded(block.index),)


def _read_object(data: bytes) -> Mapping[str, Any]:
    try:
        body = loads(data)
    except InvalidRequest as fault:
        raise UpstreamFailed("the upstream sent a stream event that is not valid JSON") from fault
    if not isinstance(body, Mapping):
        raise UpstreamFailed("the upstream sent a stream event that is not a JSON object")
    return body


def _object(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    if not isinstance(value, Mapping):
        raise UpstreamFailed(f"the upstream sent a stream event without its '{key}'")
    return value


def _read_index(body: Mapping[str, Any]) -> int:
    index = body.get("index")
    if isinstance(index, bool) or not isinstance(index, int):
        raise UpstreamFailed("the upstream sent a content block event without its 'index'")
    return index
