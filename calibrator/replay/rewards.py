"""What is known of how good the logged answers were, as one reward and one weight a request.

A request without a label is never taken for right or wrong: the labelled ones stand for the others, each
for as many as it was chosen from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibrator.replay.log import Log, numbered
from calibrator.stats.curves import shrink_chain
from calibrator.stats.results import Floats, Integers

FOLDS: Final = 5
_LEVEL: Final = 0.9
"""Of the posterior intervals, which nothing here reads."""
_Flags: TypeAlias = NDArray[np.bool_]
_Fit: TypeAlias = Callable[[Floats, Floats], Floats]
"""Sums and counts by cell and arm → a value for each."""
_WORTH: Final = 5.0
"""As how many answers in a category an arm's own mean counts, for costs and latencies."""


@dataclass(frozen=True, slots=True)
class Rewards:
    """A reward per decision, and for how many decisions it stands: 0 where there is no label."""

    reward: Floats
    stands_for: Floats
    labelled: int
    without_probability: int
    """Labels of which nobody said with what probability their request was chosen."""

    @property
    def is_labelled(self) -> _Flags:
        """Which decisions have a label."""
        return self.stands_for > 0


def rewards_of(log: Log, source: str | None) -> Rewards:
    """The labels of one source, or of all, as rewards: their mean where several speak of a request.

    A label stands for its weight over the probability that its request was chosen with. Where that is not known,
    the rate stands for it at which the source labelled that arm's answers in that category.
    """
    labels = log.labels
    taken = np.ones(labels.row.size, bool)
    if source is not None:
        taken = labels.source == (log.sources.index(source) if source in log.sources else -1)
    row, weight, score = labels.row[taken], labels.weight[taken], labels.score[taken]
    probability = labels.probability[taken]
    is_unknown = np.isnan(probability)
    rate = _rates(log, row[is_unknown], labels.source[taken][is_unknown])
    probability[is_unknown] = rate
    parts = weight / probability
    size = log.cell.size
    stands_for: Floats = np.bincount(row, parts, size).astype(np.float64)
    reward = np.divide(np.bincount(row, parts * score, size), stands_for, out=np.zeros(size), where=stands_for > 0)
    return Rewards(reward, stands_for, int((stands_for > 0).sum()), int(is_unknown.sum()))


def _rates(log: Log, row: Integers, source: Integers) -> Floats:
    """At what rate each label's source labelled the answers of that arm in that category."""
    names, category = log.categories
    group = category * len(log.arms) + log.arm
    groups = len(names) * len(log.arms)
    answered = np.bincount(group, minlength=groups)
    kind = source * groups + group[row]
    labelled = np.bincount(kind, minlength=max(len(log.sources), 1) * groups)
    found: Floats = labelled[kind] / answered[group[row]]
    return found


@dataclass(frozen=True, slots=True)
class Predicted:
    """A model's value of each decision's own arm, and its mean over the arms as both policies draw them.

    The model of a decision was fitted on other decisions: by folds.
    """

    own: Floats
    old: Floats
    new: Floats


def predict_scores(log: Log, rewards: Rewards) -> Predicted:
    """Success by category, difficulty and arm, each cell drawn towards its category and that towards its arm."""
    _, category = numbered(category for category, _ in log.cells)
    family = np.repeat(category, len(log.arms))
    arm = np.tile(np.arange(len(log.arms)), len(log.cells))

    def fit(wins: Floats, tries: Floats) -> Floats:
        return np.array(shrink_chain(wins, tries, family, arm, _LEVEL).estimates)

    return _predicted(log, rewards.reward, rewards.is_labelled, fit)


def predict_values(log: Log, values: Floats) -> Predicted:
    """A cost or a latency by category, difficulty and arm, each cell's mean drawn towards its arm's."""
    arms = np.tile(np.arange(len(log.arms)), len(log.cells))

    def fit(sums: Floats, counts: Floats) -> Floats:
        overall = float(sums.sum() / max(counts.sum(), 1))
        known = np.bincount(arms, counts)
        of_arm = np.where(known > 0, np.bincount(arms, sums) / np.maximum(known, 1), overall)
        found: Floats = (sums + _WORTH * of_arm[arms]) / (counts + _WORTH)
        return found

    is_known = np.isfinite(values)
    return _predicted(log, np.where(is_known, values, 0.0), is_known, fit)


def folds(size: int) -> Integers:
    """The fold of each decision, by chance but always the same: traffic may have a rhythm of its own."""
    return np.random.default_rng(0).integers(FOLDS, size=size)


def _predicted(log: Log, values: Floats, is_known: _Flags, fit: _Fit) -> Predicted:
    size = len(log.cells) * len(log.arms)
    place = log.cell * len(log.arms) + log.arm
    fold = folds(log.cell.size)
    own, old, new = (np.zeros(log.cell.size) for _ in range(3))
    for each in range(FOLDS):
        seen, held = is_known & (fold != each), fold == each
        sums: Floats = np.bincount(place[seen], values[seen], size).astype(np.float64)
        model = fit(sums, np.bincount(place[seen], minlength=size).astype(np.float64))
        table = model.reshape(len(log.cells), len(log.arms))
        own[held] = model[place[held]]
        # A policy's mean over its arms, for each cell and each of the chances that occur.
        old[held] = (table @ log.old.T)[log.cell[held], log.old_row[held]]
        new[held] = (table @ log.new.T)[log.cell[held], log.new_row[held]]
    return Predicted(own, old, new)
