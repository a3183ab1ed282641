"""Bounds of a bounded mean by betting, for one sample size or for looking at any time.

Whoever bets against "the mean is m" at fair odds cannot expect to gain where it is; so a capital that has
grown to 1/risk refutes m at that risk. Each bet is set from the values before it, and is the larger the
less they vary. No value is taken to be normal, and the bounds adapt to the variance by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from calibrator.stats.results import (
    ANY_SIZE,
    FIXED_SIZE,
    Evidence,
    Floats,
    Interval,
    bounded,
    nonempty,
    paired,
    risk_left,
)


class Side(StrEnum):
    """Which bounds are asked for; both share the risk evenly."""

    UPPER = "upper"
    LOWER = "lower"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """Intervals at several sample sizes, all of which hold at once with the confidence."""

    sample_sizes: tuple[int, ...]
    estimates: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    confidence: float
    assumptions: tuple[str, ...]

    @property
    def last(self) -> Interval:
        """The interval at the largest sample size."""
        return Interval(
            self.estimates[-1],
            self.lower[-1],
            self.upper[-1],
            self.confidence,
            self.sample_sizes[-1],
            self.assumptions,
        )


_EXCHANGEABLE: Final = "values come in random order, each with the same mean given those before it"


def bound_mean(
    values: ArrayLike, confidence: float, *, low: float = 0.0, high: float = 1.0, side: Side = Side.BOTH
) -> Interval:
    """Bounds of the mean of values that lie from ``low`` to ``high``, for a number of values set before.

    Guarantee: with the confidence the bounds hold, at every sample size and for every distribution on the
    range (Waudby-Smith and Ramdas 2024, JRSS B 86:1, arXiv 2010.09686, theorem 3, by Ville's inequality).
    Bets are those of their predictable plug-in, sized for this many values, and the largest capital on
    the way counts, so the bounds would hold even if one had looked all along; they are narrowest here.
    The order of the values matters and must not depend on them: shuffle them with a seed first. Not for
    values weighted by chances that depend on the values, nor beyond the range: clipping moves the mean.
    """
    scaled = _scaled(values, low, high)
    risk = risk_left(confidence) / (2 if side is Side.BOTH else 1)
    bets = _fixed_size_bets(scaled, risk)
    upper = 1.0 if side is Side.LOWER else _highest_mean(scaled, bets, risk)
    lower = 0.0 if side is Side.UPPER else 1 - _highest_mean(1 - scaled, bets, risk)
    span = high - low
    mean = low + span * float(scaled.mean())
    assumed = (_EXCHANGEABLE, FIXED_SIZE, _range_assumed(low, high))
    return Interval(mean, low + span * lower, low + span * upper, confidence, scaled.size, assumed)


def refute_high_mean(
    values: ArrayLike, null: float, confidence: float, *, low: float = 0.0, high: float = 1.0
) -> Evidence:
    """Test that the mean is below ``null``, against the null that it is that or more, for a size set before.

    The p-value is one over the largest capital of the bets of ``bound_mean``, which are sized to refute at
    the confidence and valid at every level; guarantee, source and limits are those of ``bound_mean``.
    """
    scaled = _scaled(values, low, high)
    if not low < null < high:
        raise ValueError(f"a mean of values from {low:g} to {high:g} cannot be tested against {null:g}")
    mean = (null - low) / (high - low)
    bets = np.minimum(_fixed_size_bets(scaled, risk_left(confidence)), _LARGEST_BET / (1 - mean))
    most = float(np.cumsum(np.log1p(bets * (mean - scaled))).max())
    assumed = (_EXCHANGEABLE, FIXED_SIZE, _range_assumed(low, high))
    return Evidence(low + (high - low) * float(scaled.mean()), null, math.exp(-max(most, 0.0)), scaled.size, assumed)


def bound_paired_loss(reference: ArrayLike, rule: ArrayLike, confidence: float, *, side: Side = Side.UPPER) -> Interval:
    """Bounds of the mean by which ``rule`` scores below ``reference`` on the same items, scores being 0 to 1.

    Guarantee and limits are those of ``bound_mean``, on differences from -1 to 1: what counts is how often
    and by how much the two disagree. Where scores are 0 or 1 ``noninferiority.bound_loss`` is closer.
    """
    first, second = paired(reference, rule)
    bounded(first, "scores", 0, 1)
    bounded(second, "scores", 0, 1)
    return bound_mean(first - second, confidence, low=-1.0, high=1.0, side=side)


def sequence(
    values: ArrayLike,
    confidence: float,
    *,
    low: float = 0.0,
    high: float = 1.0,
    side: Side = Side.BOTH,
    looks: Sequence[int] = (),
) -> ConfidenceSequence:
    """Bounds of the mean that hold at all sample sizes at once, shown at ``looks`` (else at doubling sizes).

    Guarantee: with the confidence there is no sample size, shown or not, at which the bounds miss
    (Waudby-Smith and Ramdas 2024, arXiv 2010.09686, theorem 3), so that one may look, stop and go on as
    one pleases. What has once been refuted stays so: the intervals are nested. The cost against
    ``bound_mean`` is a width some 1.5 times as large. It fails where the mean drifts: it is then about
    no mean in particular, and ``drift`` is to be asked first.
    """
    scaled = _scaled(values, low, high)
    risk = risk_left(confidence) / (2 if side is Side.BOTH else 1)
    shown = tuple(looks) or _doubling(scaled.size)
    if min(shown) < 1 or max(shown) > scaled.size or list(shown) != sorted(set(shown)):
        raise ValueError(f"looks are ascending sample sizes from 1 to {scaled.size}")
    bets = _any_size_bets(scaled, risk)
    upper = [1.0 if side is Side.LOWER else _highest_mean(scaled[:size], bets[:size], risk) for size in shown]
    lower = [0.0 if side is Side.UPPER else 1 - _highest_mean(1 - scaled[:size], bets[:size], risk) for size in shown]
    means = (np.cumsum(scaled) / np.arange(1, scaled.size + 1))[np.array(shown) - 1]
    span = high - low
    return ConfidenceSequence(
        shown,
        tuple(low + span * float(mean) for mean in means),
        tuple(low + span * bound for bound in lower),
        tuple(low + span * bound for bound in upper),
        confidence,
        (_EXCHANGEABLE, ANY_SIZE, _range_assumed(low, high)),
    )


_LARGEST_BET: Final = 0.75
"""The share of the largest bet that cannot be ruined which is ever laid."""
_BISECTIONS: Final = 26


def _scaled(values: ArrayLike, low: float, high: float) -> Floats:
    if not low < high:
        raise ValueError(f"a range from {low} to {high} holds nothing")
    return (nonempty(bounded(values, "values", low, high), "values") - low) / (high - low)


def _variances_before(scaled: Floats) -> Floats:
    """The variance as estimated before each value, starting from that of a fair coin."""
    counts = np.arange(2, scaled.size + 2)
    means = (0.5 + np.cumsum(scaled)) / counts
    variances = (0.25 + np.cumsum((scaled - means) ** 2)) / counts
    return np.concatenate(([0.25], variances[:-1]))


def _fixed_size_bets(scaled: Floats, risk: float) -> Floats:
    bets: Floats = np.sqrt(2 * math.log(1 / risk) / (scaled.size * _variances_before(scaled)))
    return bets


def _any_size_bets(scaled: Floats, risk: float) -> Floats:
    counts = np.arange(1, scaled.size + 1)
    bets: Floats = np.sqrt(2 * math.log(1 / risk) / (counts * np.log1p(counts) * _variances_before(scaled)))
    return bets


def _highest_mean(scaled: Floats, bets: Floats, risk: float) -> float:
    """The highest mean that betting on lower values does not refute, rounded up.

    The capital grows with the mean bet against, also where bets are cut, so halving finds its crossing.
    """
    enough = math.log(1 / risk)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        cut = np.minimum(bets, _LARGEST_BET / (1 - middle))
        is_refuted = np.cumsum(np.log1p(cut * (middle - scaled))).max() >= enough
        low, high = (low, middle) if is_refuted else (middle, high)
    return high


def _doubling(size: int) -> tuple[int, ...]:
    return (*(1 << power for power in range(size.bit_length()) if 1 << power < size), size)


def _range_assumed(low: float, high: float) -> str:
    return f"values lie from {low:g} to {high:g}"
