"""What another policy would have decided for asks that were recorded, and what that would have cost.

Costs are not modelled: an arm is expected to cost what it did cost on average in the same records, per
category where there are any, else overall. What no record tells stays unknown and is counted so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from gateway.domain.money import ZERO, Usd, usd
from gateway.errors import InvalidRequest, PonderError
from gateway.policy.conditions import View
from gateway.policy.decide import decide
from gateway.policy.ready import ReadyPolicy
from gateway.policy.replay import Recalled, recall

REFUSED = "refused"
"""Stands for the arm of an ask that a policy refuses."""


@dataclass(frozen=True, slots=True)
class RecordedAsk:
    """The facts of an ask; and the arm that answered it and what that cost, where they are known."""

    facts: View
    arm: str | None = None
    cost: Usd | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Asks of one category that would go from one arm to another."""

    category: str
    before: str
    after: str
    asks: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a policy's decisions would cost; ``unknown`` asks went to arms whose cost no record tells."""

    cost: Usd
    unknown: int
    refused: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Two policies over the same asks; ``unreadable`` ones, which another release recorded, are not among them."""

    asks: int
    unreadable: int
    changed: int
    changes: tuple[Change, ...]
    """The largest first."""
    before: Expectation
    after: Expectation


def compare(old: ReadyPolicy, new: ReadyPolicy, asks: Sequence[RecordedAsk]) -> Difference:
    """Decide each ask under both, without exploration and without a profile, and compare."""
    costs = _typical_costs(asks)
    moves: Counter[tuple[str, str, str]] = Counter()
    before, after = _Sum(costs), _Sum(costs)
    unreadable = 0
    for ask in asks:
        try:
            recalled = recall({name: value for name, value in ask.facts.items() if name != "u"})
        except InvalidRequest:
            unreadable += 1
            continue
        category = recalled.facts.prediction.category
        was, would_be = _arm(old, recalled), _arm(new, recalled)
        before.add(category, was)
        after.add(category, would_be)
        moves[category, was, would_be] += 1
    changes = tuple(
        Change(category, was, would_be, count)
        for (category, was, would_be), count in moves.most_common()
        if was != would_be
    )
    return Difference(
        asks=len(asks) - unreadable,
        unreadable=unreadable,
        changed=sum(change.asks for change in changes),
        changes=changes,
        before=before.expectation(),
        after=after.expectation(),
    )


def _arm(policy: ReadyPolicy, ask: Recalled) -> str:
    try:
        return decide(policy, ask.facts, None, ask.snapshots, ask.u).arm.name
    except PonderError:
        return REFUSED


class _Sum:
    """Adds up what a policy's decisions would cost."""

    def __init__(self, costs: Mapping[tuple[str | None, str], Usd]) -> None:
        self._costs = costs
        self._cost = ZERO
        self._unknown = 0
        self._refused = 0

    def add(self, category: str, arm: str) -> None:
        if arm == REFUSED:
            self._refused += 1
            return
        cost = self._costs.get((category, arm), self._costs.get((None, arm)))
        if cost is None:
            self._unknown += 1
        else:
            self._cost = Usd(self._cost + cost)

    def expectation(self) -> Expectation:
        return Expectation(self._cost, self._unknown, self._refused)


def _typical_costs(asks: Iterable[RecordedAsk]) -> dict[tuple[str | None, str], Usd]:
    """The mean cost of each arm, by category and, under None, overall."""
    seen: defaultdict[tuple[str | None, str], list[Decimal]] = defaultdict(list)
    for ask in asks:
        if ask.arm is not None and ask.cost is not None:
            seen[str(ask.facts.get("category")), ask.arm].append(ask.cost)
            seen[None, ask.arm].append(ask.cost)
    return {key: usd(sum(costs, Decimal(0)) / len(costs)) for key, costs in seen.items()}
