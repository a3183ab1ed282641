"""Reading and splicing JSON bytes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.json_bytes import MAX_DEPTH, check_object, dumps, loads, splice, top_level_spans, without
from gateway.errors import InvalidRequest

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
_OBJECTS = st.dictionaries(st.text(), _VALUES, max_size=6)
_SPACING = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:  ")])


def _encode(value: object, spacing: tuple[str, str], *, is_ascii: bool) -> bytes:
    return json.dumps(value, separators=spacing, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")


@given(_OBJECTS, _SPACING, st.booleans())
def test_spans_hold_each_value_whole(value: dict[str, object], spacing: tuple[str, str], is_ascii: bool) -> None:
    """Every top-level value's bytes parse back to that value, whatever the spacing and escaping."""
    raw = _encode(value, spacing, is_ascii=is_ascii)
    spans = top_level_spans(raw)
    assert {key: json.loads(raw[start:stop]) for key, (start, stop) in spans.items()} == value
    assert list(spans) == list(value)


@given(_OBJECTS, _OBJECTS, _SPACING)
def test_splicing_replaces_and_adds(
    value: dict[str, object], changes: dict[str, object], spacing: tuple[str, str]
) -> None:
    """A splice changes the named values, adds missing ones, and leaves the order of the rest."""
    raw = _encode(value, spacing, is_ascii=True)
    spliced = json.loads(splice(raw, changes))
    assert spliced == {**value, **changes}
    assert list(spliced) == list({**value, **changes})


@given(_OBJECTS.filter(bool), _SPACING, st.data())
def test_removing_a_member(value: dict[str, object], spacing: tuple[str, str], data: st.DataObject) -> None:
    """Removing a member leaves valid JSON with all others in order."""
    raw = _encode(value, spacing, is_ascii=True)
    key = data.draw(st.sampled_from(list(value)))
    left = json.loads(without(raw, key))
    assert list(left.items()) == [(name, item) for name, item in value.items() if name != key]


def test_untouched_bytes_survive_a_splice() -> None:
    """Large integers, lone surrogates, key order and odd spacing stand as they were beside a change."""
    raw = b'{ "z" : 123456789012345678901234567890 , "model":"a","s":"\\ud800", "n":1.0000000000000000001 }'
    spliced = splice(raw, {"model": "b"})
    assert spliced == raw.replace(b'"model":"a"', b'"model":"b"')


@pytest.mark.parametrize(
    "raw", [b'{"a":1,"a":2}', b'{"a":1,"b":{"a":1},"\\u0061":2}', b'{"model":"x","messages":[],"model":"y"}']
)
def test_duplicate_top_level_keys_are_refused(raw: bytes) -> None:
    """A key that stands twice at the top is refused, also when one of the two is escaped."""
    with pytest.raises(InvalidRequest, match="twice"):
        top_level_spans(raw)
    with pytest.raises(InvalidRequest, match="twice"):
        check_object(raw, loads(raw))


@given(_OBJECTS, _SPACING, st.booleans())
def test_what_has_no_duplicates_is_cleared(value: dict[str, object], spacing: tuple[str, str], is_ascii: bool) -> None:
    """The quick check refuses nothing that the whole walk would let through."""
    raw = _encode(value, spacing, is_ascii=is_ascii)
    top_level_spans(raw)
    check_object(raw, json.loads(raw))


def test_nested_duplicates_are_the_providers_business() -> None:
    """Only top-level keys decide anything here, so duplicates further down pass."""
    assert list(top_level_spans(b'{"a":{"b":1,"b":2}}')) == ["a"]


