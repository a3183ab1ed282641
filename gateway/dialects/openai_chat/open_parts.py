"""The parts of a streamed answer while they are still growing.

Chat deltas do not say where a part begins or ends: a part ends when one of another kind begins, a
tool call when the next begins and its own arguments are whole. Calls of a server that interleaves
them therefore stay open together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.dialects.openai_chat.calls import function_of, id_of, make_id, nameless
from gateway.dialects.openai_chat.thinking import ThinkingPart
from gateway.domain.chat import RedactedThinking
from gateway.domain.events import Delta, PartEnded, PartKind, PartStarted, Signed, StreamEvent
from gateway.errors import UpstreamFailed


@dataclass(slots=True)
class _Call:
    """One tool call; it begins for others (``index``) when its name is known."""

    position: int
    given_id: str = ""
    index: int | None = None
    is_open: bool = True
    pieces: list[str] = field(default_factory=list)

    def is_whole(self) -> bool:
        arguments = "".join(self.pieces).strip()
        if not (arguments.startswith("{") and arguments.endswith("}")):
            return False
        try:
            orjson.loads(arguments.encode("utf-8", "surrogatepass"))
        except orjson.JSONDecodeError:
            return False
        return True

    def is_another(self, call_id: str, name: str, arguments: str) -> bool:
        """Whether a delta at this call's place begins a new call.

        Gemini's server puts every parallel call at index 0; older vLLM gives each delta of one
        call a new id, but names the function only in the first.
        """
        if not name:
            return False
        if call_id and self.given_id:
            return call_id != self.given_id
        return bool(arguments.strip()) and self.is_whole()


class OpenParts:
    """Turns deltas into part events; ``events`` collects them until they are taken."""

    __slots__ = ("_answer_id", "_calls", "_events", "_index", "_kind", "_order", "_thought", "refused")

    def __init__(self) -> None:
        self._answer_id = ""
        self._calls: dict[int, _Call] = {}
        self._order: list[_Call] = []
        self._events: list[StreamEvent] = []
        self._index = -1
        self._kind: PartKind | None = None
        self._thought: list[str] = []
        self.refused = False

    def begin(self, answer_id: str) -> None:
        """The answer's id, from which missing call ids are made."""
        self._answer_id = answer_id

    def take(self) -> list[StreamEvent]:
        """The events since the last time."""
        events, self._events = self._events, []
        return events

    @property
    def has_calls(self) -> bool:
        return bool(self._order)

    @property
    def has_broken_call(self) -> bool:
        """Whether a tool call's arguments have begun and are not whole."""
        return any(call.is_open and "".join(call.pieces).strip() and not call.is_whole() for call in self._order)

    def say(self, kind: PartKind, text: str) -> None:
        """More text, refusal or thinking."""
        if self._kind is not kind:
            self._start(kind)
        if kind is PartKind.THINKING:
            self._thought.append(text)
        self.refused = self.refused or kind is PartKind.REFUSAL
        self._events.append(Delta(self._index, text))

    def add_block(self, block: ThinkingPart) -> None:
        """A thinking block: the text that has just come, repeated whole to sign or end it, or a new one."""
        if isinstance(block, RedactedThinking):
            self._end_current()
            self._index += 1
            self._events.append(PartStarted(self._index, PartKind.REDACTED_THINKING, data=block.data))
            self._events.append(PartEnded(self._index))
            return
        is_repeated = self._kind is PartKind.THINKING and block.text in ("", "".join(self._thought))
        if block.signature is None:
            if block.text and is_repeated:
                self._end_current()
            elif block.text:
                self.say(PartKind.THINKING, block.text)
            return
        if not is_repeated:
            self._start(PartKind.THINKING)
            if block.text:
                self._events.append(Delta(self._index, block.text))
        self._events.append(Signed(self._index, block.signature))
        self._end_current()

    def add_call(self, delta: Mapping[str, Any]) -> None:
        """More of a tool call, or a whole one."""
        call_id, (name, arguments) = id_of(delta), function_of(delta)
        call = self._find_call(delta.get("index"), call_id, name, arguments)
        if not call.is_open:
            if arguments.strip():
                raise UpstreamFailed("the upstream's stream adds to a tool call whose arguments were whole")
            return
        if arguments:
            call.pieces.append(arguments)
        if call.index is not None:
            if arguments:
                self._events.append(Delta(call.index, arguments))
        elif name:
            self._begin_call(call, name)

    def _find_call(self, place: Any, call_id: str, name: str, arguments: str) -> _Call:
        if isinstance(place, int) and not isinstance(place, bool):
            call = self._calls.get(place)
        else:  # a server without indices: by id, or else it goes on with the last
            last = self._order[-1] if self._order else None
            call = next((known for known in self._order if call_id and known.given_id == call_id), last)
            place = None
        if call is None or call.is_another(call_id, name, arguments):
            call = _Call(len(self._order))
            self._order.append(call)
            if place is not None:
                self._calls[place] = call
        call.given_id = call.given_id or call_id
        return call

    def _begin_call(self, call: _Call, name: str) -> None:
        self._end_current()
        self._index += 1
        call.index = self._index
        call_id = call.given_id or make_id(self._answer_id, call.position)
        self._events.append(PartStarted(call.index, PartKind.TOOL_CALL, call_id=call_id, name=name))
        if call.pieces:
            self._events.append(Delta(call.index, "".join(call.pieces)))

    def _start(self, kind: PartKind) -> None:
        self._end_current()
        self._index += 1
        self._kind = kind
        self._events.append(PartStarted(self._index, kind))

    def _end_current(self) -> None:
        """End what another part's beginning shows to be complete."""
        if self._kind is not None:
            self._events.append(PartEnded(self._index))
            self._kind = None
            self._thought.clear()
        for call in self._order:
            if call.is_open and call.index is not None and call.is_whole():
                self._end_call(call, call.index)

    def _end_call(self, call: _Call, index: int) -> None:
        call.is_open = False
        self._events.append(PartEnded(index))

    def end_all(self) -> None:
        """The model has stopped: every part is complete."""
        self._end_current()
        for call in self._order:
            if call.index is None:
                raise nameless()
            if call.is_open:
                self._end_call(call, call.index)
