"""Chooses the arm of every cell: the cheapest rule on a path whose loss against the reference is certified.

Pure: what is known and what was labelled go in, a frozen choice comes out. With too little evidence nothing
changes, and the choice says how many more labels it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibrator.planning import Shortage, labels_short
from calibrator.stats.certificates import Labels, bound_rule, certify_path, refute_rule
from calibrator.stats.paths import Rule, cheaper_by_steps
from calibrator.stats.results import Evidence, Floats, Integers, Interval, risk_left
from calibrator.stats.risk import fixed_sequence
from gateway.domain.profile import Cell


class Scope(StrEnum):
    """What the promise speaks of: the traffic as a whole, or every cell, among which the risk is shared."""

    POLICY = "policy"
    CELL = "cell"


@dataclass(frozen=True, slots=True)
class Target:
    """The most that may be lost against the reference on average, and the confidence in it."""

    loss_at_most: float
    confidence: float
    scope: Scope = Scope.POLICY


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What is known before anything is labelled: the cells, their shares, and what arms cost and are feared to lose.

    ``risk`` and ``costs`` are cells by arms; ``is_allowed`` says which arms may serve which cell. Of the
    ``current`` rule at most ``most_changed`` categories may change.
    """

    cells: tuple[Cell, ...]
    arms: tuple[str, ...]
    reference: int
    weights: Floats
    costs: Floats
    risk: Floats
    is_allowed: NDArray[np.bool_]
    current: Rule | None = None
    most_changed: int | None = None

    @property
    def everywhere(self) -> Rule:
        """The reference in every cell."""
        return (self.reference,) * len(self.cells)

    def relative_cost(self, rule: Sequence[int]) -> float:
        """What a rule costs, as a share of what the reference would."""
        each = np.arange(len(self.cells))
        full = float(self.weights @ self.costs[:, self.reference])
        return float(self.weights @ self.costs[each, list(rule)]) / full if full else 1.0

    def path(self, groups: Sequence[int] | None = None) -> tuple[Rule, ...]:
        """The rules to try, one step cheaper each, in an order that no label has a part in."""
        kept = self._kept()
        costs = np.where(self.is_allowed, self.costs, self.costs.max(axis=1, keepdims=True))
        costs = np.where(kept[:, None], costs[:, [self.reference]], costs)
        order = range(len(self.cells)) if groups is None else groups
        stay = self.current or self.everywhere
        path = cheaper_by_steps(self.risk, costs, self.weights, self.reference, list(order))
        rules = (tuple(stay[cell] if kept[cell] else arm for cell, arm in enumerate(rule)) for rule in path)
        return tuple(dict.fromkeys(rules))

    def _kept(self) -> NDArray[np.bool_]:
        """The cells that stay as they are, since other categories come first among those that may change."""
        if self.most_changed is None:
            return np.zeros(len(self.cells), dtype=bool)
        stay = self.current or self.everywhere
        changing: dict[str, None] = {}
        for rule in replace(self, most_changed=None).path():
            for cell, arm in enumerate(rule):
                if self.costs[cell, arm] < self.costs[cell, stay[cell]]:
                    changing.setdefault(_base(self.cells[cell]))
        free = tuple(changing)[: self.most_changed]
        return np.array([_base(cell) not in free for cell in self.cells])


def _base(cell: Cell) -> str:
    return cell[0].partition("/")[0]


@dataclass(frozen=True, slots=True)
class Decided:
    """The rule that was certified, None where none was, and the tests on the way, with the rule that failed first."""

    rule: Rule | None
    tests: tuple[Evidence, ...]
    refused: Rule | None


@dataclass(frozen=True, slots=True)
class CellChoice:
    """The arm of a cell, and what the labels in it say: loss and bound speak of this cell alone."""

    cell: Cell
    arm: str
    share: float
    labels: int
    loss: float | None
    bound: float | None
    relative_cost: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen and what is promised of it: with the confidence it loses at most ``loss.upper``.

    ``is_certified`` is False where the evidence did not suffice for any change. ``shortage`` says what the
    next step of the path would take; None where there is none.
    """

    rule: Rule
    is_certified: bool
    cells: tuple[CellChoice, ...]
    loss: Interval
    tests: tuple[Evidence, ...]
    relative_cost: float
    method: str
    shortage: Shortage | None


EXACT_UP_TO: Final = 20_000
"""Labels beyond which outcomes are bet on: the exact test takes seconds there, and the difference is gone."""


def decide(ground: Ground, labels: Labels, target: Target, path: Sequence[Rule] | None = None) -> Decided:
    """The cheapest rule that is certified, without its bounds; ``path`` is the ground's unless another is given."""
    tried = _testable(labels)
    if target.scope is Scope.CELL:
        return _decide_cells(ground, tried, target)
    rules = ground.path() if path is None else path
    tests: list[Evidence] = []

    def p_values() -> Iterator[float]:
        for rule in rules:
            tests.append(refute_rule(tried, rule, target.loss_at_most, target.confidence))
            yield tests[-1].p_value

    last = fixed_sequence(p_values(), target.confidence).last
    passed = 0 if last is None else last + 1
    return Decided(rules[passed - 1] if passed else None, tuple(tests), rules[passed] if passed < len(rules) else None)


