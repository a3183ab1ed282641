"""Tests and intervals for looking at any time: e-processes, and the asymptotic confidence sequence.

Made for traffic that is watched without end. An e-process is kept as a dozen sums, so that it can be stored
and taken up again with the next batch; the asymptotic sequence needs a count, a mean and a variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from calibrator.stats.betting import ConfidenceSequence, Side
from calibrator.stats.results import ANY_SIZE, Floats, Integers, Interval, bounded, numbers, risk_left

_SHARES: Final = 0.9 * 2.0 ** -np.arange(12.0)
"""The bets that are laid side by side, as shares of the largest that cannot be ruined."""


@dataclass(frozen=True, slots=True)
class EProcess:
    """Evidence gathered, value by value, against "the mean is ``null`` or less" (or "or more", by ``side``).

    ``side`` LOWER refutes low means, UPPER high ones: the bound that would have to be on that side of the
    null. Guarantee: where the null is true, the capital ever reaches 1/risk with a chance of at most risk,
    however often one looks and whenever one stops (Ville 1939; as a test by betting, Waudby-Smith and
    Ramdas 2024, arXiv 2010.09686; e-processes, Ramdas et al. 2023, arXiv 2210.01948). Twelve constant bets
    share the stake (method of mixtures), so the variance need not be known, and the sums can be added in
    any batches. ``evidence`` is the largest capital so far, and 1/evidence a p-value at any time; the
    capital itself may be averaged with others', or multiplied with that of later, separate traffic.

    It fails where values leave the range, where the chance of seeing a value depends on it (feedback that
    only the unhappy give), and where the mean given the past is on the other side of the null for a
    while: then it may speak of that while.
    """

    null: float
    low: float
    high: float
    side: Side
    sample_size: int
    total: float
    log_capitals: tuple[float, ...]
    log_evidence: float
    assumptions: tuple[str, ...] = ("each value's mean given those before it is on one side of the null", ANY_SIZE)

    @property
    def estimate(self) -> float:
        """The mean so far; the null before the first value."""
        return self.total / self.sample_size if self.sample_size else self.null

    @property
    def log_capital(self) -> float:
        """The logarithm of the capital now."""
        return float(logsumexp(self.log_capitals)) - math.log(len(self.log_capitals))

    @property
    def p_value(self) -> float:
        """The anytime-valid p-value: one over the largest capital so far."""
        return math.exp(-self.log_evidence)

    def refutes(self, risk: float) -> bool:
        """Whether the null is refuted at this risk, now or at any look before."""
        return self.log_evidence >= -math.log(risk)

    def extended(self, values: ArrayLike) -> EProcess:
        """The process after these further values, in their order."""
        row = bounded(values, "values", self.low, self.high)
        capitals, most = np.array(self.log_capitals), self.log_evidence
        for start in range(0, row.size, _BLOCK):
            block = row[start : start + _BLOCK]
            growth = log_growth(block, self.null, self.low, self.high, self.side) + capitals[:, None]
            capitals, most = growth[:, -1], max(most, float(mixed(growth).max()))
        return replace(
            self,
            sample_size=self.sample_size + row.size,
            total=self.total + float(row.sum()),
            log_capitals=tuple(capitals.tolist()),
            log_evidence=most,
        )

    def tallied(self, values: ArrayLike, counts: ArrayLike) -> EProcess:
        """The process after each of these values so many times, looked at after the last alone.

        Then their order makes no difference, and ten thousand equal values take no longer than one. Fewer
        looks gather no more evidence, so the guarantee is the same.
        """
        row = bounded(values, "values", self.low, self.high)
        times = bounded(counts, "counts", 0, math.inf)
        grown = np.array(self.log_capitals) + _steps(row, self.null, self.low, self.high, self.side) @ times
        after = replace(
            self,
            sample_size=self.sample_size + int(times.sum()),
            total=self.total + float(row @ times),
            log_capitals=tuple(grown.tolist()),
        )
        return replace(after, log_evidence=max(self.log_evidence, after.log_capital))


_BLOCK: Final = 1 << 16
"""Values that are worked on at once, so that a million take no more memory than these."""


def begin(null: float, side: Side, *, low: float = 0.0, high: float = 1.0) -> EProcess:
    """An e-process before its first value; ``side`` LOWER gathers evidence that the mean is above the null."""
    if side is Side.BOTH or not low < null < high:
        raise ValueError(f"an e-process tests one side of a null within {low:g} to {high:g}")
    return EProcess(null, low, high, side, 0, 0.0, (0.0,) * _SHARES.size, 0.0)


def log_growth(values: Floats, null: float, low: float, high: float, side: Side) -> Floats:
    """The logarithm of each bet's capital after each value: one row a bet, values along the last axis."""
    steps = _steps(values, null, low, high, side)
    return np.cumsum(steps, axis=-1, out=steps)


def _steps(values: Floats, null: float, low: float, high: float, side: Side) -> Floats:
    """By what each value alone multiplies each bet's capital, as logarithms: one row a bet."""
    if side is Side.LOWER:
        bets, gains = _SHARES / (null - low), values - null
    else:
        bets, gains = _SHARES / (high - null), null - values
    steps: Floats = np.log1p(bets.reshape(-1, *(1 for _ in values.shape)) * gains)
    return steps


def mixed(growth: Floats) -> Floats:
    """The logarithm of the capital that is shared evenly by the bets in the rows."""
    shared: Floats = np.asarray(logsumexp(growth, axis=0)) - math.log(growth.shape[0])
    return shared


