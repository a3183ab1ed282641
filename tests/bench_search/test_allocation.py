"""Adaptive allocation: what is replayed from full runs, and what is chosen."""

from __future__ import annotations

from tests.bench_search.allocation import Option, allocate, until
from tests.bench_search.attempts import Draw


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
    cheap, dear = Option("cheap", {}, 0.8, 10), Option("dear", {}, 1.0, 40)
    both = {"easy": [cheap, dear], "hard": [cheap, dear]}
    mix = {"easy": 0.9, "hard": 0.1}
    assert [each.name for each in allocate(both, mix, 0.82).values()] == ["cheap", "dear"]
    assert [each.name for each in allocate(both, mix, 0.95).values()] == ["dear", "cheap"]


def test_where_nothing_is_right_so_often_the_most_often_right_is_chosen() -> None:
    """An aim that cannot be reached does not end the run."""
    found = allocate({"easy": [Option("a", {}, 0.5, 1), Option("b", {}, 0.6, 2)]}, {"easy": 1.0}, 0.9)
    assert found["easy"].name == "b"
