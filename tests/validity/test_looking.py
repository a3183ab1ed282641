"""Simulated validity of what may be looked at all the time."""

from __future__ import annotations

import numpy as np
import pytest

from calibrator.stats.betting import Side, sequence
from calibrator.stats.drift import adaptive_window, page_hinkley, population_stability
from calibrator.stats.pairs import paired_difference
from calibrator.stats.sequences import (
    asymptotic_sequence,
    difference_scores,
    log_growth,
    mixed,
)
from tests.validity.counting import most_misses


@pytest.mark.parametrize("mean", [0.05, 0.5])
def test_a_confidence_sequence_never_misses_oftener_than_it_says(mean: float) -> None:
    """Looked at fifteen times, the nested intervals lose the mean at any look no oftener than promised."""
    random = np.random.default_rng(1)
    looks = tuple(range(20, 301, 20))
    missed = 0
    for _ in range(120):
        ours = sequence((random.random(300) < mean).astype(float), 0.8, looks=looks)
        missed += not (ours.lower[-1] <= mean <= ours.upper[-1])
    assert missed <= most_misses(120, 0.2)


def test_the_asymptotic_sequence_keeps_its_level_where_students_interval_does_not() -> None:
    """From 100 to 4,000 values, looked at 40 times, it misses as promised; the fixed-size one misses far oftener."""
    random = np.random.default_rng(2)
    looks = tuple(range(100, 4_001, 100))
    missed = dict.fromkeys(Side, 0)
    fixed = 0
    for _ in range(400):
        values = (random.random(4_000) < 0.3).astype(float)
        for side in Side:
            ours = asymptotic_sequence(values, 0.9, narrowest_at=500, looks=looks, side=side)
            missed[side] += min(ours.upper) < 0.3 or max(ours.lower) > 0.3
        intervals = [paired_difference(values[:size], np.zeros(size), 0.9) for size in looks[::4]]
        fixed += any(not each.lower <= 0.3 <= each.upper for each in intervals)
    assert max(missed.values()) <= most_misses(400, 0.1)
    assert fixed > most_misses(400, 0.2)


@pytest.mark.parametrize("side", [Side.LOWER, Side.UPPER])
def test_an_e_process_rarely_grows_where_its_null_is_true(side: Side) -> None:
    """At the null's edge, the capital reaches 10 in a tenth of runs at most over 2,000 looks; off it, nearly always."""
    random = np.random.default_rng(3)
    values = (random.random((300, 2_000)) < 0.8).astype(float)
    peaks = mixed(log_growth(values, 0.8, 0.0, 1.0, side)).max(axis=-1)
    assert int((peaks >= np.log(10)).sum()) <= most_misses(300, 0.1)
    beyond = 0.75 if side is Side.LOWER else 0.85
    grown = mixed(log_growth(values, beyond, 0.0, 1.0, side)).max(axis=-1)
    assert int((grown >= np.log(10)).sum()) >= 295


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_a_canary_is_judged_fairly_at_any_share(share: float) -> None:
    """An arm as good as the old is called worse in at most a tenth of runs; one 15 points worse is found out."""
    random = np.random.default_rng(4)
    is_new = random.random((200, 3_000)) < share
    alarms = {}
    for loss in (0.0, 0.15):
        outcomes = (random.random(is_new.shape) < np.where(is_new, 0.8 - loss, 0.8)).astype(float)
        scores, low, high = difference_scores(outcomes.ravel(), is_new.ravel(), share, 0.8)
        growth = log_growth(scores.reshape(is_new.shape), 0.0, low, high, Side.UPPER)
        alarms[loss] = int((mixed(growth).max(axis=-1) >= np.log(10)).sum())
    assert alarms[0.0] <= most_misses(200, 0.1)
    assert alarms[0.15] > (100 if share < 0.1 else 195)


def test_adaptive_windows_rarely_drop_what_has_not_changed() -> None:
    """Over 3,000 values of one mean few runs drop anything; a change by a fifth is noticed in every run."""
    random = np.random.default_rng(5)
    dropped, noticed = 0, 0
    for _ in range(100):
        steady = (random.random(3_000) < 0.7).astype(float)
        dropped += bool(adaptive_window(steady, 0.01).changes)
        moved = np.concatenate((steady, (random.random(1_000) < 0.5).astype(float)))
        noticed += any(change > 3_000 for change in adaptive_window(moved, 0.01).changes)
    assert dropped <= 10
    assert noticed == 100


def test_page_hinkley_can_be_set_by_simulation() -> None:
    """At a tolerance of 0.05 and a threshold of 15, steady errors rarely raise it and a rise of 15 points does."""
    random = np.random.default_rng(6)
    steady = (random.random((200, 3_000)) < 0.2).astype(float)
    risen = (random.random((200, 1_000)) < 0.35).astype(float)
    false = sum(page_hinkley(row, tolerance=0.05, threshold=15).raised_after is not None for row in steady)
    both = np.concatenate((steady, risen), axis=1)
    found = sum(page_hinkley(row, tolerance=0.05, threshold=15).raised_after is not None for row in both)
    assert false <= 4
    assert found == 200


def test_population_stability_is_as_large_by_chance_as_it_says() -> None:
    """Over one mix the index averages (bins - 1)(1/n + 1/m), and the p-value keeps its level."""
    random = np.random.default_rng(7)
    mix = [0.5, 0.2, 0.15, 0.1, 0.05]
    made = [population_stability(random.multinomial(400, mix), random.multinomial(200, mix)) for _ in range(1_500)]
    assert np.mean([each.index for each in made]) == pytest.approx(4 * (1 / 400 + 1 / 200), rel=0.1)
    assert sum(each.evidence.p_value <= 0.1 for each in made) <= most_misses(1_500, 0.1)
