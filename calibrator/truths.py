"""What is right about the logged asks of a run: what most answers of the reference say, and what is still to be asked.

Pure. The draws of an ask are apart from the answers that are measured, the reference's own one included. So nobody is
compared with itself, and which asks are left out hangs on no answer that is scored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from calibrator.experiment import RulePlan
from calibrator.items.item import Agreement, Item
from calibrator.majority import majority
from gateway.domain.experiment import DRAW, Measurement

MONEY_SHARE: Final = 0.5
"""Of a rule's money, the most that is spent on finding out what is right; the rest is for measuring."""

Known = Mapping[tuple[str, str], Measurement]
"""What is measured, by item and arm."""


@dataclass(frozen=True, slots=True)
class Truths:
    """What is known of a rule's logged asks: the majority's answer by item, and how many have none or were not asked.

    ``wanted`` are the draws to ask for now, by their numbers from 1; ``cost`` is what those that there are came to.
    """

    answers: Mapping[str, str]
    wanted: tuple[tuple[Item, int], ...]
    without_majority: int
    not_asked: int
    cost: float

    def has(self, item: Item) -> bool:
        """Whether answers to an item can be scored."""
        return not isinstance(item.check, Agreement) or item.id in self.answers


def draw_name(reference: str, number: int) -> str:
    """The name under which a draw is kept, among the arms."""
    return f"{reference}{DRAW}{number}"


def truths_of(rule: RulePlan, known: Known, *, money: float, is_over: bool = False) -> Truths:
    """The truths of a rule's items, in their order, as far as its ``money`` goes; with ``is_over`` no more are asked.

    Where the money ends, the asks from there on are not asked: as their order is by chance, what is left is a sample.
    """
    answers: dict[str, str] = {}
    wanted: list[tuple[Item, int]] = []
    without_majority = not_asked = 0
    spent = cost = 0.0
    for item in rule.items:
        if not isinstance(item.check, Agreement):
            continue
        drawn = _drawn(rule.bound.reference, item, item.check.draws, known)
        cost += sum(float(each.cost) for each in drawn)
        if spent > MONEY_SHARE * money:
            not_asked += 1
            continue
        spent += sum(float(each.cost) for each in drawn)
        found = majority([each.answer for each in drawn], item.check.draws)
        if not found.is_settled:
            if is_over:
                not_asked += 1
            else:
                wanted += [(item, len(drawn) + 1 + place) for place in range(found.missing)]
        elif found.answer is None:
            without_majority += 1
        else:
            answers[item.id] = found.answer
    return Truths(answers, tuple(wanted), without_majority, not_asked, cost)


def _drawn(reference: str, item: Item, draws: int, known: Known) -> list[Measurement]:
    """The draws of an item that there are; one that is measured before an earlier one waits for it."""
    found = (known.get((item.id, draw_name(reference, number))) for number in range(1, draws + 1))
    drawn: list[Measurement] = []
    for each in found:
        if each is None:
            break
        drawn.append(each)
    return drawn


def money_of(rule: RulePlan, cap: float, items: int) -> float:
    """A rule's share of a run's money, by its share of the items; without end where no arm costs any."""
    return math.inf if rule.is_free else cap * len(rule.items) / items
