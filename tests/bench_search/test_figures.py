"""The arithmetic of the report on searches, on numbers small enough to check by hand."""

from __future__ import annotations

import pytest

from tests.bench_search import figures
from tests.bench_search.attempts import Attempt, Draw, Use

SIZES = {"small": 10, "large": 50, "prm": 20}


def _draw(answer: int, *, right: bool, score: float | None = None, tokens: int = 5) -> Draw:
    return Draw(tokens=tokens, read=3, score=score, is_right=right, answer=answer)


def _attempt(*draws: Draw, right: bool = False, **uses: Use) -> Attempt:
    return Attempt("s", "a", "test", 2, "Q:1 +11", right, 200, 1.0, uses, draws)


def test_tokens_are_written_by_models_and_read_by_the_verifier() -> None:
    """Prompts of models that write count neither as written nor as read."""
    attempt = _attempt(small=Use(100, 96, 7), large=Use(100, 0, 2), prm=Use(30, 0, 0))
    assert (figures.totals(attempt).written, figures.totals(attempt).read) == (9, 30)
    assert figures.totals(attempt).both == 39


def test_work_weighs_tokens_by_the_size_of_their_model() -> None:
    """A token of the large model is five of the small one, and the reward model's count by its own size."""
    attempt = _attempt(small=Use(100, 96, 7), large=Use(100, 0, 2), prm=Use(30, 0, 0))
    assert figures.work(attempt, SIZES) == 7 * 10 + 2 * 50 + 30 * 20


def test_a_ratio_and_a_difference_are_paired() -> None:
    """Where one side is half of the other for every problem, there is no doubt about the ratio."""
    half = figures.ratio([1, 2, 3], [2, 4, 6])
    assert (half.value, half.low, half.high) == (0.5, 0.5, 0.5)
    less = figures.difference([0, 1, 1], [1, 1, 1])
    assert less.value == pytest.approx(-1 / 3)
    assert less.low == -1
    assert less.high == 0


def test_sides_of_unequal_size_are_refused() -> None:
    """Ratios are of the same problems, so there are equally many on both sides."""
    with pytest.raises(ValueError, match="same problems"):
        figures.ratio([1.0], [1.0, 2.0])


def test_a_share_has_wilsons_interval() -> None:
    """3 of 10 is between 10.8% and 60.3%."""
    found = figures.share([True] * 3 + [False] * 7)
    assert (found.value, round(found.low, 3), round(found.high, 3)) == (0.3, 0.108, 0.603)


def test_the_oracle_takes_any_right_draw_and_the_lot_takes_their_share() -> None:
    """One right of two draws is 1 for the oracle and a half by lot; an attempt without draws counts by its answer."""
    mixed, bare = _attempt(_draw(1, right=False), _draw(2, right=True)), _attempt(right=True)
    assert figures.oracle([mixed, bare]) == 1
    assert figures.at_random([mixed, bare]) == 0.75


def test_draws_that_are_no_whole_answers_are_not_drawn_by_lot() -> None:
    """A step has no rightness."""
    step = Draw(tokens=5, read=0, score=0.9, is_right=None, answer=None)
    assert figures.at_random([_attempt(step, _draw(1, right=True))]) == 1


def test_best_of_the_first_draws_is_the_best_scored_of_them() -> None:
    """A better one that came later does not count."""
    draws = [_draw(1, right=False, score=0.2), _draw(2, right=False, score=0.1), _draw(3, right=True, score=0.9)]
    assert [figures.best_of(draws, count) for count in (1, 2, 3)] == [False, False, True]


def test_the_plateau_begins_within_a_point_of_the_best() -> None:
    """The smallest N that is good enough."""
    assert figures.plateau({1: 0.7, 4: 0.895, 8: 0.9, 16: 0.88}) == 4


def test_the_more_a_model_is_used_the_less_search_its_training_pays_for() -> None:
    """With R without bound a model five times the size is worth five answers; with R of 1, seventeen."""
    assert figures.matched_multiplier(5, 1e9) == pytest.approx(5)
    assert figures.matched_multiplier(5, 1) == 17


def test_an_arm_is_picked_on_one_half_and_judged_on_the_other() -> None:
    """The best of the even problems is judged on the odd ones, and the other way round."""
    right = {"a": [True, False, True, False], "b": [False, True, False, True]}
    assert figures.pick_on_halves(right) == (("a", "b"), [False, False, False, False])
