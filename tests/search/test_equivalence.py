"""Whether two answers mean the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.search.equivalence import meaning, same
from tests.randomness import examples

EQUAL = [
    ("1/2", "0.5"),
    ("\\frac{1}{2}", "0.50"),
    ("\\frac12", "1/2"),
    ("\\dfrac{11}{100}", "11\\%"),
    ("1{,}000", "1,000"),
    ("\\$78", "78"),
    ("$78$", "78"),
    ("90^\\circ", "90"),
    ("42 \\text{ inches}", "42"),
    ("15 cm^2", "15"),
    ("3\\sqrt{13}", "\\sqrt{117}"),
    ("11\\sqrt2", "11\\sqrt{2}"),
    ("p - q", "-q+p"),
    ("2(2a-1)", "4a-2"),
    ("x^2+2x+1", "(x+1)^2"),
    ("-2 + 7i", "7i - 2"),
    ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\pi/2)"),
    ("\\{1,2\\}", "{2, 1}"),
    ("3, 5, 7", "7, 5 and 3"),
    ("(-\\infty, 2)", "(-\\infty,2)"),
    ('{"a": 1, "b": [1, 2]}', '{"b":[1,2],"a":1.0}'),
    ("(B)", "b"),
    ("Option B", "B."),
    ("x = 5", "5"),
    ("1\\frac{1}{10}", "1.1"),
    ("12\\frac{3}{5}", "63/5"),
    ("\\text{Evelyn}", "**Evelyn**"),
    ("0.333", "1/3"),
    ("-\\frac{40}{153}", "\\frac{-40}{153}"),
    ("6.29 \\times 10^6", "6290000"),
    ("a  \nb\n", "a\nb"),
    ("5!", "120"),
    ("2^{10}", "1024"),
    ("\\sqrt[3]{27}", "3"),
]
DIFFERENT = [
    ("Carla", "Clara"),
    ("no", "on"),
    ("52_8", "52"),
    ("(1,2)", "(2,1)"),
    ("(0,1]", "[0,1)"),
    ("(1,2)", "{1,2}"),
    ("50%", "50"),
    ("0.3", "1/3"),
    ("9999", "9999.857142857143"),
    ('{"a": true}', '{"a": 1}'),
    ('["1"]', "[1]"),
    ("p-q", "q-p"),
    ("A", "B"),
    ("1,2", "1.2"),
    ("a\nb", "a b"),
    ("x", "y"),
    ("1\\frac{1}{10}", "\\frac{1}{10}"),
    ("-5", "5"),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal_answers(left: str, right: str) -> None:
    """Two ways to write the same thing are the same, whichever comes first."""
    assert same(meaning(left), meaning(right))
    assert same(meaning(right), meaning(left))


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different_answers(left: str, right: str) -> None:
    """What only looks alike is told apart."""
    assert not same(meaning(left), meaning(right))


@pytest.mark.parametrize(
    "text",
    [
        "9^9^9^9^9",
        "(" * 5000,
        "(" * 300 + "1" + ")" * 300,
        "[" * 50_000,
        "{" * 100 + "}" * 100,
        "1/0",
        "\\frac{1}{0}",
        "__import__('os').system('true')",
        "\\sqrt" * 90,
        "1e999999",
        "9" * 399,
        "100!!!",
        "\\frac",
        "," * 300,
        "-" * 399 + "1",
    ],
)
def test_hostile_answers_are_harmless(text: str) -> None:
    """Towers of powers, deep nesting and code neither run, fail nor take long; they equal themselves."""
    assert same(meaning(text), meaning(text))


@examples(300)
@given(st.text(alphabet="0123456789+-*/^(){}[],.%$\\ abexpifracsqrt\"'\n=_", max_size=60))
def test_any_answer_has_a_meaning(text: str) -> None:
    """Whatever a model writes can be compared, and is the same as itself."""
    assert same(meaning(text), meaning(text))


@examples(200)
@given(st.integers(-10_000, 10_000), st.integers(1, 500))
def test_fractions_equal_their_reduced_form(numerator: int, denominator: int) -> None:
    """A fraction multiplied through is the same number, in plain and in LaTeX notation."""
    plain = meaning(f"{numerator}/{denominator}")
    assert same(plain, meaning(f"\\frac{{{3 * numerator}}}{{{3 * denominator}}}"))
    assert not same(plain, meaning(f"{numerator + 1}/{denominator}"))
