"""JSON as bytes: reading what clients really send, and splicing values into their own bytes.

orjson is the fast path. It refuses two things that occur in real prompts: lone surrogates
(``"\\ud800"``, cut emoji in tool output) and, silently, integers beyond 64 bits (read as floats).
Both survive here: the first by the standard library's parser, the second because a pass-through
never writes what it read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

import orjson

from gateway.errors import InvalidRequest

MAX_DEPTH = 200
"""Deeper nesting is refused: no request needs it, and recursive parsers are kept safe."""

# One token at a time: a whole string, or one structural byte. Everything between is skipped by
# the regular expression engine, so the Python loop below runs per token and not per byte.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
# A whole array or object of up to _SKIPPED levels in one match, as nearly all are: each level says what stands
# between brackets, the next one below included. Nothing is tried twice: every repetition is possessive.
_SKIPPED = 12
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BETWEEN = rb'[^"\[\]{}]++|' + _STRING


def _nested(levels: int) -> bytes:
    inner = _BETWEEN if levels == 1 else _BETWEEN + b"|" + _nested(levels - 1)
    return rb"[\[{](?:" + inner + rb")*+[\]}]"


_SPACE = rb"[ \t\r\n]*+"
_VALUE = _STRING + b"|" + _nested(_SKIPPED) + rb'|[^"\[\]{}, \t\r\n]++'
_MEMBER = re.compile(_SPACE.join((b"", b"(" + _STRING + b")", b":", b"(" + _VALUE + b")", b"([,}])")), re.DOTALL)
"""A top-level member and what ends it, at once."""
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_SCALAR = re.compile(rb"[^,}\s]+")
_OPENING = frozenset(b"{[")
_QUOTE = 0x22


def loads(raw: bytes) -> Any:
    """Parse JSON bytes; lone surrogates and integers of any size survive.

    Raises :class:`InvalidRequest` with the place of the fault, never with the text around it.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as fault:
        return _loads_tolerant(raw, fault)


def _loads_tolerant(raw: bytes, fault: orjson.JSONDecodeError) -> Any:
    if b"\\u" not in raw:
        raise _not_json(fault) from fault
    try:
        return json.loads(raw, parse_constant=_refuse_constant)
    except RecursionError as deep:
        raise InvalidRequest(f"the body is nested more than {MAX_DEPTH} levels deep") from deep
    except (ValueError, UnicodeDecodeError) as second:
        raise _not_json(fault) from second


def _not_json(fault: orjson.JSONDecodeError) -> InvalidRequest:
    return InvalidRequest(f"the body is not valid JSON at line {fault.lineno}, column {fault.colno}: {fault.msg}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def dumps(value: Any) -> bytes:
    """Compact JSON bytes; lone surrogates come out as ``\\uXXXX`` escapes, large integers whole."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def top_level_spans(raw: bytes) -> dict[str, tuple[int, int]]:
    """Where each top-level value of a JSON object stands: key → half-open byte range.

    ``raw`` must already have been parsed by :func:`loads` as an object. Raises
    :class:`InvalidRequest` for duplicate top-level keys (parsers disagree on which one counts, so a
    proxy that checks one and forwards both can be fooled) and for nesting beyond :data:`MAX_DEPTH`.
    """
    spans: dict[str, tuple[int, int]] = {}
    position = raw.index(b"{") + 1
    match = _MEMBER.match
    while (member := match(raw, position)) is not None:
        spans[_read_key(member[1], spans)] = member.span(2)
        position = member.end()
        if member[3] == b"}":
            return spans
    return _spans_by_token(raw)


def _spans_by_token(raw: bytes) -> dict[str, tuple[int, int]]:
    """The same for members that are nested deeper than one expression reaches, or for none."""
    spans: dict[str, tuple[int, int]] = {}
    depth = 0
    key: str | None = None
    start = 0
    position = 0
    search = _TOKEN.search
    while (token := search(raw, position)) is not None:
        begin, position = token.span()
        first = raw[begin]
        if first == _QUOTE:
            if depth != 1:
                continue
            if key is not None:  # a string value
                spans[key] = (begin, position)
                key = None
                continue
            key = _read_key(raw[begin:position], spans)
            colon = _COLON.match(raw, position)
            start = position = colon.end() if colon else position
            if raw[start] not in b'"{[':  # a number or a literal
                scalar = _SCALAR.match(raw, start)
                position = scalar.end() if scalar else start
                spans[key] = (start, position)
                key = None
        elif first in _OPENING:
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidRequest(f"the body is nested more than {MAX_DEPTH} levels deep")
        else:
            depth -= 1
            if depth == 1 and key is not None:
                spans[key] = (start, position)
                key = None
    return spans


def check_object(raw: bytes, body: Mapping[str, Any]) -> None:
    """Refuse duplicate top-level keys and deep nesting in ``raw``, of which ``body`` was read.

    Says what :func:`top_level_spans` would say; ordinary bodies are cleared without walking them. A
    key can only stand twice if its literal occurs twice, or if an escape hides one of them; and
    nesting cannot be deeper than the number of opening brackets.
    """
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH or b"\\u" in raw or b"\\/" in raw:
        top_level_spans(raw)
        return
    for key in body:
        if raw.count(_literal(key)) > 1:
            top_level_spans(raw)
            return


@lru_cache(maxsize=1024)
def _literal(key: str) -> bytes:
    return dumps(key)


def splice(raw: bytes, values: Mapping[str, Any], *, removals: Collection[str] = ()) -> bytes:
    """The bytes with these top-level values replaced, or added at the end, and others taken out; nothing else moves.

    A member goes with the comma before it, or, if none is left before it, with the one after.
    """
    spans = top_level_spans(raw)
    changes = [(*spans[key], dumps(value)) for key, value in values.items() if key in spans]
    gone = [key for key in removals if key in spans]
    changes += _cuts(raw, spans, frozenset(gone))
    additions = [dumps(key) + b":" + dumps(value) for key, value in values.items() if key not in spans]
    if additions:
        end = raw.rindex(b"}")
        separator = b"," if len(spans) > len(gone) else b""
        changes.append((end, end, separator + b",".join(additions)))
    pieces: list[bytes] = []
    at = 0
    for start, stop, replacement in sorted(changes):
        pieces += (raw[at:start], replacement)
        at = stop
    pieces.append(raw[at:])
    return b"".join(pieces)


def without(raw: bytes, key: str) -> bytes:
    """The bytes with one top-level member removed, its comma with it."""
    return splice(raw, {}, removals=(key,))


def _cuts(raw: bytes, spans: Mapping[str, tuple[int, int]], gone: Collection[str]) -> Iterator[tuple[int, int, bytes]]:
    """The ranges to take out so that these members, and as many commas, are gone."""
    if not gone:
        return
    is_leading = True
    before = raw.index(b"{") + 1
    for key, (_, stop) in spans.items():
        if key not in gone:
            is_leading = False
        elif not is_leading or len(gone) == len(spans):
            yield before, stop, b""
        else:
            comma = raw.index(b",", stop) + 1
            yield before, comma, b""
            before = comma
            continue
        before = stop


def _read_key(literal: bytes, spans: Mapping[str, tuple[int, int]]) -> str:
    key = str(loads(literal)) if b"\\" in literal else literal[1:-1].decode("utf-8")
    if key in spans:
        raise InvalidRequest("the body has a top-level key twice; each key may stand once", param=key[:64])
    return key
