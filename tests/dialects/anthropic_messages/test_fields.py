"""Checked access to a client's JSON."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.anthropic_messages.fields import Field
from gateway.errors import InvalidRequest


def test_paths_lead_to_the_value() -> None:
    """Members and elements carry the path that leads to them from the top of the body."""
    root = Field({"a": {"b": [{"c": 1}]}}, "")
    [element] = root.get("a").get("b").items()
    assert (element.get("c").path, element.get("c").value) == ("a.b.0.c", 1)
    assert not element.get("missing").is_given


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "missing or null"),
        (True, "a boolean"),
        ("web_search_20250305", "'web_search_20250305'"),
        ("a whole sentence of a prompt", "this string"),
        ("", "this string"),
        (1.5, "this number"),
        ([], "an array"),
        ({}, "an object"),
    ],
)
def test_values_are_shown_without_their_content(value: Any, shown: str) -> None:
    """An error says what stands in a place, and repeats only short plain words."""
    assert Field(value, "p").shown() == shown


def test_whole_numbers_may_be_written_with_a_point() -> None:
    """1024.0 is the whole number 1024; 1.5 is none, and what is too small is refused."""
    assert Field(1024.0, "p").integer_or_none(1) == 1024
    for value in (1.5, 0, float("inf")):
        with pytest.raises(InvalidRequest, match="p must be a whole number of at least 1"):
            Field(value, "p").integer_or_none(1)
