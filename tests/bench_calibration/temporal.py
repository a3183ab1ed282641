"""Choices of the older half of a table, deployed on the newer half under the guard.

What was promised of the older half need not hold of the newer: the question is whether the guard notices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from calibrator.choose import decide
from calibrator.guard import Action
from calibrator.stats.paths import Rule
from calibrator.stats.results import Integers
from calibrator.tables.table import OutcomeTable
from calibrator.trial import Question, draw
from tests.validity.canaries import REQUESTS, TERMS, Ended, Kind, run

NOTE: Final = f"""The older half of the items, by the day they were observed, certifies a rule with 400 labels. The
newer half is the traffic of a canary then, with the rule in the place of the reference: {REQUESTS:,} labelled requests
at most, drawn from it with replacement, with the target as the guard's margin and its other defaults. *Undecided*
canaries had no more requests; their time-out would withdraw them. What loses more than the target must not be promoted.
"""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A rule that the older half certified: what it loses on each half, and how its canary on the newer half ended."""

    older_loss: float
    newer_loss: float
    ended: Ended


@dataclass(frozen=True, slots=True)
class Fate:
    """How the canaries went of rules whose loss on the newer half lies in one range of ``span``."""

    name: str
    span: str
    target: float
    older_loss: float
    newer_loss: float
    ended: Mapping[Action, int]
    requests: float

    @property
    def is_beyond(self) -> bool:
        """Whether they lose more than the target on the newer half."""
        return self.newer_loss > self.target

    @property
    def count(self) -> int:
        """How many rules they are."""
        return sum(self.ended.values())


def halves(table: OutcomeTable) -> tuple[OutcomeTable, OutcomeTable]:
    """The items observed first and those observed last, as many of each."""
    order = np.argsort(table.observed_at, kind="stable")
    middle = len(table.items) // 2
    return _rows(table, order[:middle]), _rows(table, order[middle:])


def _rows(table: OutcomeTable, rows: Integers) -> OutcomeTable:
    chosen = np.sort(rows)
    return replace(
        table,
        items=tuple(table.items[row] for row in chosen.tolist()),
        cell=table.cell[chosen],
        observed_at=table.observed_at[chosen],
        scores=table.scores[chosen],
        costs=table.costs[chosen],
        latencies=table.latencies[chosen],
    )


def deploy(question: Question, newer: OutcomeTable, seed: int) -> Deployed:
    """Calibrate on the question's table, the older half, and try what it certifies on traffic like the newer half."""
    older, reference, target = question.table, question.reference, question.target
    drawn = draw(question, seed)
    rule = decide(drawn.ground, drawn.labels, target, drawn.path).rule or drawn.ground.everywhere
    random = np.random.default_rng((seed, 7))
    ended = run(random, kinds(newer, reference, rule), replace(TERMS, margin=target.loss_at_most))
    return Deployed(_loss(older, reference, rule), _loss(newer, reference, rule), ended)


def kinds(table: OutcomeTable, reference: int, rule: Rule) -> list[Kind]:
    """The cells of a table as kinds of asks: how often the reference and the rule's arm are right in each."""
    made = []
    for cell, arm in enumerate(rule):
        rows = table.scores[table.cell == cell]
        if rows.size:
            old, new = float(rows[:, reference].mean()), float(rows[:, arm].mean())
            made.append(Kind(len(rows) / len(table.items), old, new, is_same=arm == reference))
    return made


def _loss(table: OutcomeTable, reference: int, rule: Rule) -> float:
    rows = np.arange(len(table.items))
    return float((table.scores[rows, reference] - table.scores[rows, np.asarray(rule)[table.cell]]).mean())


def fates(name: str, target: float, deployed: Sequence[Deployed]) -> list[Fate]:
    """The canaries, by whether the newer half's loss is beyond the target, within it, or none."""
    spans = (
        (f"beyond {target:g}", target, float("inf")),
        (f"0 to {target:g}", 0.0, target),
        ("none", float("-inf"), 0.0),
    )
    found = []
    for span, low, high in spans:
        among = [each for each in deployed if low < each.newer_loss <= high]
        if among:
            found.append(
                Fate(
                    name,
                    span,
                    target,
                    float(np.mean([each.older_loss for each in among])),
                    float(np.mean([each.newer_loss for each in among])),
                    Counter(each.ended.action for each in among),
                    float(np.median([each.ended.requests for each in among])),
                )
            )
    return found
