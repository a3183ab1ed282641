"""Taps: reading usage out of a passing stream without touching its bytes.

A tap sees each whole event of a same-dialect stream and says what to do with it. Only events
that can matter are parsed, chosen by a byte search, so an ordinary delta costs one ``in``, and
those before the answer's first text another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Protocol

from gateway.dialects.emptied import block_says, item_says, message_says
from gateway.dialects.json_bytes import loads
from gateway.dialects.sse import parse
from gateway.domain.chat import Dialect
from gateway.errors import InvalidRequest, UpstreamFailed


class Verdict(Enum):
    """What to do with an event."""

    PASS = 1
    DROP = 2
    TERMINAL = 3
    """The dialect's last event."""
    ERROR = 4
    """The upstream reports an error inside the stream; ``Tap.error`` says which."""


class Tap(Protocol):
    """What was learned from the events seen so far."""

    answer: dict[str, Any] | None
    """What :meth:`gateway.dialects.codec.Codec.find_usage` reads; None until a usage came."""
    answer_id: str | None
    finish: str | None
    error: str | None
    deltas: int
    """Events that carried answer content: a floor for the output tokens when no usage comes."""
    has_text: bool
    """Whether more than thinking and blank space came."""

    def see(self, event: bytes) -> Verdict: ...


def _object(event: bytes) -> dict[str, Any]:
    parsed = parse(event)
    return {} if parsed is None else _read_object(parsed.data)


def _read_object(data: bytes) -> dict[str, Any]:
    try:
        value = loads(data)
    except InvalidRequest as fault:
        raise UpstreamFailed("the upstream sent a stream event that is not valid JSON") from fault
    if not isinstance(value, dict):
        raise UpstreamFailed("the upstream sent a stream event that is not a JSON object")
    return value


def _id_of(answer: Mapping[str, Any]) -> str:
    identity = answer.get("id")
    return identity if isinstance(identity, str) else ""


def _is_said(text: object) -> bool:
    return not isinstance(text, str) or bool(text.strip())


def error_kind(error: object) -> str:
    """The type or code of an upstream's error object; never its message, which may quote a prompt."""
    if isinstance(error, Mapping):
        for name in ("type", "code"):
            if isinstance(error.get(name), str):
                return str(error[name])[:64]
    return "error"


class ChatTap:
    """openai-chat. ``hides_usage``: the client did not ask for the usage chunk that we asked for."""

    __slots__ = ("_hides_usage", "answer", "answer_id", "deltas", "error", "finish", "has_text")

    _TEXT = re.compile(rb'"(?:content|refusal)"\s*:\s*(?:\[|"(?!"))|"tool_calls"\s*:\s*\[')
    """What may be text, and not thinking: quotes inside a text are escaped, and match nowhere."""

    def __init__(self, *, hides_usage: bool) -> None:
        self._hides_usage = hides_usage
        self.answer: dict[str, Any] | None = None
        self.answer_id: str | None = None
        self.finish: str | None = None
        self.error: str | None = None
        self.deltas = 0
        self.has_text = False

    def see(self, event: bytes) -> Verdict:
        """Judge one event."""
        if b'"usage":null' in event or b'"usage": null' in event or b'"usage"' not in event:
            if (
                self.answer_id is not None
                and b'"finish_reason":null' in event
                and (self.has_text or self._TEXT.search(event) is None)
            ):
                self.deltas += 1
                return Verdict.PASS
            if event.startswith((b"data: [DONE]", b"data:[DONE]")):
                return Verdict.TERMINAL
        parsed = parse(event)
        if parsed is None:
            return Verdict.PASS
        if parsed.data == b"[DONE]":  # after a comment or a name of its own
            return Verdict.TERMINAL
        return self._read(_read_object(parsed.data))

    def _read(self, chunk: dict[str, Any]) -> Verdict:
        if chunk.get("error") is not None:
            self.error = error_kind(chunk["error"])
            return Verdict.ERROR
        if not self.answer_id:  # Azure's first chunk has an empty one
            self.answer_id = _id_of(chunk)
        choices = chunk.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            self.deltas += 1
            if isinstance(choices[0].get("finish_reason"), str):
                self.finish = choices[0]["finish_reason"]
            self.has_text = self.has_text or any(
                message_says(choice.get("delta")) for choice in choices if isinstance(choice, dict)
            )
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.answer = {"usage": usage, "service_tier": chunk.get("service_tier")}
            if self._hides_usage and choices == []:
                return Verdict.DROP
        return Verdict.PASS


