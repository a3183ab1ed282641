"""The certificate of a rule: labelled items of the cells that it changes, and how much it may lose there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibrator.stats.betting import Side, bound_mean, refute_high_mean
from calibrator.stats.noninferiority import PairedCounts, bound_loss, refute_loss
from calibrator.stats.paths import Rule
from calibrator.stats.results import FIXED_SIZE, INDEPENDENT, Evidence, Floats, Integers, Interval
from calibrator.stats.risk import fixed_sequence


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labelled items in the random order they were drawn in: the cell of each, and the score of every arm on it.

    ``weights`` are the cells' shares of the traffic, known without labels. Scores lie from 0 to 1;
    ``is_binary`` says that those who gave them can give 0 and 1 only, which allows the closer test. That
    the scores seen are such does not make it so.
    """

    cells: Integers
    scores: Floats
    weights: Floats
    reference: int
    is_binary: bool

    def __post_init__(self) -> None:
        if self.scores.shape[:1] != self.cells.shape or not 0 <= self.reference < self.scores.shape[1]:
            raise ValueError("every labelled item has a cell and a score for each arm, the reference among them")
        if self.cells.size and not 0 <= self.cells.min() <= self.cells.max() < self.weights.size:
            raise ValueError("a labelled item's cell is numbered from 0 and has a weight")
        if self.scores.size and not (self.scores.min() >= 0 and self.scores.max() <= 1):
            raise ValueError("scores lie from 0 to 1")
        if self.is_binary and not np.isin(self.scores, (0, 1)).all():
            raise ValueError("scores that can only be 0 or 1 were promised, and others are among them")
        if (self.weights < 0).any() or abs(self.weights.sum() - 1) > _ROUNDING:
            raise ValueError("weights are shares of the traffic and sum to 1")


_ROUNDING = 1e-6
_ASSUMPTIONS = (INDEPENDENT, FIXED_SIZE, "the cells' shares of the traffic are known, and do not change")


@dataclass(frozen=True, slots=True)
class PathCertificate:
    """The last rule of a path that is certified, if any, with the bound of its loss, and what was tested on the way."""

    place: int | None
    rule: Rule | None
    loss: Interval
    tests: tuple[Evidence, ...]


def refute_rule(labels: Labels, rule: Sequence[int], target: float, confidence: float) -> Evidence:
    """Test that a rule loses less than ``target`` against the reference, on average over the traffic.

    Where the rule keeps the reference nothing can be lost, so only labels of the cells that it changes
    are read, and the target is divided by their share of the traffic. Guarantee: that of ``refute_loss``
    where scores are binary and of ``betting.refute_high_mean`` otherwise (``confidence`` sizes its bets),
    given how many labels fell into those cells, which says nothing about the scores. Within the changed
    cells labels must be drawn in proportion to the traffic: all at one rate, or none at all in cells that
    no rule of the path changes. For one look.
    """
    changed = np.asarray(rule) != labels.reference
    share = float(labels.weights[changed].sum())
    differences = _differences(labels, rule, changed)
    mean = share * float(differences.mean()) if differences.size else 0.0
    p_value = 1.0
    if share <= target:
        p_value = 0.0
    elif differences.size:
        margin = target / share
        if labels.is_binary:
            p_value = refute_loss(_counted(differences), margin).p_value
        else:
            p_value = refute_high_mean(differences, margin, confidence, low=-1.0, high=1.0).p_value
    return Evidence(mean, target, p_value, differences.size, _ASSUMPTIONS)


def bound_rule(labels: Labels, rule: Sequence[int], confidence: float) -> Interval:
    """The upper bound of the mean loss of a rule against the reference; guarantee and limits as ``refute_rule``."""
    changed = np.asarray(rule) != labels.reference
    share = float(labels.weights[changed].sum())
    differences = _differences(labels, rule, changed)
    if not differences.size:
        return Interval(0.0, -share, share, confidence, 0, _ASSUMPTIONS)
    if labels.is_binary:
        within = bound_loss(_counted(differences), confidence)
    else:
        within = bound_mean(differences, confidence, low=-1.0, high=1.0, side=Side.UPPER)
    upper = share * within.upper
    return Interval(share * within.estimate, -share, upper, confidence, differences.size, _ASSUMPTIONS)


def certify_path(labels: Labels, path: Sequence[Rule], target: float, confidence: float) -> PathCertificate:
    """Walk a path from the reference on, and stop before the first rule that cannot be shown to lose less than target.

    Guarantee: with the confidence, the rule returned loses at most ``target`` on average over the traffic
    (Learn then Test by a fixed sequence; see ``risk.fixed_sequence`` and ``refute_rule``), however the
    rules overlap. The path must be set without these labels. The bound shown is that of the last rule
    alone, and at most the target; what is promised of a rule chosen on these very labels is the target,
    and a bound below it describes. Walking again after more labels voids the guarantee.
    """
    tests: list[Evidence] = []

    def p_values() -> Iterator[float]:
        for rule in path:
            tests.append(refute_rule(labels, rule, target, confidence))
            yield tests[-1].p_value

    place = fixed_sequence(p_values(), confidence).last
    rule = None if place is None else path[place]
    everywhere = (labels.reference,) * labels.weights.size
    loss = bound_rule(labels, rule or everywhere, confidence)
    return PathCertificate(place, rule, replace(loss, upper=min(loss.upper, target)), tuple(tests))


def _differences(labels: Labels, rule: Sequence[int], changed: NDArray[np.bool_]) -> Floats:
    read = changed[labels.cells]
    chosen = np.asarray(rule)[labels.cells[read]]
    scores = labels.scores[read]
    lost: Floats = scores[:, labels.reference] - scores[np.arange(chosen.size), chosen]
    return lost


def _counted(differences: Floats) -> PairedCounts:
    return PairedCounts(differences.size, int((differences > 0).sum()), int((differences < 0).sum()))
