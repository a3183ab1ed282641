"""How many labels a promise takes, before they are paid for: a forecast by the normal approximation, no guarantee."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from calibrator.stats.certificates import Labels
from calibrator.stats.paths import Rule
from calibrator.stats.results import risk_left

POWER: Final = 0.8
"""The chance to be certified that a forecast is made for."""
_LARGEST: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Shortage:
    """What one more step would take: so many labels in all, so many of them more, at this cost.

    None where no number would do, as far as the labels say: the step seems to lose as much as is allowed.
    """

    rule: Rule
    loss: float
    labels_in_all: int | None
    labels_more: int | None
    cost: float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the labels say of a rule in the cells that it changes: their share, the loss there, and its variance."""

    share: float
    loss: float
    variance: float

    def labels_for(self, target: float, confidence: float) -> int | None:
        """Labels over all cells with which the rule is certified with a chance of 0.8; None if with no number."""
        if self.share <= target:
            return 0
        distance = target / self.share - self.loss
        if distance <= 0:
            return None
        return max(1, math.ceil(_deviates(confidence) ** 2 * self.variance / distance**2 / self.share))

    def power(self, target: float, confidence: float, labels: float) -> float:
        """The chance to be certified with so many labels over all cells."""
        if self.share <= target:
            return 1.0
        error = math.sqrt(self.variance / max(labels * self.share, 1e-9))
        return float(ndtr((target / self.share - self.loss) / error + ndtri(risk_left(confidence))))


def _deviates(confidence: float) -> float:
    return float(ndtri(POWER) - ndtri(risk_left(confidence)))


def seen(labels: Labels, rule: Rule) -> Seen:
    """What these labels say of a rule. With few of them, half a loss and half a gain keep the variance from zero."""
    chosen = np.asarray(rule)
    changed = chosen != labels.reference
    rows = changed[labels.cells]
    scores = labels.scores[rows]
    lost = scores[:, labels.reference] - scores[np.arange(len(scores)), chosen[labels.cells[rows]]]
    size = lost.size
    loss = float(lost.mean()) if size else 0.0
    square = float((lost**2).sum() + 1) / (size + 1)
    return Seen(float(labels.weights[changed].sum()), loss, max(square - loss**2, 1e-9))


def labels_short(labels: Labels, rule: Rule, target: float, confidence: float, cost_each: float) -> Shortage:
    """What it would take to certify a rule that these labels did not certify, at so much for each label."""
    of = seen(labels, rule)
    needed = of.labels_for(target, confidence)
    have = int(labels.cells.size)
    if needed is None:
        return Shortage(rule, of.share * of.loss, None, None, None)
    more = max(needed - have, 1)
    return Shortage(rule, of.share * of.loss, have + more, more, more * cost_each)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a target would buy: the relative cost that is in reach, and that expected with each number of labels.

    ``labels_for_half`` and ``labels_for_most`` are for half and for four fifths of the saving in reach.
    """

    loss_at_most: float
    in_reach: float
    expected: tuple[tuple[int, float], ...]
    labels_for_half: int | None
    labels_for_most: int | None


def forecast(
    labels: Labels,
    path: Sequence[Rule],
    costs: Sequence[float],
    *,
    target: float,
    confidence: float,
    sizes: Sequence[int],
) -> Forecast:
    """What a target would buy on a path whose rules cost ``costs``, as shares of the reference's cost.

    Steps are taken to pass or fail together, as they rest on the same labels: the chance to get as far as
    a rule is the least of those up to it.
    """
    along = [seen(labels, rule) for rule in path]
    beyond = [place for place, of in enumerate(along) if of.labels_for(target, confidence) is None]
    end = beyond[0] if beyond else len(along)
    in_reach = float(costs[end - 1]) if end else 1.0
    steps = np.diff(np.concatenate(([1.0], costs[:end])))

    def expected(size: float) -> float:
        chances = [of.power(target, confidence, size) for of in along[:end]]
        return 1.0 + float(steps @ np.minimum.accumulate(chances)) if chances else 1.0

    return Forecast(
        loss_at_most=target,
        in_reach=in_reach,
        expected=tuple((size, expected(size)) for size in sizes),
        labels_for_half=_least(expected, 1 - (1 - in_reach) / 2) if end else None,
        labels_for_most=_least(expected, 1 - (1 - in_reach) * POWER) if end else None,
    )


def _least(expected: Callable[[float], float], wanted: float) -> int | None:
    """The least number of labels, to a twentieth, with which no more than this is expected to be paid."""
    size = 20.0
    while size <= _LARGEST:
        if expected(size) <= wanted:
            return _rounded(size)
        size *= 1.05
    return None


def _rounded(size: float) -> int:
    step = int(10 ** max(int(math.log10(size)) - 1, 0))
    return math.ceil(size / step) * step