def _decide_cells(ground: Ground, labels: Labels, target: Target) -> Decided:
    """Every cell for itself, with its share of the risk; one that cannot be certified takes the reference.

    No rule is refused: cells are short of labels one by one.
    """
    alone = Target(target.loss_at_most, _confidence_each(ground, target))
    rule = list(ground.everywhere)
    tests: list[Evidence] = []
    is_any = False
    for number, cell_path in _cell_paths(ground).items():
        decided = decide(_only(ground, number), _within(labels, number), alone, cell_path)
        tests.extend(decided.tests)
        if decided.rule is not None:
            rule[number] = decided.rule[0]
            is_any = True
    return Decided(tuple(rule) if is_any else None, tuple(tests), None)


def _cell_paths(ground: Ground) -> dict[int, tuple[Rule, ...]]:
    """By cell, the arms that it goes through on the path of all; cells that it leaves alone are left out."""
    whole = ground.path()
    stay = ground.everywhere
    paths: dict[int, tuple[Rule, ...]] = {}
    for number in range(len(ground.cells)):
        arms = dict.fromkeys(rule[number] for rule in whole if rule[number] != stay[number])
        if arms:
            paths[number] = tuple((arm,) for arm in arms)
    return paths


def _confidence_each(ground: Ground, target: Target) -> float:
    return 1 - risk_left(target.confidence) / max(len(_cell_paths(ground)), 1)


def _only(ground: Ground, number: int) -> Ground:
    one = slice(number, number + 1)
    return Ground(
        ground.cells[one], ground.arms, ground.reference, np.ones(1), ground.costs[one], ground.risk[one],
        ground.is_allowed[one],
    )  # fmt: skip


def _within(labels: Labels, number: int) -> Labels:
    here = labels.cells == number
    cells: Integers = np.zeros(int(here.sum()), dtype=np.int64)
    return Labels(cells, labels.scores[here], np.ones(1), labels.reference, labels.is_binary)


def _testable(labels: Labels) -> Labels:
    return replace(labels, is_binary=False) if labels.cells.size > EXACT_UP_TO else labels


def choose(ground: Ground, labels: Labels, target: Target, path: Sequence[Rule] | None = None) -> Choice:
    """The cheapest rule that is certified, with its bounds, and what the step after it would take.

    Guarantee: that of ``certificates.certify_path``, or of as many of them as there are cells, at a share
    of the risk each; for labels in random order that had no part in the ground. For one look.
    """
    tried = _testable(labels)
    rules = tuple(ground.path() if path is None else path)
    decided = decide(ground, labels, target, rules)
    stays = ground.current or ground.everywhere
    rule = decided.rule or stays
    is_by_cell = target.scope is Scope.CELL
    confidence = _confidence_each(ground, target) if is_by_cell else target.confidence
    cells = tuple(_cell(ground, tried, rule, number, confidence) for number in range(len(ground.cells)))
    return Choice(
        rule=rule,
        is_certified=decided.rule is not None,
        cells=cells,
        loss=_loss(tried, rules, decided, cells, target),
        tests=decided.tests,
        relative_cost=ground.relative_cost(rule),
        method="exact test of matched pairs" if tried.is_binary else "betting on paired differences",
        shortage=_shortage(ground, tried, decided, target),
    )


def _loss(
    labels: Labels, path: tuple[Rule, ...], decided: Decided, cells: Sequence[CellChoice], target: Target
) -> Interval:
    """The bound of the whole: the certificate's own, or that of the worst cell where each is promised for itself."""
    if decided.rule is None:
        return Interval(0.0, 0.0, 0.0, target.confidence, 0, ("nothing was certified, so nothing changes",))
    if target.scope is Scope.CELL:
        whole = bound_rule(labels, decided.rule, target.confidence)
        worst = max(cell.bound or 0.0 for cell in cells)
        return replace(whole, upper=min(worst, target.loss_at_most))
    walked = path[: path.index(decided.rule) + 1]
    return certify_path(labels, walked, target.loss_at_most, target.confidence).loss


def _cell(ground: Ground, labels: Labels, rule: Rule, number: int, confidence: float) -> CellChoice:
    here = _within(labels, number)
    size = int(here.cells.size)
    is_changed = rule[number] != ground.reference
    bound = bound_rule(here, (rule[number],), confidence) if size and is_changed else None
    full = float(ground.costs[number, ground.reference])
    return CellChoice(
        cell=ground.cells[number],
        arm=ground.arms[rule[number]],
        share=float(ground.weights[number]),
        labels=size,
        loss=None if not size else bound.estimate if bound else 0.0,
        bound=0.0 if not is_changed else bound.upper if bound else None,
        relative_cost=float(ground.costs[number, rule[number]]) / full if full else 1.0,
    )


def _shortage(ground: Ground, labels: Labels, decided: Decided, target: Target) -> Shortage | None:
    if decided.refused is None:
        return None
    involved = sorted({ground.reference, *decided.refused})
    each = float(ground.weights @ ground.costs[:, involved].sum(axis=1))
    return labels_short(labels, decided.refused, target.loss_at_most, target.confidence, each)
