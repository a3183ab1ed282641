"""Tool arguments between JSON text and object."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from gateway.dialects.anthropic_messages.arguments import parse_arguments, write_arguments
from gateway.dialects.json_bytes import dumps
from tests.dialects.strategies import json_objects


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_blank_arguments_are_an_empty_object(text: str) -> None:
    """Models that call a tool without arguments write nothing at all, or an empty object."""
    assert parse_arguments(text) == {}


@pytest.mark.parametrize(
    "text",
    ["[1]", "null", "3", '"x"', "{", '{"a": NaN}', '{"a": 1e999}', '{"a":' + "[" * 5000, '{"a": ' + "9" * 5000 + "}"],
)
def test_what_is_no_json_object(text: str) -> None:
    """Anything but a JSON object gives None and never an exception."""
    assert parse_arguments(text) is None


def test_nesting_is_bounded() -> None:
    """Arguments nested deeper than a body may be are refused, flat ones with many brackets are not."""
    assert parse_arguments('{"a":' + "[" * 300 + "]" * 300 + "}") is None
    assert parse_arguments('{"a":[' + ",".join(["[]"] * 300) + "]}") == {"a": [[] for _ in range(300)]}


def test_large_integers_stay_exact() -> None:
    """Integers beyond 64 bits come out digit by digit as they went in."""
    text = '{"a":123456789012345678901234567890}'
    assert dumps(parse_arguments(text)).decode() == text


def test_a_missing_input_is_an_empty_object() -> None:
    """A tool_use block without input has the arguments {}."""
    assert write_arguments(None) == "{}"


@given(json_objects)
def test_round_trip(value: dict[str, object]) -> None:
    """Objects come back as they were written, lone surrogates included."""
    assert parse_arguments(write_arguments(value)) == value == json.loads(json.dumps(value))
