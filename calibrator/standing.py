"""How far a run is, by its plan and what was measured: the trial of each rule, and what is wanted next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from calibrator.experiment import RulePlan, RunPlan
from calibrator.items.item import Item
from calibrator.sequence import Ending, Nothing, Stage, Trial, proceed
from calibrator.tables.table import measured
from calibrator.truths import Known, Truths, draw_name, money_of, truths_of


@dataclass(frozen=True, slots=True)
class Job:
    """An item to ask of an arm. ``draw`` is the number of an answer that says what is right, or 0 for one to score.

    ``truth`` is what the reference says to an item that has no other truth.
    """

    rule: RulePlan
    item: Item
    arm: str
    draw: int = 0
    truth: str | None = None

    @property
    def name(self) -> str:
        """Under which the answer is kept."""
        return draw_name(self.arm, self.draw) if self.draw else self.arm


@dataclass(frozen=True, slots=True, eq=False)
class RuleStanding:
    """How far a rule is: what is right, the items that this is known of, and their trial, which begins after it."""

    rule: RulePlan
    """With the items that answers can be scored of."""
    truths: Truths
    trial: Stage | Ending | Nothing | None

    @property
    def left(self) -> int:
        """How many answers there are still to be asked for if no look ends the trial early."""
        if self.trial is None:
            return len(self.truths.wanted) + len(self.rule.items) * len(self.rule.arms)
        return self.trial.left if isinstance(self.trial, Stage) else 0

    def jobs(self) -> Iterator[Job]:
        """What is wanted now, in the order of the items."""
        for item, number in self.truths.wanted:
            yield Job(self.rule, item, self.rule.bound.reference, number)
        if isinstance(self.trial, Stage):
            for row, arm in self.trial.wanted:
                item = self.rule.items[row]
                yield Job(self.rule, item, self.rule.arms[arm], truth=self.truths.answers.get(item.id))


@dataclass(frozen=True, slots=True, eq=False)
class RunStanding:
    """How far each rule is, in the order of the plan's rules."""

    rules: tuple[RuleStanding, ...]
    done: int

    @property
    def is_at_its_end(self) -> bool:
        """Whether nothing more is to be measured."""
        return not any(each.trial is None or isinstance(each.trial, Stage) for each in self.rules)

    @property
    def left(self) -> int:
        """How many answers there are still to be asked for if no look ends a trial early."""
        return sum(each.left for each in self.rules)

    def jobs(self) -> Iterator[Job]:
        """What is wanted now, rule by rule."""
        for each in self.rules:
            yield from each.jobs()


def standing_of(plan: RunPlan, known: Known, *, is_over: bool = False) -> RunStanding:
    """The standing of a run. With ``is_over`` no more will be measured, and every trial is at its end."""
    return RunStanding(tuple(_standing(rule, plan, known, is_over=is_over) for rule in plan.rules), len(known))


def _standing(rule: RulePlan, plan: RunPlan, known: Known, *, is_over: bool) -> RuleStanding:
    money = money_of(rule, float(plan.cap), len(plan.items))
    truths = truths_of(rule, known, money=money, is_over=is_over)
    scored = replace(rule, items=tuple(item for item in rule.items if truths.has(item)))
    if truths.wanted:
        return RuleStanding(scored, truths, None)
    if not scored.items:
        why = f"the reference has no majority on any of {len(rule.items)} logged asks"
        return RuleStanding(scored, truths, Nothing(f"rule {rule.bound.rule.name!r}: {why}"))
    return RuleStanding(scored, truths, proceed(_trial(scored, known, money - truths.cost), is_over=is_over))


def _trial(rule: RulePlan, known: Known, money: float) -> Trial:
    """A rule's trial with what is measured of it."""
    shape = (len(rule.items), len(rule.arms))
    scores, costs, latencies = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    for row, item in enumerate(rule.items):
        for column, arm in enumerate(rule.arms):
            found = known.get((item.id, arm))
            if found is not None:
                scores[row, column] = found.score
                costs[row, column] = found.tokens if rule.is_free else float(found.cost)
                latencies[row, column] = found.latency_s or np.nan
    table = measured([(item.id, item.cell) for item in rule.items], rule.arms, scores, costs, latencies)
    is_graded = not all(item.is_binary for item in rule.items)
    return Trial(table, table.arm(rule.bound.reference), rule.bound.target, money, is_graded)
