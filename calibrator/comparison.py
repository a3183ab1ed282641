"""What a rule truly loses and costs on a whole table, beside the rules that need no calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibrator.choose import decide
from calibrator.stats.intervals import exact
from calibrator.stats.paths import Rule
from calibrator.stats.results import Floats, Interval
from calibrator.tables.table import OutcomeTable
from calibrator.trial import Question, draw


@dataclass(frozen=True, slots=True)
class Standing:
    """The mean loss of a rule against the reference, and its cost as a share of the reference's."""

    name: str
    loss: float
    relative_cost: float
    items: int


def standing(
    table: OutcomeTable, reference: int, rule: Sequence[int], name: str, among: NDArray[np.bool_] | None = None
) -> Standing | None:
    """A rule on the items ``among``, on all without; None where there are none."""
    rows = np.arange(len(table.items)) if among is None else np.flatnonzero(among)
    if not rows.size:
        return None
    return _standing(table, reference, rows, np.asarray(rule)[table.cell[rows]], name)


def _standing(
    table: OutcomeTable, reference: int, rows: NDArray[np.int64], arms: NDArray[np.int64], name: str
) -> Standing:
    loss = float((table.scores[rows, reference] - table.scores[rows, arms]).mean())
    full = float(table.costs[rows, reference].mean())
    return Standing(name, loss, float(table.costs[rows, arms].mean()) / full if full else 1.0, int(rows.size))


def static_arms(table: OutcomeTable, reference: int) -> tuple[Standing, ...]:
    """Each arm for everything, the cheapest first."""
    everything = np.arange(len(table.items))
    found = [
        _standing(table, reference, everything, np.full(everything.size, arm), f"always {name}")
        for arm, name in enumerate(table.arms)
    ]
    return tuple(sorted(found, key=lambda each: each.relative_cost))


def shuffled(table: OutcomeTable, reference: int, rule: Sequence[int]) -> Standing:
    """The rule's arms, given to items at random in the same numbers: what they would lose without the cells."""
    shares = np.bincount(np.asarray(rule)[table.cell], minlength=len(table.arms)) / len(table.items)
    return _mixed(table, reference, shares, "its arms, shuffled over the items")


def mixture(table: OutcomeTable, reference: int, relative_cost: float) -> Standing:
    """The reference and the cheapest arm at random, mixed so that they cost as much as the rule."""
    means = table.costs.mean(axis=0)
    cheapest = int(np.argmin(means))
    span = float(means[reference] - means[cheapest])
    share = (1 - relative_cost) * float(means[reference]) / span if span > 0 else 0.0
    shares = np.zeros(len(table.arms))
    shares[cheapest] += min(max(share, 0.0), 1.0)
    shares[reference] += 1 - shares.sum()
    return _mixed(table, reference, shares, "reference and cheapest at random, at the same cost")


def _mixed(table: OutcomeTable, reference: int, shares: Floats, name: str) -> Standing:
    accuracies, costs = table.scores.mean(axis=0), table.costs.mean(axis=0)
    full = float(costs[reference])
    loss = float(accuracies[reference] - shares @ accuracies)
    return Standing(name, loss, float(shares @ costs) / full if full else 1.0, len(table.items))


def oracle(table: OutcomeTable, reference: int) -> Standing:
    """The cheapest arm that is best on each item: a ceiling that profits from the luck of single answers."""
    everything = np.arange(len(table.items))
    is_best = table.scores >= table.scores.max(axis=1, keepdims=True)
    arms = np.where(is_best, table.costs, np.inf).argmin(axis=1)
    arms = np.where(table.scores.max(axis=1) > 0, arms, table.costs.argmin(axis=1))
    return _standing(table, reference, everything, arms, "oracle: the cheapest best arm of each item")


@dataclass(frozen=True, slots=True)
class Resplits:
    """Many runs on one table, each with labels of its own: how often the promise was broken, and what was paid.

    A violation is a loss beyond the target: ``violations`` on the whole table, ``left_over`` on the items
    that were not labelled, which are few and noisy. ``mean_cost`` has an interval for the mean over draws of
    this table. ``changed`` is the share of runs that certified anything. ``rules`` are those chosen, by number.
    """

    runs: int
    violations: Interval
    left_over: Interval | None
    mean_cost: Interval
    mean_loss: float
    worst_loss: float
    changed: float
    mean_labels: float
    controls: tuple[Standing, ...]
    rules: tuple[tuple[Rule, int], ...]


_LEVEL: Final = 0.95
_DEVIATE: Final = 1.959964


def resplit(question: Question, runs: int, seed: int, advance: Callable[[int], None] | None = None) -> Resplits:
    """Run a calibration again and again, with other labels each time, and judge each by the whole table."""
    table, reference, target = question.table, question.reference, question.target
    found: list[Standing] = []
    rest: list[Standing] = []
    rules: dict[Rule, int] = {}
    spent = 0
    for number in range(runs):
        drawn = draw(question, (seed, number))
        rule = decide(drawn.ground, drawn.labels, target, drawn.path).rule or drawn.ground.everywhere
        rules[rule] = rules.get(rule, 0) + 1
        spent += drawn.size
        whole = standing(table, reference, rule, "calibrated")
        others = standing(table, reference, rule, "calibrated", ~drawn.labelled)
        found.extend([whole] if whole else [])
        rest.extend([others] if others else [])
        if advance is not None:
            advance(number + 1)
    costs = np.array([each.relative_cost for each in found])
    losses = np.array([each.loss for each in found])
    half = _DEVIATE * float(costs.std(ddof=1)) / runs**0.5 if runs > 1 else 0.0
    mean = float(costs.mean())
    cost = Interval(mean, mean - half, mean + half, _LEVEL, runs, ("for draws of labels from this table",))
    kept = drawn.ground.everywhere
    return Resplits(
        runs=runs,
        violations=_violations(found, target.loss_at_most),
        left_over=_violations(rest, target.loss_at_most) if rest else None,
        mean_cost=cost,
        mean_loss=float(losses.mean()),
        worst_loss=float(losses.max()),
        changed=1 - rules.get(kept, 0) / runs,
        mean_labels=spent / runs,
        controls=_controls(table, reference, rules, mean),
        rules=tuple(sorted(rules.items(), key=lambda each: (-each[1], each[0]))),
    )


def _violations(found: Sequence[Standing], target: float) -> Interval:
    return exact(sum(each.loss > target for each in found), len(found), _LEVEL)


def _controls(table: OutcomeTable, reference: int, rules: dict[Rule, int], mean_cost: float) -> tuple[Standing, ...]:
    """What needs no label: static arms, a mixture at the same cost, the same arms without the cells, the oracle."""
    runs = sum(rules.values())
    each = [(shuffled(table, reference, rule), number / runs) for rule, number in rules.items()]
    control = Standing(
        each[0][0].name,
        sum(found.loss * share for found, share in each),
        sum(found.relative_cost * share for found, share in each),
        len(table.items),
    )
    return (
        *static_arms(table, reference),
        mixture(table, reference, mean_cost),
        control,
        oracle(table, reference),
    )
