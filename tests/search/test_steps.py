"""Where steps end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigurationError
from gateway.search.steps import BLANK_LINE, Boundary, Mark, boundary_of, normalized, split
from tests.randomness import examples

NEWLINE = Boundary(Mark.NEWLINE)
TAG = Boundary(Mark.TAG, text="<step>")
TOKENS = Boundary(Mark.TOKENS, tokens=64)


def test_steps_by_mark() -> None:
    """Blank lines, newlines and tags end steps; a number of tokens leaves no mark."""
    assert split("a\nb\n\nc", BLANK_LINE) == ["a\nb\n\n", "c"]
    assert split("a\nb\n\nc", NEWLINE) == ["a\n", "b\n\n", "c"]
    assert split("a<step>b<step><step>c", TAG) == ["a<step>", "b<step><step>", "c"]
    assert split("a\n\nb", TOKENS) == ["a\n\nb"]
    assert split("", BLANK_LINE) == []


def test_blank_steps_are_none() -> None:
    """Marks that follow each other, begin or end a text make no steps of their own."""
    assert split("\n\na\n\n\n\nb\n\n", BLANK_LINE) == ["\n\na\n\n\n\n", "b\n\n"]


@examples(200)
@given(st.text(alphabet="ab \n<step>"), st.sampled_from([BLANK_LINE, NEWLINE, TAG, TOKENS]))
def test_steps_make_up_the_text(text: str, boundary: Boundary) -> None:
    """Nothing is lost between steps."""
    assert "".join(split(text, boundary)) == text


def test_stops() -> None:
    """A model is told the text at which to stop, where there is one."""
    assert [each.stop for each in (BLANK_LINE, NEWLINE, TAG, TOKENS)] == ["\n\n", "\n", "<step>", None]


@pytest.mark.parametrize(
    ("mark", "text", "tokens"),
    [(Mark.TAG, "", None), (Mark.NEWLINE, "x", None), (Mark.TOKENS, "", None), (Mark.TOKENS, "", 0)],
)
def test_boundaries_that_cannot_be(mark: Mark, text: str, tokens: int | None) -> None:
    """A tag without a text, a text without a tag, and no tokens are refused."""
    with pytest.raises(ValueError, match="step"):
        Boundary(mark, text, tokens)


def test_normalized() -> None:
    """Blanks, case and end marks do not tell steps apart."""
    assert normalized("So  X = 2.\n\n") == normalized("so x = 2")
    assert normalized("so x = 2") != normalized("so x = 3")


@pytest.mark.parametrize(
    ("step", "boundary"),
    [
        ("blank_line", BLANK_LINE),
        ("newline", Boundary(Mark.NEWLINE)),
        ({"mark": "newline", "tokens": 9}, Boundary(Mark.NEWLINE, tokens=9)),
        ({"tag": "</step>"}, Boundary(Mark.TAG, "</step>")),
        ({"tag": "</step>", "tokens": 64}, Boundary(Mark.TAG, "</step>", 64)),
        ({"tokens": 64}, Boundary(Mark.TOKENS, tokens=64)),
    ],
)
def test_an_arm_names_the_boundary_of_its_steps(step: Any, boundary: Boundary) -> None:
    """By a word, a tag or a number; tokens cap the others."""
    assert boundary_of({"step": step}) == boundary
    assert boundary_of({"samples": 3}) == BLANK_LINE


@pytest.mark.parametrize(
    "step", ["paragraph", 3, {}, {"tagg": "x"}, {"tokens": 0}, {"tokens": "9"}, {"mark": "newline", "tag": "x"}]
)
def test_any_other_boundary_is_refused(step: Any) -> None:
    """With what would be one."""
    with pytest.raises(ConfigurationError, match="step is blank_line or newline, or a mapping of mark or tag"):
        boundary_of({"step": step})
