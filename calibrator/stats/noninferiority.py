"""The exact certificate of a paired loss: how much worse than its reference a rule is, at most.

Outcomes are right or wrong, and each item is answered by both. Of n items the rule loses some that the
reference has right and gains some that it has wrong; the mean loss is the difference of the two chances.
At a few hundred items betting needs a third more distance than this test does; for outcomes between
right and wrong, or for looking more than once, betting is the one to take.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import betainc, betaincinv, gammaln, xlog1py, xlogy

from calibrator.stats.results import FIXED_SIZE, INDEPENDENT, Evidence, Floats, Integers, Interval, risk_left

_ASSUMPTIONS: Final = (INDEPENDENT, FIXED_SIZE, "both outcomes of an item are right or wrong")
_NUISANCE_RISK: Final = 1e-3
"""The share of the error that is spent on confining the chance of a gain (Berger and Boos)."""
_PRECISION: Final = 5e-4
"""How much larger than the exact p-value the reported one may be, at most."""
_TAIL: Final = 1e-10
_GRID: Final = 24


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """How often, of ``items`` answered by both, the rule lost or gained against the reference."""

    items: int
    losses: int
    gains: int

    def __post_init__(self) -> None:
        if self.items < 1 or min(self.losses, self.gains) < 0 or self.losses + self.gains > self.items:
            raise ValueError(f"of {self.items} items, {self.losses} losses and {self.gains} gains cannot be")

    @property
    def loss(self) -> float:
        """The mean loss seen."""
        return (self.losses - self.gains) / self.items


@lru_cache(maxsize=1 << 16)
def refute_loss(counts: PairedCounts, margin: float) -> Evidence:
    """Test whether the mean loss is below ``margin``, against the null that it is the margin or more.

    Guarantee: where the mean loss is ``margin`` or more, the p-value is at most p with a chance of at
    most p, for every sample size and every rate of disagreement. The exact unconditional test of Hsueh,
    Liu and Chen (2001, Biometrics 57:478) on the score statistic of Nam (1997) and Tango (1998): the
    largest chance, over all chances of a gain, of a statistic as low as the one seen, the chance of a
    gain being confined to an interval at the cost of adding its risk (Berger and Boos 1994). The largest
    chance is bounded over whole cells, not sampled at points, so that no peak is missed; the p-value
    is at most 0.0005 above the exact one.

    Not for graded outcomes, nor for items drawn with unequal chances, nor for looking again after more
    items: each look is a test of its own.
    """
    if not -1 < margin < 1:
        raise ValueError(f"a mean loss lies between -1 and 1; a margin of {margin} tests nothing")
    observed = _score(counts.items, margin, np.array([counts.losses]), np.array([counts.gains]))[0]
    region = _region(counts, margin, float(observed))
    low, high = _gain_limits(counts, margin)
    chance = _largest_chance(region, counts.items, margin, low, high)
    p_value = min(1.0, chance + _NUISANCE_RISK)
    return Evidence(counts.loss, margin, p_value, counts.items, _ASSUMPTIONS)


def bound_loss(counts: PairedCounts, confidence: float) -> Interval:
    """The upper bound of the mean loss: the smallest margin from which on ``refute_loss`` refutes every one.

    Guarantee, sources and limits are those of ``refute_loss``: before the data are seen, the bound is at
    least the mean loss with a chance of ``confidence``. As margins grow the p-value falls, but for small
    steps back; so margins are tried from above, an eighth of a standard error apart, and the last step is
    halved. At the bound itself the loss is refuted.
    """
    risk = risk_left(confidence)
    spread = math.sqrt(counts.losses + counts.gains + 1) / counts.items

    def is_refuted(margin: float) -> bool:
        return refute_loss(counts, margin).p_value <= risk

    high = counts.loss + 2 * spread
    while high < _LARGEST and not (is_refuted(high) and is_refuted(min(high + spread, _LARGEST))):
        high += spread
    if high >= _LARGEST:
        return Interval(counts.loss, -1.0, 1.0, confidence, counts.items, _ASSUMPTIONS)
    low = high - _STEP * spread
    while low > -_LARGEST and is_refuted(low):
        low, high = low - _STEP * spread, low
    while high - low > _RESOLUTION * spread:
        middle = max((low + high) / 2, -_LARGEST)
        low, high = (low, middle) if is_refuted(middle) else (middle, high)
    return Interval(counts.loss, -1.0, high, confidence, counts.items, _ASSUMPTIONS)


_STEP: Final = 0.125
_RESOLUTION: Final = 2e-3
_LARGEST: Final = 1 - 1e-9


def _score(items: int, margin: float, losses: Integers, gains: Integers) -> Floats:
    """The distance of the loss seen from the margin, in standard errors as they are at the margin."""
    slope = losses * (1 + margin) + gains * (1 - margin) - 2 * margin * items
    root = np.sqrt(np.maximum(slope * slope + 8 * items * gains * margin * (1 - margin), 0))
    gain = np.clip((slope + root) / (4 * items), max(0.0, -margin), (1 - margin) / 2)
    variance = items * np.maximum(2 * gain + margin - margin * margin, 0)
    distance = losses - gains - items * margin
    scored: Floats = np.where(variance > 0, distance / np.sqrt(np.maximum(variance, 1e-300)), np.sign(distance) * 1e9)
    return scored


def _region(counts: PairedCounts, margin: float, observed: float) -> Integers:
    """For each number of disagreements, the fewest gains that speak against the null as loudly as those seen.

    Widened until a loss less, or a gain more, never takes a result out of it: on such a region the
    chance falls with the chance of a loss and grows with that of a gain, which the search relies on.
    """
    disagreements = np.arange(counts.items + 1)
    low, high = np.zeros_like(disagreements), disagreements + 1
    while (low < high).any():
        middle = (low + high) // 2
        is_inside = _score(counts.items, margin, disagreements - middle, middle) <= observed + 1e-9
        low, high = np.where(is_inside | (low == high), low, middle + 1), np.where(is_inside, middle, high)
    seen = counts.losses + counts.gains
    low[seen] = min(low[seen], counts.gains)
    rising = np.minimum.accumulate(low[::-1])[::-1]
    fewest: Integers = np.minimum.accumulate(rising - disagreements) + disagreements
    return fewest


def _gain_limits(counts: PairedCounts, margin: float) -> tuple[float, float]:
    """Where the chance of a gain lies but for the nuisance risk (Clopper and Pearson), at a loss of the margin."""
    items, gains, half = counts.items, counts.gains, _NUISANCE_RISK / 2
    low = float(betaincinv(gains, items - gains + 1, half)) if gains else 0.0
    high = float(betaincinv(gains + 1, items - gains, 1 - half)) if gains < items else 1.0
    least, most = max(0.0, -margin), (1 - margin) / 2
    return min(max(low, least), most), max(min(high, most), least)


def _largest_chance(region: Integers, items: int, margin: float, low: float, high: float) -> float:
    """An upper bound, tight to the precision, of the chance of the region over gains from ``low`` to ``high``.

    Over a cell the chance is at most that at its better end plus (width² ÷ 8) times the largest second
    derivative, which is at most the information of all items on the gain; near a gain of 0, where that
    has no limit, it is at most the chance with the cell's smallest loss and largest gain.
    """
    edges = np.linspace(low, high, _GRID + 1)
    left, right = edges[:-1], edges[1:]
    reached = settled = 0.0
    while left.size:
        ends = _chances(region, items, margin + np.append(left, right), np.append(left, right)).reshape(2, -1)
        reached = max(reached, float(ends.max()))
        with np.errstate(divide="ignore", invalid="ignore"):
            information = items * (1 / (margin + left) + 1 / left + 4 / (1 - margin - 2 * right))
            above = ends.max(axis=0) + np.where(right > left, (right - left) ** 2 / 8 * information, 0)
        is_open = ~(above <= reached + _PRECISION)
        above[is_open] = _chances(region, items, margin + left[is_open], right[is_open])
        is_open = (above > reached + _PRECISION) & (right - left > _NARROWEST)
        settled = max(settled, float(above[~is_open].max(initial=0.0)))
        inner = left[is_open, None] + (right - left)[is_open, None] * _SPLITS
        left, right = inner[:, :-1].ravel(), inner[:, 1:].ravel()
    return min(1.0, max(settled, reached) + 2 * _TAIL)


_SPLITS: Final = np.linspace(0, 1, 4)
_NARROWEST: Final = 1e-9


def _chances(region: Integers, items: int, losses: Floats, gains: Floats) -> Floats:
    """The chance of a result in the region at each pair of chances, but for tails of the number of disagreements."""
    disagreements = np.minimum(losses + gains, 1.0)
    spreads = _WIDTH * np.sqrt(items * disagreements * (1 - disagreements)) + _WIDTH * _WIDTH
    first = max(0, math.floor((items * disagreements - spreads).min(initial=items)))
    last = min(items, math.ceil((items * disagreements + spreads).max(initial=0)))
    number, fewest = np.arange(first, last + 1), region[first : last + 1]
    log_choices = _log_choices(items)[first : last + 1]
    is_reachable = (fewest > 0) & (fewest <= number)
    some, few = number[is_reachable], fewest[is_reachable]
    inside = np.where(fewest <= 0, 1.0, 0.0)
    found = np.zeros_like(losses)
    for place, (disagreement, gain) in enumerate(zip(disagreements.tolist(), gains.tolist(), strict=True)):
        weight = np.exp(log_choices + xlogy(number, disagreement) + xlog1py(items - number, -disagreement))
        if disagreement > 0:
            inside[is_reachable] = betainc(few, some - few + 1, min(gain / disagreement, 1.0))
        found[place] = weight @ inside
    return found


_WIDTH: Final = 6.8
"""Standard deviations, and their square added, beyond which at most the tail lies (Bernstein)."""


@lru_cache(maxsize=64)
def _log_choices(items: int) -> Floats:
    number = np.arange(items + 1)
    choices: Floats = gammaln(items + 1) - gammaln(number + 1) - gammaln(items - number + 1)
    return choices
