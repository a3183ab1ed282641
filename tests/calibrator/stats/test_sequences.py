"""Tests of calibrator/stats/sequences.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ville import AsymptoticCS

from calibrator.stats.betting import Side
from calibrator.stats.sequences import (
    Moments,
    asymptotic_interval,
    asymptotic_sequence,
    begin,
    difference_scores,
    moments,
)

_RANDOM = np.random.default_rng(8)
_VALUES = (_RANDOM.random(3_000) < 0.7).astype(float)


def test_batches_add_up() -> None:
    """An e-process fed in batches is the one fed at once."""
    whole = begin(0.6, Side.LOWER).extended(_VALUES)
    parts = begin(0.6, Side.LOWER)
    for batch in np.array_split(_VALUES, 17):
        parts = parts.extended(batch)
    assert parts.log_capital == pytest.approx(whole.log_capital)
    assert parts.log_evidence == pytest.approx(whole.log_evidence)
    assert (parts.sample_size, parts.estimate) == (3_000, pytest.approx(_VALUES.mean()))


def test_capital_is_the_mean_of_the_bets() -> None:
    """After a few values the capital is what laying the twelve bets by hand comes to."""
    ours = begin(0.5, Side.LOWER).extended([1.0, 0.0, 1.0])
    bets = [0.9 * 2.0**-power / 0.5 for power in range(12)]
    by_hand = sum((1 + bet / 2) ** 2 * (1 - bet / 2) for bet in bets) / 12
    assert math.exp(ours.log_capital) == pytest.approx(by_hand)


def test_evidence_keeps_its_peak() -> None:
    """The largest capital decides, also after later values have spoken against it."""
    high = begin(0.3, Side.LOWER).extended(np.ones(40))
    assert high.refutes(0.01)
    later = high.extended(np.zeros(400))
    assert later.log_capital < 0
    assert later.refutes(0.01)
    assert later.log_evidence == high.log_evidence
    assert later.p_value == math.exp(-high.log_evidence)


def test_sides_mirror_each_other() -> None:
    """Evidence that a mean is low is that of one less the values being high."""
    low = begin(0.8, Side.UPPER).extended(_VALUES)
    high = begin(0.2, Side.LOWER).extended(1 - _VALUES)
    assert low.log_capital == pytest.approx(high.log_capital)
    assert low.refutes(0.001)
    assert not begin(0.6, Side.UPPER).extended(_VALUES).refutes(0.5)


def test_before_the_first_value_nothing_is_said() -> None:
    """An empty process stands at its null with a p-value of 1, and an empty batch changes nothing."""
    empty = begin(0.5, Side.LOWER)
    assert (empty.estimate, empty.p_value, empty.log_capital) == (0.5, 1.0, 0.0)
    assert empty.extended([]) == empty


def test_difference_scores_are_unbiased_and_stay_in_range() -> None:
    """Averaged over which arm is drawn, a score is the difference of the two arms' outcomes, whatever the centre."""
    for centre in (0.0, 0.5, 0.83):
        for share in (0.01, 0.25):
            new, low, high = difference_scores([1.0, 0.25], [True, False], share, centre)
            drawn_otherwise, _, _ = difference_scores([0.25, 1.0], [False, True], share, centre)
            mean = share * np.array([new[0], drawn_otherwise[1]]) + (1 - share) * np.array([drawn_otherwise[0], new[1]])
            assert mean == pytest.approx([0.75, 0.75])
            assert low <= min(new.min(), drawn_otherwise.min())
            assert high >= max(new.max(), drawn_otherwise.max())


def test_moments_join() -> None:
    """Moments of two parts joined are those of the whole."""
    one, other = moments(_VALUES[:700]), moments(_VALUES[700:])
    joined = one.joined(other)
    assert (joined.count, joined.mean) == (3_000, pytest.approx(_VALUES.mean()))
    assert joined.variance == pytest.approx(_VALUES.var())
    assert Moments(0, 0.0, 0.0).joined(one) == one
    assert moments([]).joined(moments([])) == Moments(0, 0.0, 0.0)


