"""Tests of gateway/domain/excerpt.py."""

from __future__ import annotations

from gateway.domain.excerpt import FIRST, LAST, excerpt


def test_a_short_text_is_whole() -> None:
    """A text of at most 1,500 characters is not cut."""
    text = "a" * FIRST + "b" * LAST
    assert excerpt(text) == text


def test_a_long_text_keeps_its_ends() -> None:
    """Of a longer text the first 1,000 and the last 500 characters remain."""
    assert excerpt("a" * FIRST + "middle" + "b" * LAST) == "a" * FIRST + "\n" + "b" * LAST