def test_depth_is_limited_at_its_edge() -> None:
    """Nesting up to the limit passes and one level more is refused."""
    arrays = MAX_DEPTH - 1
    assert top_level_spans(b'{"a":' + b"[" * arrays + b"]" * arrays + b"}")
    with pytest.raises(InvalidRequest, match="nested"):
        top_level_spans(b'{"a":' + b"[" * (arrays + 1) + b"]" * (arrays + 1) + b"}")
    with pytest.raises(InvalidRequest, match="nested"):
        check_object(b'{"a":' + b"[" * (arrays + 1) + b"]" * (arrays + 1) + b"}", {"a": []})
    check_object(b'{"a":' + b"[" * arrays + b"]" * arrays + b',"b":' + b"[" * arrays + b"]" * arrays + b"}", {"a": 1})


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a":NaN}', b'{"a":"\\ud800",}', b"\xff\xfe", b'{"a":"\\ud800","b":NaN}'])
def test_what_is_not_json_is_refused_without_quoting_it(raw: bytes) -> None:
    """A body that is not JSON is refused with the place of the fault."""
    with pytest.raises(InvalidRequest, match="not valid JSON at line"):
        loads(raw)


def test_hostile_depth_with_a_surrogate_is_refused() -> None:
    """The tolerant parser, too, is safe from deep nesting."""
    with pytest.raises(InvalidRequest):
        loads(b'["\\ud800",' + b"[" * 100_000 + b"]" * 100_000 + b"]")


def test_surrogates_and_large_integers_come_out_again() -> None:
    """What loads lets in, dumps lets out."""
    raw = b'["\\ud800",123456789012345678901234567890]'
    assert loads(raw) == ["\ud800", 123456789012345678901234567890]
    assert dumps(["\ud800", 123456789012345678901234567890]) == raw


def test_numbers_that_json_does_not_have_are_null() -> None:
    """NaN never leaves as bare NaN, which no JSON parser takes."""
    assert dumps([math.nan]) == b"[null]"


@pytest.mark.parametrize("depth", [1, 2, 11, 12, 13, 14, 100, MAX_DEPTH - 1])
@pytest.mark.parametrize("pair", [b"[]", b"{}"], ids=["arrays", "objects"])
def test_values_are_found_behind_any_nesting(depth: int, pair: bytes) -> None:
    """However deep a value is nested, with brackets and quotes in its strings, its end is found."""
    opening = pair[:1] if pair == b"[]" else b'{"]}\\"":'
    deep = opening * depth + b'"}]\\"[{"' + pair[1:] * depth
    raw = b'{"a":' + deep + b',"b" : ' + deep + b" }"
    start = raw.index(b"b", 5 + len(deep)) + 5
    assert top_level_spans(raw) == {"a": (5, 5 + len(deep)), "b": (start, start + len(deep))}
    with pytest.raises(InvalidRequest, match="twice"):
        check_object(raw.replace(b'"b"', b'"a"'), {"a": None})


def test_nesting_beyond_the_limit_is_refused() -> None:
    """One level more than the limit is refused, however shallow the values beside it are."""
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    raw = b'{"a": [{"b": [1]}], "c": ' + deep + b"}"
    with pytest.raises(InvalidRequest, match="nested more than"):
        check_object(raw, {"a": None, "c": None})


_KEYS = st.sampled_from(["a", "b", "c", "d", "\u00e9", 'a"b'])
_VALUES = st.one_of(st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3), st.none())


@given(
    st.dictionaries(_KEYS, _VALUES, max_size=6),
    st.dictionaries(_KEYS, _VALUES, max_size=3),
    st.sets(_KEYS, max_size=6),
    st.sampled_from([(",", ":"), (" , ", " : "), (", ", ": ")]),
)
def test_members_are_set_and_taken_out_at_once(
    body: dict[str, Any], values: dict[str, Any], removals: set[str], separators: tuple[str, str]
) -> None:
    """Whatever is replaced, added and taken out, and however the client writes, the rest stands as it was."""
    removals -= values.keys()
    raw = json.dumps(body, separators=separators, ensure_ascii=False).encode()
    wanted = {key: value for key, value in body.items() if key not in removals} | values
    assert json.loads(splice(raw, values, removals=removals)) == wanted
