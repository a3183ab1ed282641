"""What is measured next, and when it is enough: the plan of a run, computed anew from what was measured so far.

Pure. Items come in a random order. The first of them, the pilot, are asked of every arm; they set the path of
rules and what is spent on the test, and are not tested with. On the others only the arms are asked that
the path needs in the item's cell. There are up to three looks, at numbers of labels that are set before the
first, each with its own share of the risk, so that a run may end early and the promise still holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibrator.choose import Choice, Ground, Scope, Target, choose
from calibrator.pilot import Focus, focus
from calibrator.planning import labels_short, seen
from calibrator.stats.certificates import Labels
from calibrator.stats.paths import Rule
from calibrator.stats.results import Integers, risk_left
from calibrator.tables.table import OutcomeTable
from calibrator.trial import PILOT_SHARE, Draw, Question, ground_of, has_difficulty

LOOKS: Final = ((0.25, 0.02), (0.5, 0.08), (1.0, 0.9))
"""Shares of the labels, and of the risk. By Bonferroni, so the looks may hang together as they like."""
EXPECTED_SHARE: Final = 0.2
"""Of the items for the pilot, where difficulties are known and only costs are to be found out."""
HOPELESS: Final = 0.02
"""A chance to certify anything more that is not worth its money."""
_PLANNED_SHARE: Final = 0.9
"""Of the money that the pilot leaves, for labels that cost what its own did: costs vary."""
_LEAST_PILOT: Final = 8

Pair = tuple[int, int]
"""A row of the table, and an arm."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What one rule is measured for. Rows of ``table`` stand in random order, with nan for what is not measured yet.

    ``money`` is the most that all of it may cost, in the unit of the table's costs; infinite where arms are free.
    """

    table: OutcomeTable
    reference: int
    target: Target
    money: float
    is_graded: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A look at the labels: how many there were, the confidence that it was made at, and what it came to."""

    labels: int
    confidence: float
    choice: Choice


@dataclass(frozen=True, slots=True, eq=False)
class Ending:
    """What a trial came to, and why it ended there."""

    question: Question
    drawn: Draw
    choice: Choice
    looks: tuple[Look, ...]
    reason: str

    @property
    def pilot_size(self) -> int:
        """How many of the first rows were asked of every arm."""
        return 0 if self.drawn.ranked is None else int(self.drawn.ranked.cells.size)

    @property
    def risk(self) -> float:
        """The share of the risk that the choice was made at."""
        mine = next((look.confidence for look in self.looks if look.choice is self.choice), None)
        return risk_left(self.question.target.confidence if mine is None else mine)


@dataclass(frozen=True, slots=True)
class Nothing:
    """An end without anything to choose from."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Pairs that are to be measured now, and how many are left in all if no look ends the trial early."""

    wanted: tuple[Pair, ...]
    left: int


