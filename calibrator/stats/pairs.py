"""Two ways of answering on the same items: their difference, and whether there is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, stdtrit

from calibrator.stats.results import FIXED_SIZE, INDEPENDENT, Evidence, Interval, checked_confidence, paired


def paired_difference(first: ArrayLike, second: ArrayLike, confidence: float) -> Interval:
    """The mean of first less second over the same items, with Student's interval.

    Guarantee: asymptotic only, by the central limit theorem. With pairs that mostly agree, a few hundred
    items are few: the interval can then miss more often than promised, and shrinks to a point where none
    disagree. To certify, take ``refute_loss`` (right or wrong) or ``betting.bound_mean`` (graded). Not
    for repeated looking; ``asymptotic_sequence`` is.
    """
    one, other = paired(first, second)
    if one.size < _FEWEST:
        raise ValueError(f"a spread takes at least two pairs; there are {one.size}")
    differences = one - other
    mean = float(differences.mean())
    error = float(differences.std(ddof=1)) / differences.size**0.5
    reach = float(stdtrit(differences.size - 1, (1 + checked_confidence(confidence)) / 2)) * error
    assumed = (INDEPENDENT, FIXED_SIZE, "enough items for the mean difference to be nearly normal")
    return Interval(mean, mean - reach, mean + reach, confidence, differences.size, assumed)


_FEWEST = 2


def mcnemar(first: ArrayLike, second: ArrayLike) -> Evidence:
    """Test that two ways are right equally often, from the items on which only one of them is.

    Guarantee: exact at every size. Given how many pairs disagree, first is the right one of half of them
    if the two are equally good (McNemar 1947, Psychometrika 12:153); the p-value is that of the two-sided
    sign test. Outcomes are right or wrong; pairs that agree say nothing. It tests a difference of nothing
    and no margin, so a large p-value never shows that the two are equal: for that, ``refute_loss``.
    Looking again after more items makes false alarms likelier; ``EProcess`` does not.
    """
    one, other = paired(first, second)
    if not np.isin(np.concatenate((one, other)), (0, 1)).all():
        raise ValueError("McNemar's test takes outcomes of 0 or 1; for graded ones take paired_difference")
    if not one.size:
        raise ValueError("at least one pair is needed")
    fewer, more = sorted((int((one > other).sum()), int((one < other).sum())))
    tail = 1.0 if fewer == more else min(1.0, 2 * float(1 - betainc(fewer + 1, more, 0.5)))
    assumed = (INDEPENDENT, FIXED_SIZE, "outcomes are right or wrong")
    return Evidence(float((one - other).mean()), 0.0, tail, one.size, assumed)
