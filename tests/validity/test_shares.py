"""Simulated coverage of what calibrator/stats says of shares and of small cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from calibrator.stats.curves import shrink, shrink_chain, smooth_rising
from calibrator.stats.intervals import beta, exact, wilson
from calibrator.stats.judges import JudgeRecord, correct_for_judge
from tests.validity.counting import most_misses


@pytest.mark.parametrize("trials", [10, 40, 200])
def test_exact_covers_every_share(trials: int) -> None:
    """Summed over all outcomes, the exact interval covers each share with its confidence at least."""
    assert min(_coverages(exact, trials, 0.9)) >= 0.9


@pytest.mark.parametrize("trials", [10, 40, 200])
def test_wilson_and_jeffreys_cover_on_average(trials: int) -> None:
    """Averaged over shares, both cover to within a point and a half of their level; at none do they miss by 10 more."""
    for make in (wilson, beta):
        coverages = _coverages(make, trials, 0.9)
        assert np.mean(coverages) == pytest.approx(0.9, abs=0.015)
        assert min(coverages) > 0.77


def test_beta_covers_shares_from_its_prior() -> None:
    """Where shares come from the prior, the posterior interval covers them as often as it says."""
    random = np.random.default_rng(1)
    shares = random.beta(4, 2, 4_000)
    wins = random.binomial(12, shares)
    made = {count: beta(count, 12, 0.9, prior=(4, 2)) for count in range(1, 12)}
    inner = [(made[count], share) for count, share in zip(wins.tolist(), shares, strict=True) if count in made]
    missed = sum(not made_of.lower <= share <= made_of.upper for made_of, share in inner)
    assert missed <= most_misses(len(inner), 0.1)


def test_shrinking_beats_raw_rates_and_covers_on_average() -> None:
    """Over simulated families the squared error falls by a third at 8 trials a cell, and the intervals cover 0.9."""
    random = np.random.default_rng(2)
    error, raw, missed, cells = 0.0, 0.0, 0, 0
    for _ in range(60):
        centres = random.beta(6, 3, 4)
        family = np.repeat(np.arange(4), 12)
        truth = random.beta(15 * centres[family], 15 * (1 - centres[family]))
        trials = np.full(truth.size, 8)
        wins = random.binomial(trials, truth)
        ours = shrink(wins, trials, family, 0.9)
        error += float(((np.array(ours.estimates) - truth) ** 2).sum())
        raw += float(((wins / trials - truth) ** 2).sum())
        missed += int(((np.array(ours.lower) > truth) | (np.array(ours.upper) < truth)).sum())
        cells += truth.size
    assert error < 0.67 * raw
    assert missed / cells == pytest.approx(0.1, abs=0.025)


def test_the_chain_beats_the_family_alone_where_families_are_small() -> None:
    """With two cells a family and few trials, lending on from the arm brings the rates closer."""
    random = np.random.default_rng(3)
    chained, alone = 0.0, 0.0
    for _ in range(80):
        family = np.repeat(np.arange(10), 2)
        centres = random.beta(16, 6, 10)
        truth = random.beta(30 * centres[family], 30 * (1 - centres[family]))
        trials = np.full(truth.size, 4)
        wins = random.binomial(trials, truth)
        chain = shrink_chain(wins, trials, family, np.zeros_like(family), 0.9)
        chained += float(((np.array(chain.estimates) - truth) ** 2).sum())
        alone += float(((np.array(shrink(wins, trials, family, 0.9).estimates) - truth) ** 2).sum())
    assert chained < 0.9 * alone


def test_smoothing_helps_where_the_truth_rises_and_spares_a_fall() -> None:
    """A rising truth is estimated more closely; of falls of five standard errors none is evened out."""
    random = np.random.default_rng(4)
    rising, error = np.array([0.6, 0.61, 0.62, 0.63]), np.full(4, 0.03)
    drawn = rising + 0.03 * random.standard_normal((2_000, 4))
    smoothed = np.array([smooth_rising(row, np.ones(4), error).estimates for row in drawn])
    assert ((smoothed - rising) ** 2).sum() < 0.9 * ((drawn - rising) ** 2).sum()
    falling = np.array([0.8, 0.8 - 5 * 0.03 * 2**0.5]) + 0.03 * random.standard_normal((2_000, 2))
    evened = sum(smooth_rising(row, np.ones(2), error[:2]).is_pooled[0] for row in falling)
    assert evened <= most_misses(2_000, 1e-4)


@pytest.mark.parametrize("truth", [0.3, 0.6, 0.85])
def test_a_corrected_judge_covers_the_true_share(truth: float) -> None:
    """With sixty known answers of either kind, the corrected interval covers the share as often as it says."""
    random = np.random.default_rng(5)
    missed, naive = 0, 0
    for _ in range(1_500):
        record = JudgeRecord(60, random.binomial(60, 0.9), 60, random.binomial(60, 0.8))
        accepted = random.binomial(500, truth * 0.9 + (1 - truth) * 0.2)
        ours = correct_for_judge(accepted, 500, record, 0.9)
        missed += not ours.lower <= truth <= ours.upper
        taken = wilson(accepted, 500, 0.9)
        naive += not taken.lower <= truth <= taken.upper
    assert missed <= most_misses(1_500, 0.1)
    assert naive > missed


def _coverages(make: object, trials: int, confidence: float) -> list[float]:
    assert callable(make)
    made = [make(count, trials, confidence) for count in range(trials + 1)]
    lower, upper = np.array([each.lower for each in made]), np.array([each.upper for each in made])
    chances = np.arange(trials + 1)
    return [
        float(binom.pmf(chances, trials, share)[(lower <= share) & (share <= upper)].sum())
        for share in np.linspace(0.005, 0.995, 199)
    ]
