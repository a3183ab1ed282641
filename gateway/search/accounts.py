"""What a search has used of its ceilings, and what it may still use.

Whatever is under way counts with the most that it can take, until its true amount is reported. So no
answer, however long or dear, brings a search over a ceiling that every draw by itself respects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.search.protocol import Task, Until

LEAST_TOKENS: Final = 16
"""A draw that cannot have so many tokens is not worth its prompt."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a draw may write, and the most that it can cost."""

    tokens: int
    cost: int


class Accounts:
    """One account for a search and all searches within it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.draws = 0
        self.running = 0
        """Draws that still write and are wanted."""
        self.cancelling = 0
        """Draws that were told to stop, and of which nobody knows yet what they have used."""
        self.is_over = False
        self._tokens = 0
        self._cost = 0

    @property
    def draws_left(self) -> int:
        """How many more draws may be launched."""
        return max(0, self.task.ceilings.draws - self.draws)

    def room(self, role: str, until: Until, read: int, steps: int) -> Room | None:
        """What a draw that reads so many tokens may use; None where that is too little, or more once others end."""
        terms, ceilings = self.task.terms[role], self.task.ceilings
        if self.draws >= ceilings.draws:
            return None
        wanted = terms.max_tokens
        if until is Until.STEP and terms.boundary.tokens is not None:
            wanted = min(wanted, terms.boundary.tokens * steps)
        left = wanted if ceilings.tokens is None else min(wanted, ceilings.tokens - self._tokens)
        read_cost = terms.input_rate * read
        if ceilings.cost is not None:
            money = ceilings.cost - self._cost - read_cost
            if money < 0:
                return None
            left = min(left, money // terms.output_rate) if terms.output_rate else left
        is_crowded = left < wanted and self.running + self.cancelling > 0
        if is_crowded or left < min(wanted, LEAST_TOKENS):
            return None
        return Room(left, read_cost + terms.output_rate * left)

    def has_money_for(self, cost: int) -> bool:
        """Whether this much more stays within the ceiling."""
        ceiling = self.task.ceilings.cost
        return ceiling is None or self._cost + cost <= ceiling

    def use(self, tokens: int, cost: int) -> None:
        """Count what is used; negative to give back what was set aside and not used."""
        self._tokens += tokens
        self._cost += cost
