"""Whether the traffic or the answers are still those that were calibrated on.

These raise alarms; they certify nothing. Set for how often they may cry wolf, they are looked at all the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from calibrator.stats.results import Evidence, Floats, bounded, numbers


@dataclass(frozen=True, slots=True)
class Alarm:
    """Whether the mean moved: after how many values that showed, and the statistic beside its threshold then.

    Without an alarm ``raised_after`` is None, and the statistic is the largest that was reached.
    """

    raised_after: int | None
    statistic: float
    threshold: float
    sample_size: int
    assumptions: tuple[str, ...]


def page_hinkley(values: ArrayLike, *, tolerance: float, threshold: float, fewest: int = 30) -> Alarm:
    """Watch for a rise of the mean: Page's (1954) cumulative sum against the running mean, after Hinkley (1971).

    Each value adds what it exceeds the mean so far by, less ``tolerance``; an alarm is raised when the sum
    is ``threshold`` above its lowest. For a fall, pass the values negated. It looks at every value. No
    chance of a false alarm is promised: the time to one grows exponentially in tolerance times threshold
    over the variance, and is to be set by simulation. A slow slide is learnt by the running mean and
    missed; for values 0 to 1 and a promised level take ``adaptive_window``, or an ``EProcess``.
    """
    row = numbers(values, "values")
    means = np.cumsum(row) / np.arange(1, row.size + 1)
    risen = np.cumsum(row - means - tolerance)
    sums = risen - np.minimum.accumulate(risen) if row.size else risen
    late = np.flatnonzero((sums > threshold) & (np.arange(1, row.size + 1) >= fewest))
    assumed = ("values are independent, with one mean and variance until it changes",)
    if late.size:
        return Alarm(int(late[0]) + 1, float(sums[late[0]]), threshold, row.size, assumed)
    return Alarm(None, float(sums.max(initial=0.0)), threshold, row.size, assumed)


@dataclass(frozen=True, slots=True)
class AdaptiveWindow:
    """The newest values that have one mean, as far as one can tell, and when older ones were dropped."""

    changes: tuple[int, ...]
    estimate: float
    window: int
    risk: float
    sample_size: int
    assumptions: tuple[str, ...] = ("values lie from 0 to 1", "independent, with one mean within a window")


def adaptive_window(values: ArrayLike, risk: float, *, every: int = 32) -> AdaptiveWindow:
    """The window of ADWIN (Bifet and Gavaldà 2007, SDM) over these values, older parts dropped as means differ.

    At every ``every``-th value the window is cut at ages that grow by a tenth; where the means of the two
    parts differ beyond the paper's bound, the older part goes. ``changes`` are the numbers of values after
    which that happened. Guarantee as the paper states it (theorem 3.1): at each look the chance of dropping
    anything while the mean is constant is at most ``risk``, for values from 0 to 1. The bound with the
    variance is a normal approximation; looking all along, false alarms add up, though far more slowly
    than the looks, since the bound is loose. A change much smaller than the noise of the window is not
    seen.
    """
    row = bounded(values, "values", 0, 1)
    if not 0 < risk < 1:
        raise ValueError(f"a risk lies between 0 and 1; {risk} does not")
    sums = np.concatenate(([0.0], np.cumsum(row)))
    squares = np.concatenate(([0.0], np.cumsum(row * row)))
    start, changes = 0, []
    for end in _looks(row.size, every):
        moved = start
        while (cut := _cut(sums, squares, moved, end, risk)) is not None:
            moved = cut
        if moved != start:
            changes.append(end)
            start = moved
    window = row.size - start
    estimate = float((sums[-1] - sums[start]) / window) if window else float("nan")
    return AdaptiveWindow(tuple(changes), estimate, window, risk, row.size)


def _looks(size: int, every: int) -> Iterator[int]:
    yield from range(every, size + 1, every)


def _cut(sums: Floats, squares: Floats, start: int, end: int, risk: float) -> int | None:
    """Where the newest part of the window begins, if its mean differs from that of the older part."""
    length = end - start
    if length < 2 * _FEWEST:
        return None
    ages = _AGES[: int(np.searchsorted(_AGES, length - _FEWEST, side="right"))]
    cuts = end - ages
    newer, older = ages, length - ages
    gap = np.abs((sums[end] - sums[cuts]) / newer - (sums[cuts] - sums[start]) / older)
    mean = (sums[end] - sums[start]) / length
    variance = max((squares[end] - squares[start]) / length - mean * mean, 0.0)
    joint = 1 / newer + 1 / older
    log_risk = math.log(2 * math.log(length) / risk)
    differs = np.flatnonzero(gap > np.sqrt(2 * joint * variance * log_risk) + 2 / 3 * joint * log_risk)
    return int(cuts[differs[-1]]) if differs.size else None


_FEWEST: Final = 5
_AGES: Final = np.unique(np.rint(_FEWEST * 1.1 ** np.arange(240)).astype(np.int64))


@dataclass(frozen=True, slots=True)
class PopulationShift:
    """How far the mix of two sets of counts differs: the stability index, and a test that it does not."""

    index: float
    evidence: Evidence


def population_stability(before: ArrayLike, now: ArrayLike) -> PopulationShift:
    """The population stability index of counts over the same bins, with the chi-square test beside it.

    The index is the symmetric Kullback-Leibler divergence of the two mixes (Jeffreys 1946), with half a
    count added to each bin so that an empty one does not make it infinite. That 0.1 be a shift and 0.25 a
    large one is custom and no guarantee: by chance alone it comes to about (bins - 1) (1/n + 1/m) (Yurdakul
    2018), so small samples look shifted; the p-value (Pearson's, asymptotic, five counts a bin) takes that
    into account. Both are for one look: daily ones need their risk divided, or an ``EProcess``.
    """
    old, new = numbers(before, "before"), numbers(now, "now")
    if old.size != new.size or old.size < _FEWEST_BINS or (old < 0).any() or (new < 0).any():
        raise ValueError("both need counts, none negative, over the same two bins or more")
    if not (old.sum() > 0 and new.sum() > 0):
        raise ValueError("both need at least one count")
    was, now_is = ((counts + _HALF) / (counts + _HALF).sum() for counts in (old, new))
    index = float(((now_is - was) * np.log(now_is / was)).sum())
    seen = (old + new) > 0
    pooled = (old + new)[seen] / (old.sum() + new.sum())
    square = sum(float(((counts[seen] - counts.sum() * pooled) ** 2 / (counts.sum() * pooled)).sum())
                 for counts in (old, new))  # fmt: skip
    bins = int(seen.sum())
    p_value = float(gammaincc((bins - 1) / 2, square / 2)) if bins > 1 else 1.0
    assumed = ("requests are independent, and the bins were set without them",)
    return PopulationShift(index, Evidence(index, 0.0, p_value, int(old.sum() + new.sum()), assumed))


_FEWEST_BINS: Final = 2
_HALF: Final = 0.5
