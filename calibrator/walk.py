"""Which rules of a path to walk: played many times over, with losses and labels as uncertain as a pilot leaves them.

A walk ends at the first rule that is not certified. A rule on the way is something to fall back on, and a place to
fail at: one that changes few cells has few labels, and may well fail where a cheaper one after it, with more to show
for itself, would not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from calibrator.choose import Ground, Target
from calibrator.stats.certificates import Labels
from calibrator.stats.paths import Rule
from calibrator.stats.results import Floats, risk_left

_PLAYS: Final = 400
"""Always the same ones: whoever computes a plan anew comes to the same."""


_SLIGHT: Final = 0.1
"""A chance below which a rule is no end to make for: its arms would mostly be asked for nothing."""


@dataclass(frozen=True, slots=True)
class Walk:
    """The places on a path of the rules to be tested, in their order, and the saving that is to be expected."""

    places: tuple[int, ...]
    saving: float


@dataclass(frozen=True, slots=True, eq=False)
class Beliefs:
    """What a pilot tells of losses, cells by arms: means, how unsure these are, and the variance of a label."""

    means: Floats
    variances: Floats
    noise: Floats


def best_walk(ground: Ground, path: tuple[Rule, ...], beliefs: Beliefs, target: Target, labels_left: int) -> Walk:
    """The rules of a path with which the most is to be expected, the labels all spent in the cells that they change.

    For each end of it, rules on the way are left out one by one while that promises more. Guarantee: none; it plans.
    """
    savings = np.array([1 - ground.relative_cost(rule) for rule in path])
    best = Walk((), 0.0)
    for end, rule in enumerate(path, 1):
        share = float(ground.weights[np.asarray(rule) != ground.reference].sum())
        passes = _passes(ground, path[:end], beliefs, target, labels_left / share)
        if passes[:, -1].mean() < _SLIGHT:
            continue
        found = _thinned(passes, savings[:end])
        if found.saving > best.saving:
            best = found
    return best


def _thinned(passes: NDArray[np.bool_], savings: Floats) -> Walk:
    """The walk to the last of these rules, without those that it is better off without."""
    places = list(range(savings.size))
    saving = _expected(passes, savings, places)
    while len(places) > 1:
        without = [_expected(passes, savings, places[:at] + places[at + 1 :]) for at in range(len(places) - 1)]
        at = int(np.argmax(without))
        if without[at] <= saving:
            break
        saving = without[at]
        del places[at]
    return Walk(tuple(places), saving)


def _expected(passes: NDArray[np.bool_], savings: Floats, places: list[int]) -> float:
    """The mean saving of a walk over all plays."""
    reached = np.logical_and.accumulate(passes[:, places], axis=1)
    return float((reached @ np.diff(savings[places], prepend=0.0)).mean())


def _passes(
    ground: Ground, path: tuple[Rule, ...], beliefs: Beliefs, target: Target, labels: float
) -> NDArray[np.bool_]:
    """Which rules are certified, plays by rules, with so many labels over all cells."""
    luck = np.random.default_rng(0).standard_normal((_PLAYS, *beliefs.means.shape))
    shares = ground.weights[:, None]
    spread = beliefs.noise / np.maximum(labels * shares, 1e-9)
    seen = (beliefs.means + luck * np.sqrt(beliefs.variances + spread)) * shares
    rules, each = np.asarray(path), np.arange(len(ground.cells))
    changed = rules != ground.reference
    losses = (seen[:, each, rules] * changed).sum(axis=2)
    errors = np.sqrt(((shares[:, 0] ** 2 * spread[each, rules]) * changed).sum(axis=1))
    limit: Floats = target.loss_at_most + float(ndtri(risk_left(target.confidence))) * errors
    return np.asarray(losses < limit)


def beliefs(labels: Labels, means: Floats, variances: Floats) -> Beliefs:
    """The beliefs of a pilot, with the variance that its labels have around these means.

    With few labels in a cell, one loss more keeps the variance from zero.
    """
    cells, arms = labels.weights.size, labels.scores.shape[1]
    lost = labels.scores[:, [labels.reference]] - labels.scores
    sizes = np.bincount(labels.cells, minlength=cells)[:, None]
    squares = np.stack([np.bincount(labels.cells, lost[:, arm] ** 2, cells) for arm in range(arms)], axis=1)
    return Beliefs(means, variances, (squares + 1) / (sizes + 1))