def test_asymptotic_sequence_is_near_that_of_ville() -> None:
    """ville's, which finds the narrowest width by search, agrees to a twentieth."""
    theirs = AsymptoticCS(alpha=0.1, t_opt=500).update(_VALUES)
    ours = asymptotic_sequence(_VALUES, 0.9, narrowest_at=500, looks=(200, 500, 3_000))
    for place, size in enumerate(ours.sample_sizes):
        half = theirs.upper_[size - 1] - theirs.estimate_[size - 1]
        assert ours.upper[place] - ours.estimates[place] == pytest.approx(half, rel=0.05)


def test_asymptotic_interval_is_the_last_of_the_sequence() -> None:
    """Moments and values lead to the same interval, two-sided or one-sided, and one side is closer."""
    widths = []
    for side in Side:
        listed = asymptotic_sequence(_VALUES, 0.9, narrowest_at=800, looks=(3_000,), side=side).last
        ours = asymptotic_interval(moments(_VALUES), 0.9, narrowest_at=800, side=side)
        assert (ours.lower, ours.upper) == pytest.approx((listed.lower, listed.upper))
        widths.append(min(ours.upper - ours.estimate, ours.estimate - ours.lower))
    assert widths[0] == pytest.approx(widths[1])
    assert widths[0] < widths[2]


def test_values_may_be_counted_instead_of_listed() -> None:
    """The capital is that of the values one by one; the evidence is only as large as at the looks that were taken."""
    for side in (Side.LOWER, Side.UPPER):
        fresh = begin(0.6, side)
        listed = fresh.extended(np.repeat([1.0, 0.25, 0.0], [700, 40, 260]))
        counted = fresh.tallied([1.0, 0.25, 0.0], [700, 40, 260])
        assert counted.log_capitals == pytest.approx(listed.log_capitals)
        assert (counted.sample_size, counted.total) == (1_000, pytest.approx(710))
        assert 0 <= counted.log_evidence <= listed.log_evidence
    with pytest.raises(ValueError, match="counts must lie from 0"):
        begin(0.6, Side.LOWER).tallied([1.0], [-1])


def test_one_bound_is_the_one_sided_boundary() -> None:
    """The reach of a single bound is that of the paper's proposition B.1, with the mixture tuned at twice the risk."""
    ours = asymptotic_interval(Moments(600, 0.2, 0.16), 0.9, narrowest_at=400, side=Side.UPPER)
    square = (-2 * math.log(0.2) + math.log(1 - 2 * math.log(0.2))) / 400
    grown = 600 * square + 1
    reach = 0.4 * math.sqrt(2 * grown / (600**2 * square) * math.log(1 + math.sqrt(grown) / 0.2))
    assert ours.upper - 0.2 == pytest.approx(reach)


def test_no_values_leave_everything_open() -> None:
    """Without a value the asymptotic interval is infinite."""
    assert asymptotic_interval(Moments(0, 0.0, 0.0), 0.9, narrowest_at=10).upper == math.inf


def test_what_cannot_be_watched_is_refused() -> None:
    """Two-sided processes, nulls and values beyond the range, shares of all or none and late looks raise ValueError."""
    with pytest.raises(ValueError, match="one side"):
        begin(0.5, Side.BOTH)
    with pytest.raises(ValueError, match="one side"):
        begin(1.0, Side.LOWER)
    with pytest.raises(ValueError, match="lie from 0 to 1"):
        begin(0.5, Side.LOWER).extended([1.5])
    with pytest.raises(ValueError, match="chance of being drawn"):
        difference_scores([1.0], [True], 1.0)
    with pytest.raises(ValueError, match="sample sizes from 1 to"):
        asymptotic_sequence([1.0, 0.0], 0.9, narrowest_at=1, looks=(3,))
    with pytest.raises(ValueError, match="at least 1"):
        asymptotic_interval(Moments(3, 0.5, 0.1), 0.9, narrowest_at=0)
