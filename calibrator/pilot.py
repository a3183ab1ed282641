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

from calibrator.choose import Ground, Scope, Target
from calibrator.planning import seen
from calibrator.stats.certificates import Labels
from calibrator.stats.paths import Rule
from calibrator.stats.results import Floats, Integers, risk_left
from calibrator.walk import beliefs, best_walk


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
    """The part of a path that is worth testing, and the cells that it changes: the only ones worth labelling.

    ``beyond`` are the rules of the path after it.
    """

    path: tuple[Rule, ...]
    cells: NDArray[np.bool_]
    beyond: tuple[Rule, ...] = ()


def focus(
    ground: Ground, pilot: Labels, target: Target, labels_left: int, *, is_ordered: bool = False
) -> tuple[Ground, Focus]:
    """The ground in the order that a pilot suggests, and the part of its path with the most to be expected.

    That is the beginning of the path whose saving, times the chance that it is certified with the labels
    that are left, all spent in the cells that it changes, is largest.

    A ground that ``is_ordered`` has an order of its own, which is kept unless more is to be expected of the pilot's:
    where arms differ in kind, the dearer of two is not always the better, as an expected order takes it to be.
    """
    losses = expected_losses(pilot)
    by_pilot = replace(ground, risk=losses.means)
    if is_ordered and target.scope is not Scope.CELL:
        ways = (ground, by_pilot)
        believed = beliefs(pilot, losses.means, losses.variances)
        paths = [each.path() for each in ways]
        found = [best_walk(each, path, believed, target, labels_left) for each, path in zip(ways, paths, strict=True)]
        best = int(np.argmax([each.saving for each in found]))
        return ways[best], _focus(ways[best], paths[best], found[best].places)
    way = ground if is_ordered else by_pilot
    path = way.path()
    worth = [
        (1 - ground.relative_cost(rule)) * _chance(ground, pilot, losses, rule, target=target, labels_left=labels_left)
        for rule in path
    ]
    return way, _focus(way, path, tuple(range(int(np.argmax(worth)) + 1)) if worth else ())


def _focus(ground: Ground, path: tuple[Rule, ...], places: tuple[int, ...]) -> Focus:
    """The rules at these places of a path."""
    end = places[-1] + 1 if places else 0
    changed = np.asarray(path[end - 1] if end else ground.everywhere) != ground.reference
    return Focus(tuple(path[place] for place in places), changed, path[end:])


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
