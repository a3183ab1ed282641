"""Tests of calibrator/stats/pairs.py."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel

from calibrator.stats.pairs import mcnemar, paired_difference

_RANDOM = np.random.default_rng(11)


def test_paired_difference_is_students_interval() -> None:
    """The interval is the one that scipy's paired t-test gives."""
    first, second = _RANDOM.random(80), _RANDOM.random(80)
    theirs = ttest_rel(first, second).confidence_interval(0.9)
    ours = paired_difference(first, second, 0.9)
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high))
    assert ours.estimate == pytest.approx(first.mean() - second.mean())
    assert ours.sample_size == 80


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (0, 1), (5, 12), (12, 5), (8, 8), (200, 260)])
def test_mcnemar_is_the_sign_test_of_disagreements(only_first: int, only_second: int) -> None:
    """The p-value is the two-sided binomial one of the pairs that disagree, whatever the others are."""
    first = np.repeat([1, 0, 1, 0], [only_first, only_second, 30, 10])
    second = np.repeat([0, 1, 1, 0], [only_first, only_second, 30, 10])
    ours = mcnemar(first, second)
    disagree = only_first + only_second
    expected = binomtest(only_first, disagree).pvalue if disagree else 1.0
    assert ours.p_value == pytest.approx(expected)
    assert ours.estimate == pytest.approx((only_first - only_second) / (disagree + 40))
    assert ours.sample_size == disagree + 40


def test_what_is_no_pair_is_refused() -> None:
    """Rows of unlike length, graded outcomes in McNemar's test, no pairs and values that are not finite are refused."""
    with pytest.raises(ValueError, match="as many"):
        paired_difference([1, 2, 3], [1, 2], 0.9)
    with pytest.raises(ValueError, match="two pairs"):
        paired_difference([1], [1], 0.9)
    with pytest.raises(ValueError, match="graded"):
        mcnemar([0.5, 1], [0, 1])
    with pytest.raises(ValueError, match="at least one pair"):
        mcnemar([], [])
    with pytest.raises(ValueError, match="finite"):
        paired_difference([float("nan"), 1], [0, 1], 0.9)
    with pytest.raises(ValueError, match="one row"):
        paired_difference([[1, 2]], [[0, 1]], 0.9)
