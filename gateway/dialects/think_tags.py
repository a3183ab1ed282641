"""Thinking that a model writes into its text, between ``<think>`` and ``</think>``, told apart from the answer.

Works on neutral events, so it can stand behind any dialect's reader: what was tagged text becomes a
thinking part, and reaches each client as its dialect's own thinking. How the text is cut into
deltas changes nothing. Tags count at the beginning of a line only; the answer loses the blank space
around what is taken out of it, and an answer without tags is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from gateway.dialects.codec import StreamReader
from gateway.dialects.sse import SseEvent
from gateway.domain.capabilities import Capability, Control
from gateway.domain.chat import Answer, Part, Text, Thinking
from gateway.domain.events import Delta, PartEnded, PartKind, PartStarted, Signed, StreamEvent

OPEN: Final = "<think>"
CLOSE: Final = "</think>"


class Opening(Enum):
    """Who writes the first ``<think>``."""

    BY_MODEL = auto()
    """The model, at the very beginning, or there is no thinking: text may be passed on at once."""
    BY_EITHER = auto()
    """The model, or the server's template, which does not show it: text is held until the first tag, or the end."""


def opening_of(capability: Capability) -> Opening:
    """Who opens thinking: a model asked by our prompt does it itself, a template may have done it already."""
    return Opening.BY_MODEL if capability.control is Control.PLAIN else Opening.BY_EITHER


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of the answer, or of the thinking before it."""

    is_thinking: bool
    text: str


class _State(Enum):
    BEGINNING = auto()
    TEXT = auto()
    THINKING = auto()
    DOUBT = auto()
    """A ``</think>`` has closed an inner ``<think>``, or all of the thinking: what follows tells."""


class TagSplitter:
    """Splits one text, delta by delta. Thinking that is never closed goes to the end."""

    __slots__ = ("_depth", "_held", "_is_fresh", "_is_line_start", "_opening", "_out", "_rest", "_space", "_state")

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._state = _State.BEGINNING
        self._rest = ""
        """The end of what came, as far as it may be the beginning of a tag."""
        self._held = ""
        self._space = ""
        """Blank space at the end of the thinking so far: dropped if the thinking ends here."""
        self._depth = 0
        self._is_fresh = True
        """Whether nothing but blank space has come since the text or the thinking began."""
        self._is_line_start = True
        self._out: list[Piece] = []

    def feed(self, text: str) -> tuple[Piece, ...]:
        """The pieces that are certain now."""
        self._rest += text
        while (place := self._rest.find("<")) >= 0:
            if place:
                self._say(self._rest[:place])
                self._rest = self._rest[place:]
            tag = next((tag for tag in (OPEN, CLOSE) if self._rest.startswith(tag)), None)
            if tag is not None:
                self._rest = self._rest.removeprefix(tag)
                self._meet(tag)
            elif OPEN.startswith(self._rest) or CLOSE.startswith(self._rest):
                return self._taken()
            else:
                self._say("<")
                self._rest = self._rest[1:]
        self._say(self._rest)
        self._rest = ""
        return self._taken()

    def close(self) -> tuple[Piece, ...]:
        """The pieces that were held, as the text has ended."""
        self._say(self._rest)
        self._rest = ""
        if self._state in {_State.BEGINNING, _State.DOUBT}:
            held, self._held = self._held, ""
            is_answer = self._state is _State.DOUBT
            self._state = _State.TEXT
            self._emit(is_thinking=False, text=held.lstrip() if is_answer else held)
        return self._taken()

    def _taken(self) -> tuple[Piece, ...]:
        taken, self._out = tuple(self._out), []
        return taken

    def _say(self, text: str) -> None:
        if not text:
            return
        match self._state:
            case _State.BEGINNING:
                self._held += text
                if self._opening is Opening.BY_MODEL and self._held.strip():
                    held, self._held = self._held, ""
                    self._begin_text(is_fresh=False)
                    self._say(held)
            case _State.TEXT:
                self._say_text(text)
            case _State.THINKING:
                self._say_thinking(text)
            case _State.DOUBT:
                self._held += text

    def _say_text(self, text: str) -> None:
        if self._is_fresh:
            text = text.lstrip()
            if not text:
                return
            self._is_fresh = False
        self._emit(is_thinking=False, text=text)
        line = text[text.rfind("\n") + 1 :]
        self._is_line_start = not line.strip() and ("\n" in text or self._is_line_start)

    def _say_thinking(self, text: str) -> None:
        if self._is_fresh:
            text = text.lstrip()
        if not text:
            return
        self._is_fresh = False
        said = self._space + text
        kept = said.rstrip()
        self._space = said[len(kept) :]
        self._emit(is_thinking=True, text=kept)

    def _emit(self, *, is_thinking: bool, text: str) -> None:
        if text:
            self._out.append(Piece(is_thinking, text))

    def _meet(self, tag: str) -> None:
        match self._state:
            case _State.BEGINNING:
                self._meet_first(tag)
            case _State.TEXT:
                self._meet_in_text(tag)
            case _State.THINKING:
                self._meet_in_thinking(tag)
            case _State.DOUBT:
                self._meet_in_doubt(tag)

    def _meet_first(self, tag: str) -> None:
        held, self._held = self._held, ""
        if tag == CLOSE:  # the template opened it
            self._begin_thinking()
            self._say_thinking(held)
            self._begin_text(is_fresh=True)
        elif held.strip():
            self._begin_text(is_fresh=False)
            self._say_text(held)
            self._meet_in_text(tag)
        else:
            self._begin_thinking()

    def _meet_in_text(self, tag: str) -> None:
        if tag == OPEN and (self._is_fresh or self._is_line_start):
            self._begin_thinking()
        elif tag == OPEN or not self._is_fresh:
            self._say_text(tag)

    def _meet_in_thinking(self, tag: str) -> None:
        if tag == OPEN:
            self._say_thinking(tag)
            self._depth += 1
        elif self._depth == 1:
            self._begin_text(is_fresh=True)
        else:
            self._state = _State.DOUBT

    def _meet_in_doubt(self, tag: str) -> None:
        """Another tag: what was held since the last ``</think>`` is thinking still."""
        held, self._held = self._held, ""
        self._say_thinking(CLOSE + held)
        if tag == OPEN:
            self._say_thinking(tag)
            self._state = _State.THINKING
            return
        self._depth -= 1
        if self._depth == 1:
            self._begin_text(is_fresh=True)

    def _begin_thinking(self) -> None:
        self._state, self._depth, self._is_fresh, self._space = _State.THINKING, 1, True, ""

    def _begin_text(self, *, is_fresh: bool) -> None:
        self._state, self._is_fresh, self._is_line_start, self._space = _State.TEXT, is_fresh, True, ""


def split_answer(answer: Answer, opening: Opening) -> Answer:
    """The whole answer with its tagged thinking in parts of their own; equal to what :class:`TagReader` streams."""
    parts: list[Part] = []
    for part in answer.parts:
        if not isinstance(part, Text):
            parts.append(part)
            continue
        splitter = TagSplitter(opening)
        opening = Opening.BY_MODEL
        pieces = _joined((*splitter.feed(part.text), *splitter.close()))
        parts += [Thinking(piece.text) if piece.is_thinking else Text(piece.text) for piece in pieces]
    return replace(answer, parts=tuple(parts))


def _joined(pieces: tuple[Piece, ...]) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].is_thinking == piece.is_thinking:
            joined[-1] = Piece(piece.is_thinking, joined[-1].text + piece.text)
        else:
            joined.append(piece)
    return joined


class TagReader:
    """A reader whose text parts are split; parts are numbered anew, as one may become several."""

    def __init__(self, reader: StreamReader, opening: Opening) -> None:
        self._reader = reader
        self._opening = opening
        self._splitter: TagSplitter | None = None
        """Of the text part that is open."""
        self._text_index: int | None = None
        """The reader's own number of that part."""
        self._open: tuple[int, bool] | None = None
        """Our number of the piece's part that is open, and whether it is thinking."""
        self._numbers: dict[int, int] = {}
        self._next = 0

    def feed(self, event: SseEvent) -> tuple[StreamEvent, ...]:
        """The neutral events that one SSE event brings."""
        out: list[StreamEvent] = []
        for happening in self._reader.feed(event):
            self._take(happening, out)
        return tuple(out)

    def _take(self, event: StreamEvent, out: list[StreamEvent]) -> None:
        match event:
            case PartStarted(index, PartKind.TEXT):
                self._end_text(out)
                self._begin_text(index)
            case PartStarted(index):
                self._end_text(out)
                self._numbers[index] = self._next
                self._next += 1
                out.append(replace(event, index=self._numbers[index]))
            case Delta(index, text) if index not in self._numbers:
                if index != self._text_index:
                    self._begin_text(index)
                if self._splitter is not None:
                    self._tell(self._splitter.feed(text), out)
            case PartEnded(index) if index not in self._numbers:
                if index == self._text_index:
                    self._end_text(out)
            case Delta(index) | PartEnded(index) | Signed(index):
                out.append(replace(event, index=self._numbers[index]))
            case _:
                out.append(event)

    def _begin_text(self, index: int) -> None:
        self._splitter, self._text_index = TagSplitter(self._opening), index
        self._opening = Opening.BY_MODEL

    def _end_text(self, out: list[StreamEvent]) -> None:
        if self._splitter is None:
            return
        self._tell(self._splitter.close(), out)
        if self._open is not None:
            out.append(PartEnded(self._open[0]))
        self._splitter = self._text_index = self._open = None

    def _tell(self, pieces: tuple[Piece, ...], out: list[StreamEvent]) -> None:
        for piece in pieces:
            if self._open is not None and self._open[1] != piece.is_thinking:
                out.append(PartEnded(self._open[0]))
                self._open = None
            if self._open is None:
                self._open = (self._next, piece.is_thinking)
                self._next += 1
                kind = PartKind.THINKING if piece.is_thinking else PartKind.TEXT
                out.append(PartStarted(self._open[0], kind))
            out.append(Delta(self._open[0], piece.text))
