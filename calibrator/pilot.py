"""A pilot: a part of the labels that sets the order of the path, and where the others are best spent.

It takes the place of the expected risk where difficulties are not known and no earlier run is there. Its
labels have no part in the certificate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from calibrator.choose import Ground, Target
from calibrator.planning import seen
from calibrator.stats.certificates import Labels
from calibrator.stats.paths import Rule
from calibrator.stats.results import Floats, Integers, risk_left


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedLosses:
    """What each arm is expected to lose in each cell, and the variance of that; cells by arms."""

    means: Floats
    variances: Floats


def expected_losses(labels: Labels) -> ExpectedLosses:
    """The losses that labels show, cell by cell, each drawn towards its arm's mean as far as noise explains it.

    Empirical Bayes with a normal prior per arm, whose spread is estimated by moments (DerSimonian and Laird
    1986). Guarantee: none; it ranks. A cell without a label gets its arm's mean.
    """
    cells, arms = labels.weights.size, labels.scores.shape[1]
    lost = labels.scores[:, [labels.reference]] - labels.scores
    sizes: Integers = np.bincount(labels.cells, minlength=cells).astype(np.int64)
    means, variances = np.zeros((cells, arms)), np.zeros((cells, arms))
    for arm in range(arms):
        if arm != labels.reference:
            sums = np.bincount(labels.cells, lost[:, arm], cells)
            means[:, arm], variances[:, arm] = _shrunken(np.asarray(sums), sizes, lost[:, arm])
    return ExpectedLosses(means, variances)


def _shrunken(sums: Floats, sizes: Integers, lost: Floats) -> tuple[Floats, Floats]:
    """The posterior means and variances of the cells' losses to one arm."""
    each = (float((lost**2).sum()) + 1) / (lost.size + 1)
    has = sizes > 0
    own = np.where(has, sums / np.maximum(sizes, 1), 0.0)
    precision = np.where(has, sizes / each, 0.0)
    total = float(precision.sum())
    if not total:
        return np.zeros(sizes.size), np.full(sizes.size, each)
    centre = float((precision * own).sum()) / total
    excess = float((precision * (own - centre) ** 2).sum()) - (int(has.sum()) - 1)
    scale = total - float((precision**2).sum()) / total
    spread = max(excess / scale, _LEAST_SPREAD) if scale > 0 else _LEAST_SPREAD
    joined = precision + 1 / spread
    return (precision * own + centre / spread) / joined, 1 / joined


_LEAST_SPREAD: Final = 1e-4
"""The variance of cells around their arm's mean that is never ruled out."""


@dataclass(frozen=True, slots=True, eq=False)
class Focus:
    """The part of a path that is worth testing, and the cells that it changes: the only ones worth labelling."""

    path: tuple[Rule, ...]
    cells: NDArray[np.bool_]


def focus(
    ground: Ground, pilot: Labels, target: Target, labels_left: int, *, is_ordered: bool = False
) -> tuple[Ground, Focus]:
    """The ground in the order that a pilot suggests, and the part of its path with the most to be expected.

    A ground that ``is_ordered`` keeps its order, and the pilot only says how much of the path is worth testing.

    That is the beginning of the path whose saving, times the chance that it is certified with the labels
    that are left, all spent in the cells that it changes, is largest.
    """
    losses = expected_losses(pilot)
    ordered = ground if is_ordered else replace(ground, risk=losses.means)
    path = ordered.path()
    worth = [
        (1 - ground.relative_cost(rule)) * _chance(ground, pilot, losses, rule, target=target, labels_left=labels_left)
        for rule in path
    ]
    end = int(np.argmax(worth)) + 1 if worth else 0
    changed = np.asarray(path[end - 1] if end else ground.everywhere) != ground.reference
    return ordered, Focus(path[:end], changed)


def _chance(
    ground: Ground, pilot: Labels, losses: ExpectedLosses, rule: Sequence[int], *, target: Target, labels_left: int
) -> float:
    """The chance that a rule is certified, its loss and the labels' noise both being uncertain."""
    each = np.arange(len(rule))
    chosen = np.asarray(rule)
    of = seen(pilot, tuple(rule))
    mean = float(ground.weights @ losses.means[each, chosen])
    unsure = float(ground.weights**2 @ losses.variances[each, chosen])
    noise = of.share * math.sqrt(of.variance / max(labels_left, 1))
    distance = target.loss_at_most - mean + float(ndtri(risk_left(target.confidence))) * noise
    return float(ndtr(distance / math.sqrt(noise**2 + unsure + 1e-18)))
