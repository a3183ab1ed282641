"""An upstream's Responses stream, read event by event.

Parts begin with their first content, because a reasoning item often turns out to hold nothing.
Text that an upstream sends only with its ``done`` events is made up for there. Events of tools
that the upstream runs itself, and ones that are new to us, are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.dialects.json_bytes import loads
from gateway.dialects.openai_responses.answer import (
    read_created,
    read_error,
    read_response_usage,
    read_spoken,
    read_stop,
)
from gateway.dialects.openai_responses.fields import Fields, upstream_fault
from gateway.dialects.openai_responses.items import BETWEEN_SUMMARIES, read_reasoning
from gateway.dialects.sse import SseEvent
from gateway.domain.chat import RedactedThinking, Text
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

_Events: TypeAlias = Iterator[StreamEvent]
_Place: TypeAlias = tuple[int, int]
"""Output item and content part; a call or a reasoning item has one part, at 0."""

_DONE = b"[DONE]"
"""Some compatible servers end every stream with it, whatever the dialect."""


@dataclass(slots=True)
class _Part:
    """One part as far as it has come."""

    index: int
    texts: list[str] = field(default_factory=list)
    is_ended: bool = False


class ResponsesReader:
    """Reads one stream; see the module."""

    __slots__ = ("_is_over", "_kinds", "_parts", "_sections", "_started")

    def __init__(self) -> None:
        self._started = False
        self._is_over = False
        self._parts: dict[_Place, _Part] = {}
        self._kinds: set[PartKind] = set()
        self._sections: dict[int, tuple[str, int]] = {}

    def feed(self, event: SseEvent) -> tuple[StreamEvent, ...]:
        """The neutral events that ``event`` means; raises :class:`UpstreamFailed` where it has no meaning."""
        if self._is_over or event.data == _DONE:
            return ()
        try:
            body = loads(event.data)
        except InvalidRequest as fault:
            raise UpstreamFailed("the upstream sent a stream event that is not valid JSON") from fault
        if not isinstance(body, Mapping):
            raise UpstreamFailed("the upstream sent a stream event that is not a JSON object")
        fields = Fields(body, "", upstream_fault)
        kind = fields.optional_text("type") or event.name
        handler = _HANDLERS.get(kind)
        if handler is None:
            return ()
        if not self._started and kind not in _OPENING:
            raise UpstreamFailed(f"the upstream's stream begins with {kind} instead of response.created")
        return tuple(handler(self, fields))

    # What opens and closes the stream

    def _on_created(self, event: Fields) -> _Events:
        if not self._started:
            self._started = True
            response = _inner(event, "response")
            yield Started(response.text("id"), response.text("model"), read_created(response))

    def _on_finished(self, event: Fields) -> _Events:
        yield from self._on_created(event)
        response = _inner(event, "response")
        if not self._parts:
            for place, item in enumerate(response.inners("output")):
                yield from self._complete_item(place, item)
        for part in self._parts.values():
            yield from self._end(part)
        has_calls, has_refusal = PartKind.TOOL_CALL in self._kinds, PartKind.REFUSAL in self._kinds
        yield Stopped(read_stop(response, has_calls=has_calls, has_refusal=has_refusal))
        if (usage := read_response_usage(response)) is not None:
            yield Used(usage)
        self._is_over = True
        yield Finished()

    def _on_failed(self, event: Fields) -> _Events:
        self._is_over = True
        yield Failed(*read_error(_inner(event, "response").inner("error")))

    def _on_error(self, event: Fields) -> _Events:
        """The documented event is flat; OpenAI itself sends the error as an object inside it."""
        self._is_over = True
        yield Failed(*read_error(event.inner("error") or event))

    # Items

    def _on_item_added(self, event: Fields) -> _Events:
        item = _inner(event, "item")
        if item.optional_text("type") == "function_call":
            yield from self._begin_call(_whole(event, "output_index"), item)

    def _on_item_done(self, event: Fields) -> _Events:
        yield from self._complete_item(_whole(event, "output_index"), _inner(event, "item"))

    def _complete_item(self, place: int, item: Fields) -> _Events:
        match item.optional_text("type"):
            case "message":
                for number, part in enumerate(item.inners("content")):
                    yield from self._complete_content((place, number), part)
            case "function_call":
                yield from self._begin_call(place, item)
                yield from self._complete((place, 0), item.text("arguments"))
                yield from self._end(self._parts[place, 0])
            case "reasoning":
                yield from self._complete_reasoning(place, item)
            case _:
                pass

    def _begin_call(self, place: int, item: Fields) -> _Events:
        if (place, 0) not in self._parts:
            call_id, name = item.text("call_id"), item.text("name")
            yield self._begin((place, 0), PartKind.TOOL_CALL, call_id=call_id, name=name)

    def _complete_content(self, place: _Place, content: Fields) -> _Events:
        part = read_spoken(content)
        yield from self._begin_spoken(place, PartKind.TEXT if isinstance(part, Text) else PartKind.REFUSAL)
        yield from self._complete(place, part.text)
        yield from self._end(self._parts[place])

    def _complete_reasoning(self, place: int, item: Fields) -> _Events:
        thinking = read_reasoning(item)
        begun = self._parts.get((place, 0))
        if isinstance(thinking, RedactedThinking) and begun is None:
            yield self._begin((place, 0), PartKind.REDACTED_THINKING, data=thinking.data)
        elif thinking is not None:
            signature = thinking.data if isinstance(thinking, RedactedThinking) else thinking.signature
            yield from self._begin_spoken((place, 0), PartKind.THINKING)
            if not isinstance(thinking, RedactedThinking):
                yield from self._complete((place, 0), thinking.text)
            if signature is not None:
                yield Signed(self._parts[place, 0].index, signature)
        if (place, 0) in self._parts:
            yield from self._end(self._parts[place, 0])

    # Content

    def _on_content_added(self, event: Fields) -> _Events:
        kind = _SPOKEN.get(_inner(event, "part").optional_text("type") or "")
        if kind is not None:
            yield from self._begin_spoken(_content_place(event), kind)

    def _on_content_done(self, event: Fields) -> _Events:
        part = _inner(event, "part")
        if part.optional_text("type") in _SPOKEN:
            yield from self._complete_content(_content_place(event), part)

    def _on_text(self, event: Fields) -> _Events:
        yield from self._begin_spoken(_content_place(event), PartKind.TEXT)
        yield self._more(_content_place(event), event.text("delta"))

    def _on_refusal(self, event: Fields) -> _Events:
        yield from self._begin_spoken(_content_place(event), PartKind.REFUSAL)
        yield self._more(_content_place(event), event.text("delta"))

    def _on_arguments(self, event: Fields) -> _Events:
        yield self._more((_whole(event, "output_index"), 0), event.text("delta"))

    def _on_arguments_done(self, event: Fields) -> _Events:
        yield from self._complete((_whole(event, "output_index"), 0), event.text("arguments"))

    def _on_summary_added(self, event: Fields) -> _Events:
        yield from self._begin_section(event, "summary_index")

    def _on_summary(self, event: Fields) -> _Events:
        yield from self._begin_section(event, "summary_index")
        yield from self._think(event)

    def _on_reasoning(self, event: Fields) -> _Events:
        yield from self._begin_section(event, "content_index")
        yield from self._think(event)

    def _think(self, event: Fields) -> _Events:
        place = (_whole(event, "output_index"), 0)
        if text := event.text("delta"):
            yield from self._begin_spoken(place, PartKind.THINKING)
            yield self._more(place, text)

    def _begin_section(self, event: Fields, counter: str) -> _Events:
        """Summaries and raw reasoning of one item read as one text, with a blank line between them."""
        place = _whole(event, "output_index")
        section = (counter, _whole(event, counter))
        before = self._sections.setdefault(place, section)
        if section != before:
            self._sections[place] = section
            yield from self._begin_spoken((place, 0), PartKind.THINKING)
            yield self._more((place, 0), BETWEEN_SUMMARIES)

    # Parts

    def _begin_spoken(self, place: _Place, kind: PartKind) -> _Events:
        if place not in self._parts:
            yield self._begin(place, kind)

    def _begin(
        self,
        place: _Place,
        kind: PartKind,
        *,
        call_id: str | None = None,
        name: str | None = None,
        data: str | None = None,
    ) -> PartStarted:
        part = self._parts[place] = _Part(len(self._parts))
        self._kinds.add(kind)
        return PartStarted(part.index, kind, call_id=call_id, name=name, data=data)

    def _more(self, place: _Place, text: str) -> Delta:
        part = self._parts.get(place)
        if part is None or part.is_ended:
            raise UpstreamFailed("the upstream's stream adds to a part that is not open")
        part.texts.append(text)
        return Delta(part.index, text)

    def _complete(self, place: _Place, whole: str) -> _Events:
        """What ``whole`` holds beyond the deltas that came."""
        part = self._parts.get(place)
        if part is None:
            raise UpstreamFailed("the upstream's stream completes a part that it never began")
        seen = "".join(part.texts)
        if not part.is_ended and len(whole) > len(seen) and whole.startswith(seen):
            yield self._more(place, whole[len(seen) :])

    def _end(self, part: _Part) -> _Events:
        if not part.is_ended:
            part.is_ended = True
            yield PartEnded(part.index)


def _inner(event: Fields, key: str) -> Fields:
    inner = event.inner(key)
    if inner is None:
        raise event.wrong(key, "an object")
    return inner


def _whole(event: Fields, key: str) -> int:
    value = event.whole(key, least=0)
    if value is None:
        raise event.wrong(key, "a whole number of at least 0")
    return value


def _content_place(event: Fields) -> _Place:
    return _whole(event, "output_index"), _whole(event, "content_index")


_SPOKEN = {"output_text": PartKind.TEXT, "refusal": PartKind.REFUSAL}
_OPENING = frozenset({"response.created", "response.completed", "response.incomplete", "response.failed", "error"})
_HANDLERS: dict[str, Callable[[ResponsesReader, Fields], _Events]] = {
    "response.created": ResponsesReader._on_created,
    "response.completed": ResponsesReader._on_finished,
    "response.incomplete": ResponsesReader._on_finished,
    "response.failed": ResponsesReader._on_failed,
    "error": ResponsesReader._on_error,
    "response.output_item.added": ResponsesReader._on_item_added,
    "response.output_item.done": ResponsesReader._on_item_done,
    "response.content_part.added": ResponsesReader._on_content_added,
    "response.content_part.done": ResponsesReader._on_content_done,
    "response.output_text.delta": ResponsesReader._on_text,
    "response.refusal.delta": ResponsesReader._on_refusal,
    "response.function_call_arguments.delta": ResponsesReader._on_arguments,
    "response.function_call_arguments.done": ResponsesReader._on_arguments_done,
    "response.reasoning_summary_part.added": ResponsesReader._on_summary_added,
    "response.reasoning_summary_text.delta": ResponsesReader._on_summary,
    "response.reasoning_text.delta": ResponsesReader._on_reasoning,
}
