"""How far a verifier can be trusted: figures against brute force, and a cap where there must be one."""

from __future__ import annotations

from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.search.verifier_health import RISK, Sample, auc, best_of, examine, risk_of

SCORED = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=7)
SIZES = (1, 2, 4, 8, 16)
_TRUE_AREA = NormalDist().cdf(0.5**0.5)
"""Of two normal scores with variance 1 and means 1 apart, how often the greater mean is ahead."""


def _arrays(scored: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([float(score) for score, _ in scored]), np.array([float(right) for _, right in scored])


@given(SCORED)
def test_auc_is_that_of_all_pairs(scored: list[tuple[int, bool]]) -> None:
    """The area is the share of pairs that are in order, ties counting half."""
    rights = [score for score, right in scored if right]
    wrongs = [score for score, right in scored if not right]
    pairs = [(right > wrong) + (right == wrong) / 2 for right in rights for wrong in wrongs]
    found = auc(*_arrays(scored))
    assert found == (pytest.approx(np.mean(pairs)) if pairs else None)


@given(SCORED, st.data())
def test_best_of_is_that_of_all_choices(scored: list[tuple[int, bool]], data: st.DataObject) -> None:
    """The best of N is what the mean over all choices of N answers says, equal scores drawn by lot."""
    size = data.draw(st.integers(1, len(scored)))
    truths, tops = [], []
    for chosen in combinations(scored, size):
        top = max(score for score, _ in chosen)
        truths.append(np.mean([right for score, right in chosen if score == top]))
        tops.append(top)
    assert best_of(*_arrays(scored), size) == pytest.approx((np.mean(truths), np.mean(tops)))


def _samples(problems: int, *, deceives: bool, seed: int = 1) -> list[Sample]:
    """Answers whose scores speak for the right ones; but of deceiving verifiers the very highest are of wrong ones."""
    generator = np.random.default_rng(seed)
    samples = []
    for problem in range(problems):
        for _ in range(16):
            is_correct = bool(generator.random() < 0.5)
            score = generator.normal(1.0 if is_correct else 0.0)
            if deceives and not is_correct and generator.random() < 0.15:
                score += 9
            samples.append(Sample(f"p{problem}", score, is_correct))
    return samples


def test_a_cap_where_more_answers_deceive() -> None:
    """Where a verifier's highest scores are wrong answers', truth falls as N and the scores grow, and N is capped."""
    health = examine(_samples(200, deceives=True), SIZES, seed=2)
    assert health.cap == 2
    assert [point.samples for point in health.curve] == list(SIZES)
    assert health.curve[-1].truth.value < health.curve[0].truth.value
    assert all(before.score < after.score for before, after in zip(health.curve, health.curve[1:], strict=False))


def test_no_cap_on_a_good_verifier() -> None:
    """A verifier that orders answers well earns from every further one."""
    health = examine(_samples(200, deceives=False), SIZES, seed=2)
    assert health.cap is None
    truths = [point.truth.value for point in health.curve]
    assert truths == sorted(truths)
    assert health.within is not None
    assert health.within.low < 0.76 < health.within.high
    assert health.within.problems == 200


def test_intervals_cover_what_they_estimate() -> None:
    """The interval of the area within problems holds the true one about as often as its level says."""
    hits = 0
    for seed in range(200):
        within = examine(_samples(30, deceives=False, seed=seed), (), seed=seed).within
        assert within is not None
        hits += within.low <= _TRUE_AREA <= within.high
    assert 0.9 <= hits / 200 <= 0.99


def test_within_problems_is_not_pooled() -> None:
    """A verifier that only tells easy problems from hard ones has a good pooled area, and none within problems."""
    generator = np.random.default_rng(3)
    samples = [
        Sample(
            f"p{problem}", problem % 2 + generator.normal(0, 0.1), bool(generator.random() < 0.1 + 0.8 * (problem % 2))
        )
        for problem in range(200)
        for _ in range(8)
    ]
    health = examine(samples, (1, 8), seed=4)
    assert health.pooled is not None
    assert health.pooled > 0.85
    assert health.within is not None
    assert health.within.low < 0.5 < health.within.high


def test_too_few_problems_show_nothing() -> None:
    """With a handful of problems an interval is the whole range, and no cap is found; without any there is nothing."""
    health = examine(_samples(5, deceives=True), SIZES, seed=2)
    assert health.within is not None
    assert (health.within.low, health.within.high) == (0.0, 1.0)
    assert health.cap is None
    empty = examine([], SIZES, seed=2)
    assert (empty.within, empty.pooled, empty.curve, empty.cap) == (None, None, (), None)


def test_shallow_problems_are_left_out_of_the_curve() -> None:
    """Every size is measured on the same problems: those with enough answers for the largest."""
    samples = [*_samples(20, deceives=False), Sample("shallow", 1.0, True), Sample("shallow", 0.0, False)]
    health = examine(samples, SIZES, seed=2)
    assert {point.truth.problems for point in health.curve} == {20}
    assert health.within is not None
    assert health.within.problems == 21
    assert examine(samples[-2:], SIZES, seed=2).curve == ()


def _sequence(problem: str, *scored: tuple[float, bool]) -> list[Sample]:
    return [Sample(problem, score, is_correct) for score, is_correct in scored]


def test_a_decided_search_is_followed_as_it_went() -> None:
    """Its answers count in their order, and where more would not have been drawn the same one wins."""
    samples = _sequence("p", (0.4, True), (0.2, False), (0.995, False))
    [first, second, more] = examine(samples, (1, 2, 4), seed=1, decided={"p"}).curve
    assert [each.truth.value for each in (first, second, more)] == [1.0, 1.0, 0.0]
    assert [each.score for each in (first, second, more)] == [0.4, 0.4, 0.995]
    assert examine(samples, (1, 2, 4), seed=1).curve == ()


def test_decided_searches_show_what_deceives() -> None:
    """An accepted answer that is wrong counts against larger sizes, though no more were drawn after it."""
    generator = np.random.default_rng(5)
    samples: list[Sample] = []
    decided = []
    for problem in range(200):
        for _ in range(8):
            is_correct, deceives = bool(generator.random() < 0.5), bool(generator.random() < 0.1)
            score = 0.995 if deceives else 0.5 + 0.1 * is_correct
            samples.append(Sample(f"p{problem}", score, is_correct and not deceives))
            if deceives:
                decided.append(f"p{problem}")
                break
    assert examine(samples, (1, 2, 4, 8), seed=1, decided=decided).cap is not None
    assert examine(samples, (1, 2, 4, 8), seed=1).cap is None


def test_looks_share_one_risk() -> None:
    """However many looks there are, their parts together are below the whole."""
    assert sum(risk_of(look) for look in range(1, 10_000)) < RISK
    assert risk_of(1) == RISK / 2


def test_a_later_look_takes_more_to_find_a_cap() -> None:
    """What just suffices for the first look does not for the hundredth."""
    samples = _samples(60, deceives=True, seed=6)
    assert examine(samples, (1, 16), seed=1).cap == 1
    assert examine(samples, (1, 16), seed=1, look=10**15).cap is None
    assert examine(_samples(29, deceives=True, seed=6), SIZES, seed=1).cap is None