class MessagesTap:
    """anthropic-messages: input usage at ``message_start``, cumulative usage at ``message_delta``."""

    __slots__ = ("answer", "answer_id", "deltas", "error", "finish", "has_text")

    def __init__(self) -> None:
        self.answer: dict[str, Any] | None = None
        self.answer_id: str | None = None
        self.finish: str | None = None
        self.error: str | None = None
        self.deltas = 0
        self.has_text = False

    def see(self, event: bytes) -> Verdict:
        """Judge one event."""
        if b"content_block_delta" in event[:40]:
            self.deltas += 1
            if not self.has_text and b'"text_delta"' in event:
                delta = _object(event).get("delta")
                self.has_text = not isinstance(delta, dict) or _is_said(delta.get("text"))
            return Verdict.PASS
        body = _object(event)
        match body.get("type"):
            case "content_block_start":
                self.has_text = self.has_text or block_says(body.get("content_block"))
            case "message_start":
                message = body.get("message")
                if isinstance(message, dict):
                    self.answer_id = _id_of(message)
                    self._merge(message.get("usage"))
            case "message_delta":
                delta = body.get("delta")
                if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
                    self.finish = delta["stop_reason"]
                self._merge(body.get("usage"))
            case "message_stop":
                return Verdict.TERMINAL
            case "error":
                self.error = error_kind(body.get("error"))
                return Verdict.ERROR
            case _:
                pass
        return Verdict.PASS

    def _merge(self, usage: object) -> None:
        if isinstance(usage, dict):
            said = {name: value for name, value in usage.items() if value is not None}
            earlier = self.answer["usage"] if self.answer is not None else {}
            self.answer = {"usage": {**earlier, **said}}


class ResponsesTap:
    """openai-responses: the terminal event carries the whole response, usage included."""

    __slots__ = ("answer", "answer_id", "deltas", "error", "finish", "has_text")

    _NAMES = re.compile(rb"response\.(?:completed|incomplete|failed|created)|\"error\"")
    _TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

    def __init__(self) -> None:
        self.answer: dict[str, Any] | None = None
        self.answer_id: str | None = None
        self.finish: str | None = None
        self.error: str | None = None
        self.deltas = 0
        self.has_text = False

    def see(self, event: bytes) -> Verdict:
        """Judge one event."""
        if b".delta" in event[:80]:
            self.deltas += 1
            if not self.has_text and b"reasoning" not in event[:80]:
                self.has_text = _is_said(_object(event).get("delta"))
            return Verdict.PASS
        if self._NAMES.search(event) is None:
            return Verdict.PASS
        return self._read(_object(event))

    def _read(self, body: dict[str, Any]) -> Verdict:
        kind = body.get("type")
        if kind == "error":
            self.error = error_kind(body.get("error", body))
            return Verdict.ERROR
        response = body.get("response")
        if not isinstance(response, dict):
            return Verdict.PASS
        self.answer_id = _id_of(response)
        if kind not in self._TERMINAL:
            return Verdict.PASS
        output = response.get("output")
        self.has_text = self.has_text or (isinstance(output, list) and any(map(item_says, output)))
        if isinstance(response.get("status"), str):
            self.finish = response["status"]
        if isinstance(response.get("usage"), dict):
            self.answer = response
        if kind == "response.failed":
            self.error = error_kind(response.get("error"))
        return Verdict.TERMINAL


TAPS: dict[Dialect, Callable[[bool], Tap]] = {
    Dialect.OPENAI_CHAT: lambda hides_usage: ChatTap(hides_usage=hides_usage),
    Dialect.OPENAI_RESPONSES: lambda _: ResponsesTap(),
    Dialect.ANTHROPIC_MESSAGES: lambda _: MessagesTap(),
}