_NOTHING_CHEAPER: Final = "no arm is cheaper than the reference, so there is nothing to choose"
_HOPELESS: Final = "after the pilot there was no chance left to certify anything"


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What the pilot led to: the path, the rows to test in their order, and the arms that each cell needs."""

    ground: Ground
    found: Focus
    tested: Integers
    needs: NDArray[np.bool_]
    """Cells by arms."""
    pilot: Labels


def proceed(trial: Trial, *, is_over: bool = False) -> Stage | Ending | Nothing:
    """The pairs to measure next, or the end. With ``is_over`` no more will be measured, whatever is missing.

    Guarantee: that of ``choose``, at the confidence of the target over all looks together, provided the rows
    are in random order and nothing but this function decides where the trial ends. Where the money ended
    it, only looks that were due by then are made.
    """
    rows = pilot_rows(trial)
    everything = np.ones((len(rows), len(trial.table.arms)), dtype=bool)
    if missing := _missing(trial, rows, everything):
        if is_over:
            return Nothing("the cap does not pay for the pilot")
        return Stage(missing, left=int(np.isnan(trial.table.scores).sum()))
    plan = _planned(trial, rows)
    if not plan.found.path:
        return _ended(trial, plan, (), _HOPELESS if plan.ground.path() else _NOTHING_CHEAPER)
    sizes = _sizes(trial, plan)
    if not sizes:
        return _ended(trial, plan, (), "the items that are left are too few to show anything")
    if _chance(trial, plan, plan.pilot, plan.found.path[0]) < HOPELESS:
        return _ended(trial, plan, (), _HOPELESS)
    looks: list[Look] = []
    for size, confidence in sizes:
        tested = plan.tested[:size]
        if missing := _missing(trial, tested, plan.needs[trial.table.cell[tested]]):
            if is_over:
                return _ended(trial, plan, tuple(looks), "the money was spent before the next look was due")
            return Stage(missing, left=len(_missing(trial, plan.tested, plan.needs[trial.table.cell[plan.tested]])))
        looks.append(_look(trial, plan, size, confidence))
        if looks[-1].choice.is_certified and looks[-1].choice.rule == plan.found.path[-1]:
            return _ended(trial, plan, tuple(looks), "everything within reach is certified")
        if size < len(plan.tested) and _is_hopeless(trial, plan, looks):
            return _ended(trial, plan, tuple(looks), "no more could be certified with the labels that were left")
    return _ended(trial, plan, tuple(looks), "all labels that were planned are in")


def pilot_rows(trial: Trial) -> Integers:
    """The rows that are asked of every arm, and not tested with."""
    items = len(trial.table.items)
    share = EXPECTED_SHARE if has_difficulty(trial.table.cells) else PILOT_SHARE
    return np.arange(min(max(round(share * items), _LEAST_PILOT), items))


def _missing(trial: Trial, rows: Integers, needed: NDArray[np.bool_]) -> tuple[Pair, ...]:
    """The pairs of these rows that are not measured, in the order of the rows."""
    absent = np.isnan(trial.table.scores[rows]) & needed
    return tuple((int(rows[row]), int(arm)) for row, arm in np.argwhere(absent))


def _question(trial: Trial, labels: int) -> Question:
    return Question(trial.table, trial.reference, trial.target, labels, PILOT_SHARE, is_graded=trial.is_graded)


def _planned(trial: Trial, rows: Integers) -> _Plan:
    table = trial.table
    rest = np.arange(len(rows), len(table.items))
    ground = ground_of(_question(trial, len(table.items)), rows)
    pilot = _labels(trial, rows, np.ones((len(table.cells), len(table.arms)), dtype=bool))
    has_order = has_difficulty(table.cells)
    ordered, found = focus(ground, pilot, trial.target, len(rest), is_ordered=has_order)
    found = _further(trial, found, pilot, len(rest))
    needs = _needs(table, found, trial.reference)
    tested = rest[found.cells[table.cell[rest]]]
    return _Plan(ordered, found, tested[: _affordable(trial, rows, tested, needs)], needs, pilot)


def _further(trial: Trial, found: Focus, pilot: Labels, labels: int) -> Focus:
    """The focus with the steps after it that take no label away from it: those in the cells that it changes anyway.

    Their arms are cheaper than what is asked there in any case. Where every cell is promised for itself, all
    steps are taken.
    """
    if trial.target.scope is Scope.CELL and (path := (*found.path, *found.beyond)):
        return Focus(path, _changed(path, trial.reference))
    further = list(found.path)
    for rule in found.beyond:
        chance = seen(pilot, rule).power(trial.target.loss_at_most, trial.target.confidence, labels)
        if (_changed([rule], trial.reference) & ~found.cells).any() or chance < HOPELESS:
            break
        further.append(rule)
    return Focus(tuple(further), found.cells)


def _changed(path: Sequence[Rule], reference: int) -> NDArray[np.bool_]:
    """The cells that some rule of a path changes."""
    changed: NDArray[np.bool_] = (np.asarray(path) != reference).any(axis=0)
    return changed


def _needs(table: OutcomeTable, found: Focus, reference: int) -> NDArray[np.bool_]:
    needs = np.zeros((len(table.cells), len(table.arms)), dtype=bool)
    for rule in found.path:
        needs[np.arange(len(table.cells)), list(rule)] = True
    needs[:, reference] = True
    needs[~found.cells] = False
    return needs


def _affordable(trial: Trial, rows: Integers, tested: Integers, needs: NDArray[np.bool_]) -> int:
    """How many labels the money is expected to pay for, by what the pilot cost."""
    if math.isinf(trial.money) or not tested.size:
        return int(tested.size)
    costs = trial.table.mean_costs(rows)
    each = float((costs * needs)[trial.table.cell[tested]].sum(axis=1).mean())
    left = _PLANNED_SHARE * (trial.money - float(trial.table.costs[rows].sum()))
    return int(tested.size) if each <= 0 else max(min(int(left / each), int(tested.size)), 0)


def _sizes(trial: Trial, plan: _Plan) -> tuple[tuple[int, float], ...]:
    """The looks: labels and confidence. An early one that could show nothing, all pairs being alike, is not made."""
    risk, total = risk_left(trial.target.confidence), len(plan.tested)
    sizes: list[tuple[int, float]] = []
    kept = 0.0
    for share, of_risk in LOOKS[:-1]:
        size = int(share * total)
        if size and _could_show(trial, plan, size, of_risk * risk):
            sizes.append((size, 1 - of_risk * risk))
            kept += of_risk
    if total and _could_show(trial, plan, total, (1 - kept) * risk):
        sizes.append((total, 1 - (1 - kept) * risk))
    return tuple(sizes)


def _could_show(trial: Trial, plan: _Plan, size: int, risk: float) -> bool:
    """Whether so many pairs without any difference would be enough for the first step of the path."""
    changed = np.asarray(plan.found.path[0]) != trial.reference
    share = float(plan.ground.weights[changed].sum())
    within = size * share / float(plan.ground.weights[plan.found.cells].sum())
    margin = trial.target.loss_at_most / max(share, trial.target.loss_at_most)
    return margin >= 1 or within * math.log1p(-margin) <= math.log(risk)


def _labels(trial: Trial, rows: Integers, needs: NDArray[np.bool_]) -> Labels:
    """The labels of these rows. What their cells do not need is not read by any rule of the path, and stands as 0."""
    table = trial.table
    scores = np.where(needs[table.cell[rows]], table.scores[rows], 0.0)
    return Labels(table.cell[rows], scores, table.weights, trial.reference, not trial.is_graded)


def _look(trial: Trial, plan: _Plan, size: int, confidence: float) -> Look:
    labels = _labels(trial, plan.tested[:size], plan.needs)
    target = replace(trial.target, confidence=confidence)
    return Look(size, confidence, choose(plan.ground, labels, target, plan.found.path))


def _is_hopeless(trial: Trial, plan: _Plan, looks: Sequence[Look]) -> bool:
    """Whether the first step that is not certified has hardly a chance to be, with all labels that are planned."""
    last = looks[-1]
    if trial.target.scope is Scope.CELL:
        return False
    place = plan.found.path.index(last.choice.rule) + 1 if last.choice.is_certified else 0
    labels = _labels(trial, plan.tested[: last.labels], plan.needs)
    return _chance(trial, plan, labels, plan.found.path[place]) < HOPELESS


def _chance(trial: Trial, plan: _Plan, labels: Labels, rule: Rule) -> float:
    """The chance that a rule is certified with all labels that are planned, as far as these labels tell."""
    sizes = _sizes(trial, plan)
    share = float(plan.ground.weights[plan.found.cells].sum())
    return seen(labels, rule).power(trial.target.loss_at_most, sizes[-1][1], len(plan.tested) / share)


def _ended(trial: Trial, plan: _Plan, looks: tuple[Look, ...], reason: str) -> Ending:
    """The end, with the look that certified most: what an earlier one certified stays so."""
    labelled = np.zeros(len(trial.table.items), dtype=bool)
    labelled[: len(plan.pilot.cells)] = True
    labels = _labels(trial, plan.tested[: looks[-1].labels if looks else 0], plan.needs)
    if looks:
        labelled[plan.tested[: looks[-1].labels]] = True
        choice = min(looks, key=lambda look: look.choice.relative_cost if look.choice.is_certified else math.inf).choice
        choice = choice if choice.is_certified else looks[-1].choice
    else:
        choice = _without_a_look(trial, plan)
    question = _question(trial, int(labelled.sum()))
    drawn = Draw(plan.ground, labels, plan.found.path, labelled, ranked=plan.pilot)
    return Ending(question, drawn, choice, looks, reason)


def _without_a_look(trial: Trial, plan: _Plan) -> Choice:
    """Nothing is certified; what the first step would take is told from the pilot."""
    nothing = choose(plan.ground, plan.pilot, trial.target, ())
    path = plan.found.path or plan.ground.path()
    if not path:
        return nothing
    rule, needs = path[0], plan.needs
    if not plan.found.path:
        needs = _needs(trial.table, Focus((rule,), _changed([rule], trial.reference)), trial.reference)
    each = float(plan.ground.weights @ (plan.ground.costs * needs).sum(axis=1))
    short = labels_short(plan.pilot, rule, trial.target.loss_at_most, trial.target.confidence, each)
    return replace(nothing, shortage=short)
