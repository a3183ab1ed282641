"""Tests of calibrator/prm/quality.py, on chains whose figures can be counted by hand."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrator.prm.quality import Scored, auc, best_of, calibration, estimate, measure
from gateway.search.aggregate import Aggregation


def _chain(item: str, scores: tuple[float, ...], *, right: bool, answer: str = "", difficulty: str = "") -> Scored:
    return Scored(item, scores, right, answer or ("1" if right else "0"), difficulty=difficulty)


def test_auc_within_problems_is_blind_to_how_hard_problems_are() -> None:
    """A model that only knows the easy problem from the hard one ranks all chains well, and those of none."""
    easy = [_chain("easy", (0.9,), right=True) for _ in range(3)] + [_chain("easy", (0.9,), right=False)]
    hard = [_chain("hard", (0.1,), right=True)] + [_chain("hard", (0.1,), right=False) for _ in range(3)]
    ranking = measure([*easy, *hard]).rankings[0]
    assert ranking.auc_within is not None
    assert ranking.auc_within.value == 0.5
    assert ranking.auc_pooled == (3 * 3 + (3 + 3) / 2) / 16  # 3·3 pairs in order, 3 + 3 tied, one the wrong way


def test_problems_with_only_right_or_only_wrong_chains_say_nothing_of_ranking() -> None:
    """They count in no AUC within problems; where all are so, there is none."""
    chains = [_chain("a", (0.2,), right=True), _chain("a", (0.4,), right=True), _chain("b", (0.3,), right=False)]
    assert all(each.auc_within is None for each in measure(chains).rankings)


def test_the_best_aggregation_is_the_one_whose_choices_are_right() -> None:
    """The last step tells here, and the least, the mean and the product do not."""
    chains = [
        chain
        for number in range(20)
        for chain in (
            _chain(f"p{number}", (0.2, 0.3, 0.9), right=True),
            _chain(f"p{number}", (0.9, 0.8, 0.6), right=False),
        )
    ]
    quality = measure(chains)
    assert quality.best is Aggregation.LAST
    by_way = {each.way: each.best_of_all.value for each in quality.rankings}
    assert by_way == {Aggregation.MIN: 0, Aggregation.PRODUCT: 0, Aggregation.MEAN: 0, Aggregation.LAST: 1}


def test_slices_hold_every_way_to_one_answer() -> None:
    """One chain, the majority, the best scored, a weighted vote and the oracle, for all and by difficulty."""
    chains = [
        *(_chain("a", (0.3,), right=False, answer="7", difficulty="easy") for _ in range(2)),
        _chain("a", (0.8,), right=True, answer="5", difficulty="easy"),
        *(_chain("b", (0.4,), right=True, answer="2", difficulty="hard") for _ in range(2)),
        _chain("b", (0.9,), right=False, answer="3", difficulty="hard"),
    ]
    whole, easy, hard = measure(chains).slices
    assert (whole.difficulty, easy.difficulty, hard.difficulty) == ("all", "easy", "hard")
    figures = [
        (each.majority.value, each.chosen.value, each.weighted.value, each.oracle.value) for each in (easy, hard)
    ]
    assert figures == [(0, 1, 1, 1), (1, 0, 0, 1)]
    assert (whole.gain.value, easy.gain.value, hard.gain.value) == (0, 1, -1)
    assert (whole.one.value, whole.chosen.value, whole.problems, whole.chains) == (0.5, 0.5, 2, 3)


def test_answers_that_mean_the_same_are_one_in_a_vote() -> None:
    """1/2 and 0.5 are one answer of two votes; a chain without an answer has none."""
    chains = [
        _chain("a", (0.5,), right=True, answer="1/2"),
        _chain("a", (0.5,), right=True, answer="0.5"),
        _chain("a", (0.5,), right=False, answer="3"),
        Scored("a", (0.5,), is_right=False),
    ]
    assert measure(chains).slices[0].majority.value == 1


def test_calibration_compares_scores_with_labels_in_tenths() -> None:
    """The error is the mean distance of score and label over the bins, weighted by their steps."""
    chains = [
        Scored("a", (0.05, 0.95, 0.97), is_right=True, values=(0.25, 1.0, None)),
        Scored("a", (0.05, 1.0), is_right=True, values=(0.0, 0.5)),
    ]
    bins, error = calibration(chains)
    assert [(each.low, each.steps, each.mean_value) for each in bins] == [(0.0, 2, 0.125), (0.9, 2, 0.75)]
    assert error == pytest.approx(0.5 * (0.125 - 0.05) + 0.5 * (0.975 - 0.75))
    assert calibration([Scored("a", (0.5,), is_right=True)]) == ((), None)


_POOL = st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans()), min_size=1, max_size=7)


@given(_POOL, st.data())
def test_best_of_is_the_mean_over_all_ways_to_draw(pool: list[tuple[float, bool]], data: st.DataObject) -> None:
    """The closed form equals counting every subset, ties broken evenly."""
    draws = data.draw(st.integers(1, len(pool)))
    counted = []
    for subset in combinations(pool, draws):
        highest = max(score for score, _ in subset)
        counted.append(fmean(right for score, right in subset if score == highest))
    expected = fmean(counted)
    assert best_of([score for score, _ in pool], [right for _, right in pool], draws) == pytest.approx(expected)


@given(st.lists(st.integers(0, 4), max_size=6), st.lists(st.integers(0, 4), max_size=6))
def test_auc_counts_pairs(right: list[int], wrong: list[int]) -> None:
    """It is the share of pairs in order, ties a half; without a pair there is none."""
    pairs = [(a > b) + (a == b) / 2 for a in right for b in wrong]
    assert auc(right, wrong) == (pytest.approx(fmean(pairs)) if pairs else None)


def test_intervals_cover_at_about_their_level() -> None:
    """Of 100 seeded samples of a known mean, the 95% intervals hold it in 90 to 99."""
    chance = np.random.default_rng(7)
    held = [(found := estimate(chance.random(60) < 0.4)).low <= 0.4 <= found.high for _ in range(100)]
    assert 0.90 <= fmean(held) <= 0.99


def test_equal_chains_give_equal_figures() -> None:
    """The bootstrap is seeded."""
    chains = [_chain(f"p{n}", (n / 40,), right=n % 3 == 0) for n in range(40)]
    assert measure(chains) == measure(chains)
