"""A batch's file, line by line: split without holding it, each line judged by what a live request must be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from gateway.dialects.json_bytes import loads, top_level_spans
from gateway.dialects.stored_names import stored_names
from gateway.domain.ask import NO_HINTS, Ask, Endpoint
from gateway.domain.background import LineFault
from gateway.errors import InvalidRequest
from gateway.http.door import read_ask

_MOST_CUSTOM_ID = 512
_AROUND_BODY = 4096
"""What a line may have beside its request's body."""


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch; ``stays_here`` where only this gateway can answer it as it is to be answered.

    A provider knows no deadline and no ceiling of one request, which a ``ponder`` field may set; nor which of
    the things that it has stored are whose. Tags are ours alone to note.
    """

    number: int
    custom_id: str
    model: str
    body: bytes
    stays_here: bool = False


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line's bytes, without its end; None where it is too long to be held."""

    number: int
    data: bytes | None


async def split(chunks: AsyncIterator[bytes], *, most_bytes: int) -> AsyncIterator[RawLine]:
    """The lines of a file in order, counted from 1; empty ones count and are left out."""
    most = most_bytes + _AROUND_BODY
    rest = bytearray()
    number, is_too_long = 1, False
    async for chunk in chunks:
        *whole, tail = chunk.split(b"\n")
        for piece in whole:
            rest += piece
            if is_too_long or len(rest) > most:
                yield RawLine(number, None)
            elif data := bytes(rest).strip():
                yield RawLine(number, data)
            rest.clear()
            number, is_too_long = number + 1, False
        rest += tail
        if len(rest) > most:
            rest.clear()
            is_too_long = True
    if is_too_long:
        yield RawLine(number, None)
    elif data := bytes(rest).strip():
        yield RawLine(number, data)


def read_line(raw: RawLine, endpoint: Endpoint, *, most_bytes: int) -> Line | LineFault:
    """The request of a line, or what is wrong with it."""
    if raw.data is None:
        return _too_long(raw.number, most_bytes)
    try:
        document = loads(raw.data)
        if not isinstance(document, dict):
            return LineFault("invalid_json_line", "a line must be a JSON object", raw.number)
        spans = top_level_spans(raw.data)
    except InvalidRequest as fault:
        return LineFault("invalid_json_line", fault.message.replace("the body", "the line"), raw.number, fault.param)
    custom_id = document.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _MOST_CUSTOM_ID or not custom_id.isprintable():
        message = f"'custom_id' must be a string of 1 to {_MOST_CUSTOM_ID} characters, without control characters"
        return LineFault("invalid_custom_id", message, raw.number, "custom_id")
    if document.get("method") != "POST":
        return LineFault("invalid_method", "'method' must be 'POST'", raw.number, "method")
    if document.get("url") != endpoint.path:
        return LineFault("mismatched_url", f"'url' must be the batch's endpoint, {endpoint.path}", raw.number, "url")
    if "body" not in spans:
        return LineFault("missing_required_parameter", "'body' must be the request's JSON", raw.number, "body")
    start, end = spans["body"]
    if end - start > most_bytes:
        return _too_long(raw.number, most_bytes)
    body = raw.data[start:end]
    try:
        ask = read_ask(body, {}, endpoint=endpoint, request_id="", started_at=0.0, started=0.0)
        _check(ask)
    except InvalidRequest as fault:
        return LineFault("invalid_request", fault.message, raw.number, f"body.{fault.param}" if fault.param else "body")
    stays_here = replace(ask.hints, tags={}) != NO_HINTS or bool(stored_names(endpoint.dialect, ask.body))
    return Line(raw.number, custom_id, ask.model, body, stays_here=stays_here)


def _check(ask: Ask) -> None:
    if ask.body.get("stream"):
        raise InvalidRequest("'stream' must be false in a batch: each answer is one line of its output", param="stream")
    if ask.body.get("background"):
        raise InvalidRequest(
            "'background' must be false in a batch, which is answered later as it is", param="background"
        )
    if not ask.model.isprintable():
        raise InvalidRequest("'model' must not hold control characters", param="model")


def _too_long(number: int, most_bytes: int) -> LineFault:
    message = f"the request is larger than {most_bytes} bytes, the limit set by limits.body_bytes"
    return LineFault("request_too_large", message, number, "body")
