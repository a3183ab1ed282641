"""An upstream's chat completion chunks, turned into neutral events.

Only choice 0 is read. Usage may stand in a chunk of its own, on the last choice's chunk or on
every chunk; it is told after the stop, the last one last. ``[DONE]`` after an answer without
``finish_reason`` ends it (some servers send none) unless a tool call is incomplete; an end of the
stream without ``[DONE]`` gives no ``Finished``, so that a cut answer never passes for a whole one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.json_bytes import loads
from gateway.dialects.openai_chat.answer import find_error, find_text, find_usage, read_identity
from gateway.dialects.openai_chat.open_parts import OpenParts
from gateway.dialects.openai_chat.stops import BROKEN, read_stop
from gateway.dialects.openai_chat.thinking import find_blocks, find_reasoning
from gateway.dialects.sse import SseEvent
from gateway.domain.chat import Thinking
from gateway.domain.events import Failed, Finished, PartKind, Started, StreamEvent, Used
from gateway.domain.usage import Usage
from gateway.errors import InvalidRequest, UpstreamFailed

_DONE = b"[DONE]"


class Reader:
    """Reads one stream; see :class:`gateway.dialects.codec.StreamReader`."""

    __slots__ = ("_has_started", "_has_stopped", "_is_over", "_parts", "_usage")

    def __init__(self) -> None:
        self._parts = OpenParts()
        self._usage: Usage | None = None
        self._has_started = False
        self._has_stopped = False
        self._is_over = False

    def feed(self, event: SseEvent) -> tuple[StreamEvent, ...]:
        """The neutral events that one SSE event brings.

        Raises :class:`UpstreamFailed` for data that is no chunk, and for an answer that is none.
        """
        if self._is_over:
            return ()
        if event.data.strip() == _DONE:
            return self._finish()
        chunk = _parse(event.data)
        error = find_error(chunk)
        if error is None and event.name == "error":
            error = find_error({"error": chunk or "no message given"})
        if error is not None:
            return self._fail(*error)
        choice = _choice_of(chunk)
        usage = find_usage(chunk)
        if usage is None and choice is None:
            return ()
        events: list[StreamEvent] = []
        if not self._has_started:
            events.append(self._start(chunk))
        if choice is not None and not self._has_stopped:
            finish_reason = choice.get("finish_reason")
            if isinstance(finish_reason, str) and finish_reason in BROKEN:
                return (*events, *self._fail("the upstream broke off its answer", finish_reason))
            self._read_delta(choice.get("delta"))
            if finish_reason:
                self._usage = usage or self._usage
                return (*events, *self._stop(finish_reason, choice.get("stop_reason")))
            events += self._parts.take()
        if usage is not None:
            events += self._tell_usage(usage)
        return tuple(events)

    def _start(self, chunk: Mapping[str, Any]) -> Started:
        self._has_started = True
        answer_id, model, created = read_identity(chunk)
        self._parts.begin(answer_id)
        return Started(answer_id, model, created)

    def _read_delta(self, delta: Any) -> None:
        if not isinstance(delta, Mapping):
            return
        self._read_thinking(delta)
        if text := find_text(delta.get("content")):
            self._parts.say(PartKind.TEXT, text)
        if refusal := find_text(delta.get("refusal")):
            self._parts.say(PartKind.REFUSAL, refusal)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, Mapping):
                self._parts.add_call(call)
        if isinstance(delta.get("function_call"), Mapping):
            self._parts.add_call({"index": 0, "function": delta["function_call"]})

    def _read_thinking(self, delta: Mapping[str, Any]) -> None:
        blocks = find_blocks(delta)
        reasoning = find_reasoning(delta)
        if reasoning and all(isinstance(block, Thinking) and block.signature is None for block in blocks):
            blocks = ()  # litellm sends each piece of thinking in both fields
        told = "".join(block.text for block in blocks if isinstance(block, Thinking))
        if reasoning and reasoning != told:
            self._parts.say(PartKind.THINKING, reasoning)
        for block in blocks:
            self._parts.add_block(block)

    def _stop(self, finish_reason: Any, stop_sequence: Any) -> list[StreamEvent]:
        self._parts.end_all()
        events = self._parts.take()
        self._has_stopped = True
        events.append(
            read_stop(finish_reason, stop_sequence, has_calls=self._parts.has_calls, has_refusal=self._parts.refused)
        )
        if self._usage is not None:
            events.append(Used(self._usage))
        return events

    def _tell_usage(self, usage: Usage) -> list[StreamEvent]:
        """Usage as it comes after the stop; before it, it waits for the stop."""
        is_new = usage != self._usage
        self._usage = usage
        return [Used(usage)] if self._has_stopped and is_new else []

    def _finish(self) -> tuple[StreamEvent, ...]:
        if not self._has_started:
            raise UpstreamFailed("the upstream's stream ended without an answer")
        events: list[StreamEvent] = []
        if not self._has_stopped:
            if self._parts.has_broken_call:
                raise UpstreamFailed("the upstream's stream ended within a tool call")
            events = self._stop(None, None)
        self._is_over = True
        return (*events, Finished())

    def _fail(self, message: str, kind: str | None) -> tuple[StreamEvent, ...]:
        self._is_over = True
        return (Failed(message, kind),)


def _parse(data: bytes) -> Mapping[str, Any]:
    try:
        chunk = loads(data)
    except InvalidRequest as fault:
        raise UpstreamFailed("the upstream sent a stream event that is not valid JSON") from fault
    if not isinstance(chunk, Mapping):
        raise UpstreamFailed("the upstream sent a stream event that is not a JSON object")
    return chunk


def _choice_of(chunk: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Choice 0; a choice without an index is taken for it."""
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return None
    return next(
        (choice for choice in choices if isinstance(choice, Mapping) and choice.get("index") in (0, None)), None
    )
