"""Adaptive allocation: what is replayed from full runs, and what is chosen."""

from __future__ import annotations

import pytest

from tests.bench_search.allocation import Option, allocate, options, until
from tests.bench_search.attempts import Attempt, Draw


def _draw(score: float, *, right: bool) -> Draw:
    return Draw(tokens=10, read=5, score=score, is_right=right, answer=1)


def test_drawing_ends_at_a_good_score() -> None:
    """The second draw is accepted: two are paid for, and the third, better one is never seen."""
    draws = [_draw(0.2, right=True), _draw(0.8, right=False), _draw(0.9, right=True)]
    assert until(draws, 3, 0.8) == (False, 30)
    assert until(draws, 3, 0.85) == (True, 45)
    assert until(draws, 1, 0.8) == (True, 15)


def test_the_cheapest_that_is_right_so_often_on_the_mix_is_chosen() -> None:
    """What many easy problems gain may pay for a few hard ones."""
    both = {
        name: [Option("cheap", {}, part * 0.8, part * 10), Option("dear", {}, part * 1.0, part * 40)]
        for name, part in {"easy": 0.9, "hard": 0.1}.items()
    }
    assert [each.name for each in allocate(both, 0.82).values()] == ["cheap", "dear"]
    assert [each.name for each in allocate(both, 0.95).values()] == ["dear", "cheap"]


def test_where_nothing_is_right_so_often_the_most_often_right_is_chosen() -> None:
    """An aim that cannot be reached does not end the run."""
    found = allocate({"easy": [Option("a", {}, 0.5, 1), Option("b", {}, 0.6, 2)]}, 0.9)
    assert found["easy"].name == "b"


def test_problems_count_as_much_as_they_stand_for() -> None:
    """An option's part of the mix: a problem of a frequent difficulty weighs more than one of a rare one."""
    full = [_attempt(right=True), _attempt(right=False)]
    found = {each.name: each for each in options(full, full, full, [0.3, 0.1])}
    assert found["best of 1, until 0.5"].right == pytest.approx(0.3)
    assert found["best of 1, until 0.5"].tokens == pytest.approx(0.4 * 15)
    assert found["repair, 8 rounds, until 0.3"].tokens == pytest.approx(0.4 * 15)


def _attempt(*, right: bool) -> Attempt:
    draw = _draw(0.9, right=right)
    return Attempt("s", "uniform 16", "validation", 1, "q", right, 200, 0.1, uses={}, draws=(draw,))
