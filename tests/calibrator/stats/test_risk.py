"""Tests of calibrator/stats/risk.py."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from mapie.risk_control.fwer_control import FWERFixedSequenceTesting
from mapie.risk_control.methods import get_r_hat_plus

from calibrator.stats.risk import control_risk, fallback, fixed_sequence

_RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize("seed", range(20))
def test_fixed_sequence_is_that_of_mapie(seed: int) -> None:
    """On random p-values the certified rules are those that MAPIE's procedure rejects."""
    p_values = np.random.default_rng(seed).random(6) ** 4
    theirs = FWERFixedSequenceTesting().run(p_values, 0.1)
    assert fixed_sequence(p_values.tolist(), 0.9).places == tuple(int(place) for place in theirs)


def test_the_walk_reads_no_more_than_it_needs() -> None:
    """P-values behind the first that is too large are never computed."""

    def computed() -> Iterator[float]:
        yield from (0.01, 0.1, 0.11)
        raise AssertionError("read on")

    ours = fixed_sequence(computed(), 0.9)
    assert (ours.places, ours.last, ours.p_values) == ((0, 1), 1, (0.01, 0.1, 0.11))
    assert fixed_sequence([0.5], 0.9).last is None
    assert fixed_sequence([], 0.9).places == ()


def test_fallback_goes_on_behind_a_bad_rule() -> None:
    """A rule that fails stops what it was left, not the shares of later rules; one share is a plain walk."""
    p_values = [0.01, 0.2, 0.025, 0.06]
    assert fallback(p_values, [0.5, 0.0, 0.3, 0.2], 0.9).places == (0, 2)
    assert fallback([0.01, 0.2, 0.025, 0.045], [0.5, 0.0, 0.3, 0.2], 0.9).places == (0, 2, 3)
    assert fallback(p_values, [1, 0, 0, 0], 0.9).places == fixed_sequence(p_values, 0.9).places


def test_a_rule_without_a_share_is_never_certified() -> None:
    """With nothing left for it, even a p-value of 0 certifies nothing."""
    assert fallback([0.9, 0.0], [1, 0], 0.9).places == ()


def test_control_risk_takes_the_furthest_threshold_that_mapie_finds_safe() -> None:
    """Its bound is MAPIE's conformal one where losses only grow, and the furthest within the target is taken."""
    scores = _RANDOM.random(200)
    thresholds = np.linspace(0, 1, 11)
    losses = (scores[:, None] < thresholds).astype(float)
    _, theirs = get_r_hat_plus(losses, thresholds, "crc", None, None, None)
    ours = control_risk(losses, 0.35)
    assert ours.place == int(np.flatnonzero(theirs <= 0.35)[-1])
    assert ours.bound == pytest.approx(theirs[ours.place])
    assert ours.estimate == pytest.approx(losses[:, ours.place].mean())


def test_a_loss_that_falls_back_is_taken_as_the_largest_before_it() -> None:
    """A bold threshold that happens to lose less than one before it is not taken for safe."""
    losses = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] * 50)
    assert control_risk(losses, 0.6).place == 1
    assert control_risk(np.ones((50, 2)), 0.5).place is None


def test_what_is_no_p_value_weight_or_loss_is_refused() -> None:
    """P-values and weights beyond their range, and losses that are no table or too large, raise ValueError."""
    with pytest.raises(ValueError, match="p-value"):
        fixed_sequence([1.2], 0.9)
    with pytest.raises(ValueError, match="sum to at most 1"):
        fallback([0.1, 0.1], [0.7, 0.7], 0.9)
    with pytest.raises(ValueError, match="table"):
        control_risk([0.1, 0.2], 0.5)
    with pytest.raises(ValueError, match="lie from 0 to 1"):
        control_risk([[2.0]], 0.5)
