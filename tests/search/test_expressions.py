"""Formulas as values."""

from __future__ import annotations

import pytest

from gateway.search.expressions import LONGEST, signature


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("(a+b)^2", "a^2+2ab+b^2"),
        ("\\frac{x}{y}", "x/y"),
        ("\\frac{1}{2}x", "x/2"),
        ("2\\pi r", "2*r*\\pi"),
        ("\\sqrt{x^2+1}", "(1+x**2)^{1/2}"),
        ("\\sin{x}", "\\sin(x)"),
        ("-x^2", "-(x^2)"),
        ("|{-3}|", "3"),
        ("\\theta + 1", "1 + \\theta"),
        ("e^{i\\pi}", "-1"),
        ("(x+1)^2 - x^2 - 2x - 1", "0"),
        ("1/2/2", "0.25"),
    ],
)
def test_equal_formulas(left: str, right: str) -> None:
    """What is equal for all values of its letters has the same signature."""
    assert signature(left) is not None
    assert signature(left) == signature(right)


@pytest.mark.parametrize(
    ("left", "right"), [("x^2", "2x"), ("2ab", "2a+b"), ("x", "y"), ("-x^2", "(-x)^2"), ("\\sin{x}", "\\cos{x}")]
)
def test_different_formulas(left: str, right: str) -> None:
    """What differs somewhere has another signature."""
    assert signature(left) is not None
    assert signature(left) != signature(right)


@pytest.mark.parametrize(
    "text",
    ["", "Evelyn", "no", "x +", "(x", "x)", "1 = 1", "a_1", "x; y", "2^{5000}", "171!", "0^{-1}", "9" * (LONGEST + 1)],
)
def test_what_is_no_formula(text: str) -> None:
    """Words, broken brackets, relations and what has no finite value are no formulas."""
    assert signature(text) is None
