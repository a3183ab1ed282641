"""Tests of gateway/background/lines.py: any cutting of a file gives the same lines, none beyond its limit."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.background.lines import Line, RawLine, read_line, split
from gateway.domain.background import LineFault
from gateway.http.dialects import ENDPOINTS

CHAT = ENDPOINTS["/v1/chat/completions"]
MOST = 100


async def _pieces(data: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        yield data[start:end]


async def _split(data: bytes, cuts: list[int], most: int = MOST) -> list[RawLine]:
    return [line async for line in split(_pieces(data, cuts), most_bytes=most)]


@given(
    st.lists(st.binary(max_size=20).filter(lambda text: b"\n" not in text)),
    st.lists(st.integers(min_value=0, max_value=400), max_size=8),
    st.booleans(),
)
async def test_lines_do_not_depend_on_how_a_file_is_cut(texts: list[bytes], cuts: list[int], ends: bool) -> None:
    """Each line comes with its number, whatever the chunks; empty ones count and do not come."""
    data = b"\n".join(texts) + (b"\n" if ends else b"")
    expected = [RawLine(number, text.strip()) for number, text in enumerate(texts, 1) if text.strip()]
    assert await _split(data, cuts) == expected


@given(st.lists(st.integers(min_value=0, max_value=30_000), max_size=6))
async def test_a_line_too_long_is_named_and_the_next_ones_come(cuts: list[int]) -> None:
    """A line beyond the limit comes without its bytes, as often as it stands there, the last one too."""
    long = b"x" * (MOST + 5000)
    data = b"\n".join([b"a", long, b"b", long + long])
    assert await _split(data, cuts) == [RawLine(1, b"a"), RawLine(2, None), RawLine(3, b"b"), RawLine(4, None)]


def _read(document: Any, most: int = MOST) -> Line | LineFault:
    return read_line(RawLine(7, json.dumps(document).encode()), CHAT, most_bytes=most)


def _line(**members: Any) -> dict[str, Any]:
    return {"custom_id": "a", "method": "POST", "url": CHAT.path, "body": {"model": "m"}, **members}


def test_a_body_keeps_its_bytes() -> None:
    """The request is the very bytes of the line's member, blanks and the order of keys included."""
    raw = b'{ "body" : {"z":1.00,  "model":"m" }, "custom_id":"a","method":"POST","url":"/v1/chat/completions"}'
    assert read_line(RawLine(1, raw), CHAT, most_bytes=MOST) == Line(1, "a", "m", b'{"z":1.00,  "model":"m" }')


def test_a_body_is_as_large_as_a_live_one_may_be() -> None:
    """At the limit a body is taken; one byte more is a fault that names the limit."""
    size = len(json.dumps({"model": "m"}))
    assert isinstance(_read(_line(), most=size), Line)
    fault = _read(_line(), most=size - 1)
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.line) == ("request_too_large", 7)
    assert "limits.body_bytes" in fault.message


def test_custom_ids_are_short_and_printable() -> None:
    """From 1 to 512 characters that can be stored and shown."""
    for custom_id in ("a", "ü" * 512):
        assert isinstance(_read(_line(custom_id=custom_id)), Line)
    for odd in ("", "a" * 513, "a\x00", "a\n", 7, None, "\ud800"):
        fault = _read(_line(custom_id=odd))
        assert isinstance(fault, LineFault)
        assert fault.code == "invalid_custom_id"


def test_lines_that_only_the_gateway_can_judge_stay() -> None:
    """Hints, and names of what a provider has stored, keep a line from going to its provider."""
    kept: list[dict[str, Any]] = [
        {"ponder": {"max_cost_usd": 1}},
        {"conversation": "c"},
        {"previous_response_id": "r"},
        {"input": [{"id": "i"}]},
    ]
    for endpoint, expected in ((ENDPOINTS["/v1/responses"], [True] * 4), (CHAT, [True, False, False, False])):
        document = {"custom_id": "a", "method": "POST", "url": endpoint.path}
        found = [
            read_line(
                RawLine(1, json.dumps({**document, "body": {"model": "m", **each}}).encode()), endpoint, most_bytes=MOST
            )
            for each in kept
        ]
        assert [isinstance(each, Line) and each.stays_here for each in found] == expected


def test_a_key_that_stands_twice_is_refused() -> None:
    """Of two bodies nobody knows which one counts."""
    raw = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m"},"body":{"model":"n"}}'
    fault = read_line(RawLine(1, raw), CHAT, most_bytes=MOST)
    assert isinstance(fault, LineFault)
    assert fault.code == "invalid_json_line"
