"""Tests of gateway/difficulty/features.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.difficulty.features import DIFFICULTY, FEATURES, measure


def _value(text: str, name: str) -> float:
    return float(measure(text)[FEATURES.index(name)])


def test_every_feature_has_a_name_of_its_own() -> None:
    """Names and numbers go together, and those that tell difficulty are among them."""
    assert len(set(FEATURES)) == len(FEATURES) == len(measure("x"))
    assert set(DIFFICULTY) <= set(FEATURES)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("Is it 12?", "ends_asking", 1),
        ("这是什么？", "ends_asking", 1),
        ("It is 12.", "ends_asking", 0),
        ("1 2 3 x", "numeric_words", 0.75),
        ("ab\ncd\nef", "even_lines", 2 / 3),
        ("aAbB", "share_upper", 0.5),
        ("123 ", "share_digit", 0.75),
        ("Привет", "script_cyrillic", 1),
        ("你好ab", "script_han", 0.5),
        ("नमस्ते", "script_indic", 1),
        ("안녕", "script_hangul", 1),
    ],
)
def test_a_feature_measures_what_it_is_named_for(text: str, name: str, value: float) -> None:
    """Shares and marks have the values that can be counted by hand."""
    assert _value(text, name) == pytest.approx(value)


def test_numbers_are_measured_by_size() -> None:
    """A larger number gives a larger feature, with or without separators."""
    assert _value("7", "largest_number") < _value("700", "largest_number")
    assert _value("1,000,000", "largest_number") == _value("1000000", "largest_number")
    assert _value("12 300 7", "largest_number") == _value("12 300.5 7", "largest_number")


@given(st.text(max_size=300))
def test_any_text_has_finite_features(text: str) -> None:
    """No text gives a feature that is not a number."""
    assert np.isfinite(measure(text)).all()


def test_half_a_surrogate_pair_is_measured() -> None:
    """Text that UTF-8 cannot carry is measured all the same."""
    assert np.isfinite(measure("x \ud83d")).all()
