"""How a stream's events reach the client: as they are, or translated. One interface for both."""

from __future__ import annotations

from typing import Protocol

from gateway.dialects.codec import Codec, StreamReader, StreamWriter
from gateway.dialects.sse import parse
from gateway.dialects.tap import Tap, Verdict
from gateway.domain.events import Delta, Failed, Finished, PartKind, PartStarted, Started, Stopped, Used
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed

_READABLE = (PartKind.TEXT, PartKind.REFUSAL)


class View(Protocol):
    """What the client sees of each upstream event, and what was learned on the way."""

    @property
    def answer_id(self) -> str | None: ...

    @property
    def finish(self) -> str | None: ...

    @property
    def error(self) -> str | None: ...

    @property
    def deltas(self) -> int:
        """Content events so far: a floor for the output tokens when no usage comes."""
        ...

    @property
    def has_text(self) -> bool:
        """Whether anything but thinking and blank space came."""
        ...

    def take(self, event: bytes) -> tuple[Verdict, bytes, bytes]:
        """The verdict on one upstream event, the bytes that the client gets for it, and the terminal event's."""
        ...

    def usage(self) -> Usage | None:
        """The provider's usage so far."""
        ...

    def failure(self, message: str, kind: str) -> bytes:
        """An error event in the client's dialect, for a stream that breaks."""
        ...


class PassThrough:
    """Events of a same-dialect stream, bytes untouched."""

    __slots__ = ("_codec", "_tap")

    def __init__(self, tap: Tap, codec: Codec) -> None:
        self._tap = tap
        self._codec = codec

    @property
    def answer_id(self) -> str | None:
        return self._tap.answer_id

    @property
    def finish(self) -> str | None:
        return self._tap.finish

    @property
    def error(self) -> str | None:
        return self._tap.error

    @property
    def deltas(self) -> int:
        return self._tap.deltas

    @property
    def has_text(self) -> bool:
        return self._tap.has_text

    def take(self, event: bytes) -> tuple[Verdict, bytes, bytes]:
        if not event.isascii():
            _check_utf8(event)
        verdict = self._tap.see(event)
        return (verdict, b"", event) if verdict is Verdict.TERMINAL else (verdict, event, b"")

    def usage(self) -> Usage | None:
        return None if self._tap.answer is None else self._codec.find_usage(self._tap.answer)

    def failure(self, message: str, kind: str) -> bytes:
        return self._codec.writer(include_usage=False).write(Failed(message, kind))


def _check_utf8(event: bytes) -> None:
    """Refuse bytes that no client could decode; a JSON parser would, and most events meet none on their way."""
    try:
        event.decode()
    except UnicodeDecodeError as fault:
        raise UpstreamFailed("the upstream sent a stream event that is not UTF-8") from fault


class Translated:
    """Events read in the upstream's dialect and written in the client's, one by one."""

    __slots__ = ("_reader", "_texts", "_usage", "_writer", "answer_id", "deltas", "error", "finish", "has_text")

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._usage: Usage | None = None
        self.answer_id: str | None = None
        self.finish: str | None = None
        self.error: str | None = None
        self.deltas = 0
        self.has_text = False
        self._texts: set[int] = set()

    def take(self, event: bytes) -> tuple[Verdict, bytes, bytes]:
        parsed = parse(event)
        if parsed is None:
            return Verdict.DROP, b"", b""
        verdict = Verdict.PASS
        pieces: list[bytes] = []
        for happening in self._reader.feed(parsed):
            match happening:
                case Delta():
                    self.deltas += 1
                    if not self.has_text and happening.index in self._texts:
                        self.has_text = bool(happening.text.strip())
                case PartStarted():
                    if happening.kind in _READABLE:
                        self._texts.add(happening.index)
                    self.has_text = self.has_text or happening.kind is PartKind.TOOL_CALL
                case Started():
                    self.answer_id = happening.id
                    self._usage = happening.usage
                case Stopped():
                    self.finish = happening.reason.value
                case Used():
                    self._usage = happening.usage
                case Failed():
                    self.error = happening.kind or "error"
                    verdict = Verdict.ERROR
                case Finished():
                    return Verdict.TERMINAL, b"".join(pieces), self._writer.write(happening)
                case _:
                    pass
            pieces.append(self._writer.write(happening))
        return verdict, b"".join(pieces), b""

    def usage(self) -> Usage | None:
        return self._usage

    def failure(self, message: str, kind: str) -> bytes:
        return self._writer.write(Failed(message, kind))
