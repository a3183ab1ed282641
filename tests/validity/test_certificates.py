"""Simulated validity of the bounds and tests that certify a loss at one sample size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multinomial

from calibrator.stats.betting import Side, bound_mean, bound_paired_loss
from calibrator.stats.certificates import Labels, certify_path
from calibrator.stats.noninferiority import PairedCounts, refute_loss
from calibrator.stats.pairs import mcnemar, paired_difference
from calibrator.stats.risk import control_risk, fallback, fixed_sequence
from tests.validity.counting import most_misses


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.15])
def test_the_exact_test_keeps_its_level_at_every_nuisance(margin: float) -> None:
    """Summed over all results of 18 items, a p-value of at most p comes with at most that chance at the margin."""
    items = 18
    results = [(a, b) for a in range(items + 1) for b in range(items + 1 - a)]
    p_values = np.array([refute_loss(PairedCounts(items, a, b), margin).p_value for a, b in results])
    counts = np.array([(a, b, items - a - b) for a, b in results])
    for gain in np.linspace(0, (1 - margin) / 2, 41):
        chances = multinomial(items, (gain + margin, gain, 1 - 2 * gain - margin)).pmf(counts)
        for level in (0.02, 0.1, 0.3):
            assert chances[p_values <= level].sum() <= level + 1e-9


def test_the_exact_test_certifies_where_betting_does_not() -> None:
    """At 400 items, a rule that loses nothing on balance is certified below 0.03 far oftener than by betting."""
    random = np.random.default_rng(1)
    tested, bet = 0, 0
    for _ in range(100):
        losses, gains, rest = random.multinomial(400, (0.03, 0.03, 0.94)).tolist()
        tested += refute_loss(PairedCounts(400, losses, gains), 0.02).p_value <= 0.1
        differences = random.permutation(np.repeat([1.0, -1.0, 0.0], [losses, gains, rest]))
        bet += bound_mean(differences, 0.9, low=-1, high=1, side=Side.UPPER).upper <= 0.02
    assert tested > 1.4 * bet
    assert tested > 50


@pytest.mark.parametrize("shape", ["rare", "even", "graded"])
def test_betting_bounds_hold(shape: str) -> None:
    """Upper, lower and both bounds miss the mean no oftener than they say, for three distributions."""
    random = np.random.default_rng(2)
    runs = 250
    draw = {
        "rare": (lambda: (random.random(200) < 0.02).astype(float), 0.02),
        "even": (lambda: (random.random(200) < 0.5).astype(float), 0.5),
        "graded": (lambda: random.beta(0.4, 1.6, 200), 0.2),
    }
    make, mean = draw[shape]
    for side in Side:
        made = [bound_mean(make(), 0.8, side=side) for _ in range(runs)]
        missed = sum(not each.lower <= mean <= each.upper for each in made)
        assert missed <= most_misses(runs, 0.2)


def test_the_bound_of_a_paired_loss_holds() -> None:
    """The mean loss lies above its bound no oftener than promised, with scores that are graded."""
    random = np.random.default_rng(3)
    missed = 0
    for _ in range(300):
        reference = random.beta(4, 1, 150)
        rule = np.where(random.random(150) < 0.1, reference * 0.7, reference)
        missed += bound_paired_loss(reference, rule, 0.8).upper < 0.1 * 0.3 * 0.8
    assert missed <= most_misses(300, 0.2)


def test_students_interval_and_mcnemar_keep_their_levels() -> None:
    """With two hundred pairs that often disagree both are as good as they say."""
    random = np.random.default_rng(4)
    missed, alarms = 0, 0
    for _ in range(1_000):
        first, second = (random.random((2, 200)) < 0.6).astype(float)
        interval = paired_difference(first, second, 0.9)
        missed += not interval.lower <= 0 <= interval.upper
        alarms += mcnemar(first, second).p_value <= 0.1
    assert missed <= most_misses(1_000, 0.1)
    assert alarms <= most_misses(1_000, 0.1)


def test_walks_certify_a_bad_rule_no_oftener_than_they_say() -> None:
    """On paths of dependent losses, neither procedure certifies any rule beyond the target oftener than promised."""
    random = np.random.default_rng(5)
    target, rates = 0.05, np.array([0.01, 0.03, 0.0501, 0.08])
    walked, fallen = 0, 0
    for _ in range(400):
        draws = random.random(200)
        lost = [int((draws < rate).sum()) for rate in rates]
        p_values = [refute_loss(PairedCounts(200, count, 0), target).p_value for count in lost]
        walked += any(rates[place] > target for place in fixed_sequence(p_values, 0.9).places)
        fallen += any(rates[place] > target for place in fallback(p_values, [0.4, 0.2, 0.2, 0.2], 0.9).places)
    assert walked <= most_misses(400, 0.1)
    assert fallen <= most_misses(400, 0.1)


def test_conformal_risk_is_kept_on_average() -> None:
    """Over many calibration sets, the mean true loss of the threshold taken is at most the target."""
    random = np.random.default_rng(6)
    thresholds = np.linspace(0, 0.5, 26)
    true_losses = []
    for _ in range(2_000):
        losses = (random.random(60)[:, None] < thresholds).astype(float)
        place = control_risk(losses, 0.15).place
        true_losses.append(0.0 if place is None else thresholds[place])
    assert np.mean(true_losses) <= 0.15
    assert np.mean(true_losses) > 0.11


@pytest.mark.parametrize("is_binary", [True, False])
def test_a_walked_path_keeps_its_promise_at_the_edge(is_binary: bool) -> None:
    """Where the second step loses just more than the target, it is certified no oftener than promised."""
    random = np.random.default_rng(7)
    weights, target, runs = np.array([0.6, 0.4]), 0.03, 120
    lost, gained = np.array([0.01, 0.12]), np.array([0.01, 0.044])
    assert float(weights @ (lost - gained)) > target
    broken, steps = 0, 0
    for _ in range(runs):
        cells = random.choice(2, 200, p=weights)
        drawn = random.random(200)
        differs = np.where(drawn < lost[cells], -1, np.where(drawn > 1 - gained[cells], 1, 0))
        reference = np.where(differs < 0, 1.0, np.where(differs > 0, 0.0, 1.0))
        scores = np.stack((reference + differs, reference), axis=1)
        labels = Labels(cells, scores, weights, reference=1, is_binary=is_binary)
        place = certify_path(labels, ((0, 1), (0, 0)), target, 0.9).place
        broken += place == 1
        steps += place is not None
    assert broken <= most_misses(runs, 0.1)
    assert steps > 0.5 * runs
