"""What a run's measurements say of a profile: accuracy against cost, and savings beside a control, with intervals.

Pure: computed from measurements. The items are those that the arms were chosen by, so all this flatters the choice;
the certificate, and the run's report on items held out, do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain.experiment import CellProgress, Measurement
from gateway.domain.profile_document import RuleProfile
from gateway.http.dashboard.charts import Point

Z: Final = 1.959964
"""Of intervals that hold in 95% of cases."""
LEAST_ITEMS: Final = 30
"""With fewer items, an interval by the normal distribution says nothing."""

_Cell = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, and the bounds between which it lies with a confidence of 95%."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Savings:
    """The chosen arms beside the reference arm on the same ``items``.

    ``saved`` is the share of the reference's cost, ``gained`` the difference in accuracy. ``over_control`` is the gain
    over a control that takes the same arms equally often, whatever the item: what choosing by category is worth.
    """

    items: int
    saved: Estimate
    gained: Estimate
    over_control: Estimate


def points(measured: Sequence[CellProgress], rule: RuleProfile) -> dict[str, list[Point]]:
    """Each arm's accuracy and cost beside the reference's, by category; those of which the reference is measured."""
    reference = rule.certificate.reference
    chosen = {(cell.category, cell.arm) for cell in rule.cells}
    sums: dict[str, dict[str, tuple[int, float, float]]] = {}
    for each in measured:
        arms = sums.setdefault(each.category, {})
        items, score, cost = arms.get(each.arm, (0, 0.0, 0.0))
        arms[each.arm] = items + each.items, score + each.score, cost + float(each.cost)
    found: dict[str, list[Point]] = {}
    for category, arms in sorted(sums.items()):
        items, _, cost = arms.get(reference, (0, 0.0, 0.0))
        if cost <= 0 or not any((category, arm) in chosen for arm in arms):
            continue
        found[category] = [
            Point(
                label=arm,
                relative_cost=(arm_cost / arm_items) / (cost / items),
                accuracy=score / arm_items,
                lower=wilson(score / arm_items, arm_items)[0],
                upper=wilson(score / arm_items, arm_items)[1],
                is_chosen=(category, arm) in chosen,
                is_reference=arm == reference,
            )
            for arm, (arm_items, score, arm_cost) in sorted(arms.items())
        ]
    return found


def wilson(mean: float, items: int) -> tuple[float, float]:
    """Wilson's interval for a mean of scores from 0 to 1; for scores between the two it is wider than need be."""
    share = Z * Z / items
    middle = (mean + share / 2) / (1 + share)
    half = Z / (1 + share) * math.sqrt(mean * (1 - mean) / items + share / (4 * items))
    return max(0.0, middle - half), min(1.0, middle + half)


def savings(measured: Iterable[Measurement], rule: RuleProfile) -> Savings | None:
    """On the items that the reference and every chosen arm were measured on; None where they are too few."""
    reference = rule.certificate.reference
    chosen = {(cell.category, cell.difficulty): cell.arm for cell in rule.cells}
    needed = {reference, *chosen.values()}
    items: dict[str, dict[str, Measurement]] = {}
    for each in measured:
        if each.arm in needed:
            items.setdefault(each.item, {})[each.arm] = each
    whole = []
    for arms in items.values():
        taken = _chosen_of(next(iter(arms.values())), chosen)
        if taken is not None and arms.keys() == needed:
            whole.append((arms, taken))
    if len(whole) < LEAST_ITEMS or not sum(float(arms[reference].cost) for arms, _ in whole):
        return None
    shares = {arm: sum(taken == arm for _, taken in whole) / len(whole) for arm in needed}
    costs = [(float(arms[taken].cost), float(arms[reference].cost)) for arms, taken in whole]
    return Savings(
        items=len(whole),
        saved=_share_saved(costs),
        gained=_mean([arms[taken].score - arms[reference].score for arms, taken in whole]),
        over_control=_mean(
            [arms[taken].score - sum(shares[arm] * arms[arm].score for arm in needed) for arms, taken in whole]
        ),
    )


def _chosen_of(item: Measurement, chosen: Mapping[_Cell, str]) -> str | None:
    return chosen.get((item.category, item.difficulty)) or chosen.get((item.category, None))


def _mean(values: Sequence[float]) -> Estimate:
    mean = sum(values) / len(values)
    half = Z * _deviation(values, mean) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def _share_saved(costs: Sequence[tuple[float, float]]) -> Estimate:
    """One less the ratio of two sums over the same items, with the interval of the delta method."""
    whole = sum(reference for _, reference in costs)
    ratio = sum(cost for cost, _ in costs) / whole
    rests = [cost - ratio * reference for cost, reference in costs]
    half = Z * _deviation(rests, 0.0) * math.sqrt(len(costs)) / whole
    return Estimate(1 - ratio, 1 - ratio - half, 1 - ratio + half)


def _deviation(values: Sequence[float], mean: float) -> float:
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
