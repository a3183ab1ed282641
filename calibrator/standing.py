"""How far a run is, by its plan and what was measured: the trial of each rule, and what is wanted next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from calibrator.experiment import RulePlan, RunPlan
from calibrator.items.item import Item
from calibrator.sequence import Ending, Nothing, Stage, Trial, proceed
from calibrator.tables.table import measured
from gateway.domain.experiment import Measurement

Known = Mapping[tuple[str, str], Measurement]
"""What is measured, by item and arm."""


@dataclass(frozen=True, slots=True)
class Job:
    """An item to ask of an arm."""

    rule: RulePlan
    item: Item
    arm: str


@dataclass(frozen=True, slots=True, eq=False)
class RunStanding:
    """How far each rule's trial is, in the order of the plan's rules."""

    plan: RunPlan
    trials: tuple[Stage | Ending | Nothing, ...]
    done: int

    @property
    def is_at_its_end(self) -> bool:
        """Whether nothing more is to be measured."""
        return not any(isinstance(each, Stage) for each in self.trials)

    @property
    def left(self) -> int:
        """How many pairs there are still to be measured if no look ends a trial early."""
        return sum(each.left for each in self.trials if isinstance(each, Stage))

    def jobs(self) -> Iterator[Job]:
        """What is wanted now, rule by rule, each in the order of its items."""
        for rule, each in zip(self.plan.rules, self.trials, strict=True):
            if isinstance(each, Stage):
                for row, arm in each.wanted:
                    yield Job(rule, rule.items[row], rule.arms[arm])


def standing_of(plan: RunPlan, known: Known, *, is_over: bool = False) -> RunStanding:
    """The standing of a run. With ``is_over`` no more will be measured, and every trial is at its end."""
    trials = tuple(proceed(_trial(rule, plan, known), is_over=is_over) for rule in plan.rules)
    return RunStanding(plan, trials, len(known))


def _trial(rule: RulePlan, plan: RunPlan, known: Known) -> Trial:
    """A rule's trial with what is measured of it; its share of the money is its share of the items."""
    shape = (len(rule.items), len(rule.arms))
    scores, costs, latencies = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    for row, item in enumerate(rule.items):
        for column, arm in enumerate(rule.arms):
            found = known.get((item.id, arm))
            if found is not None:
                scores[row, column] = found.score
                costs[row, column] = found.tokens if rule.is_free else float(found.cost)
                latencies[row, column] = found.latency_s
    table = measured([(item.id, item.cell) for item in rule.items], rule.arms, scores, costs, latencies)
    money = math.inf if rule.is_free else float(plan.cap) * len(rule.items) / len(plan.items)
    is_graded = not all(item.is_binary for item in rule.items)
    return Trial(table, table.arm(rule.bound.reference), rule.bound.target, money, is_graded)