def difference_scores(
    outcomes: ArrayLike, is_new: ArrayLike, share: float, centre: ArrayLike = 0.5
) -> tuple[Floats, float, float]:
    """One value per request whose mean is how much better the new arm is than the old, with the values' range.

    A share of the requests, known and drawn at random, is answered by the new arm; each outcome, 0 to 1,
    is taken from ``centre``, divided by the chance of its arm, and signed. ``centre`` is any guess of the
    mean from before the request (a running mean): a good one shrinks the variance, a bad one does no
    harm (Robins, Rotnitzky and Zhao 1994). Unbiased where the share is the true one. For ``begin`` and
    ``asymptotic_sequence``; a new share is a new process.
    """
    if not 0 < share < 1:
        raise ValueError(f"both arms need a chance of being drawn; a share of {share} leaves one out")
    outcome = bounded(outcomes, "outcomes", 0, 1)
    new = np.asarray(is_new, dtype=bool)
    middle = np.broadcast_to(bounded(np.atleast_1d(np.asarray(centre, dtype=float)), "centre", 0, 1), outcome.shape)
    gap = outcome - middle
    scores: Floats = np.where(new, gap / share, -gap / (1 - share))
    reach = 1 / min(share, 1 - share)
    return scores, -reach, reach


@dataclass(frozen=True, slots=True)
class Moments:
    """A count, a mean and a variance (that of the population: squares divided by the count)."""

    count: int
    mean: float
    variance: float

    def joined(self, other: Moments) -> Moments:
        """The moments of both sets of values together (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        if not count:
            return self
        part, gap = other.count / count, other.mean - self.mean
        spread = (1 - part) * self.variance + part * other.variance + part * (1 - part) * gap * gap
        return Moments(count, self.mean + part * gap, spread)


def moments(values: ArrayLike) -> Moments:
    """The moments of these values."""
    row = numbers(values, "values")
    return Moments(row.size, float(row.mean()), float(row.var())) if row.size else Moments(0, 0.0, 0.0)


_ASYMPTOTIC: Final = (
    "values come one after another, each with the same mean given those before it",
    "enough values before the first look for their mean to be nearly normal",
    ANY_SIZE,
)


def asymptotic_interval(seen: Moments, confidence: float, *, narrowest_at: int, side: Side = Side.BOTH) -> Interval:
    """The asymptotic confidence sequence for a mean, at one of its sample sizes.

    Guarantee: asymptotic only. As the first look is put off, the chance that the mean ever leaves the
    intervals at this or any later size tends to at most 1 - confidence (Waudby-Smith, Arbour, Sinha,
    Kennedy and Ramdas 2024, Ann. Statist. 52:2613, arXiv 2103.06476, theorem 2.2; for one bound its
    one-sided form, proposition B.1). No range is needed. Begun with a few dozen values, or where almost
    all are the same, it misses more often than promised; ``betting.sequence`` does not. ``narrowest_at``
    is the size at which it is tightest, set before; the width grows slowly to either side of it.
    """
    risk = risk_left(confidence)
    assumed = (*_ASYMPTOTIC, f"narrowest at {narrowest_at} values")
    if not seen.count:
        return Interval(seen.mean, -math.inf, math.inf, confidence, 0, assumed)
    reach = float(_reach(np.array([seen.count]), np.array([seen.variance]), risk, narrowest_at, side)[0])
    lower = -math.inf if side is Side.UPPER else seen.mean - reach
    upper = math.inf if side is Side.LOWER else seen.mean + reach
    return Interval(seen.mean, lower, upper, confidence, seen.count, assumed)


def asymptotic_sequence(
    values: ArrayLike, confidence: float, *, narrowest_at: int, looks: Sequence[int], side: Side = Side.BOTH
) -> ConfidenceSequence:
    """The asymptotic confidence sequence for a mean, at the looks given; see ``asymptotic_interval``."""
    row = numbers(values, "values")
    risk = risk_left(confidence)
    sizes = np.asarray(looks, dtype=np.int64)
    if not sizes.size or sizes.min() < 1 or sizes.max() > row.size:
        raise ValueError(f"looks are sample sizes from 1 to {row.size}")
    means = (np.cumsum(row) / np.arange(1, row.size + 1))[sizes - 1]
    centred = row - row.mean()
    squares = (np.cumsum(centred * centred) / np.arange(1, row.size + 1))[sizes - 1]
    variances = np.maximum(squares - (means - row.mean()) ** 2, 0)
    reach = _reach(sizes, variances, risk, narrowest_at, side)
    lower = np.full_like(means, -np.inf) if side is Side.UPPER else means - reach
    upper = np.full_like(means, np.inf) if side is Side.LOWER else means + reach
    shown = (tuple(part.tolist()) for part in (means, lower, upper))
    estimates, lowest, highest = shown
    return ConfidenceSequence(tuple(sizes.tolist()), estimates, lowest, highest, confidence, _ASYMPTOTIC)


def _reach(counts: Integers, variances: Floats, risk: float, narrowest_at: int, side: Side) -> Floats:
    """Half the width of Robbins' normal mixture, at each count; one-sided with twice the risk (their appendix B)."""
    if narrowest_at < 1:
        raise ValueError("narrowest_at is a sample size, at least 1")
    whole = risk if side is Side.BOTH else 2 * risk
    log_risk = -2 * math.log(min(whole, _LARGEST_RISK))
    square = (log_risk + math.log(log_risk + 1)) / narrowest_at
    grown = counts * square + 1
    inner = np.log(grown) / 2 - math.log(risk) if side is Side.BOTH else np.log1p(np.sqrt(grown) / (2 * risk))
    reach: Floats = np.sqrt(variances) * np.sqrt(2 * grown / (counts * counts * square) * inner)
    return reach


_LARGEST_RISK: Final = 0.5
