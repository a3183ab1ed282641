"""What is right about an ask of which no truth is known: what more than half of some answers of the reference say.

Pure. Answers are compared as votes are (:mod:`gateway.search.equivalence`). An arm that says the same is right by that;
so what is measured is agreement with the reference, and the reference itself is measured by one more answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.search.answers import answer_of
from gateway.search.equivalence import meaning, same

LONGEST: Final = 2_000
"""Characters of an answer that can be agreed with; who writes more has said no answer that others would repeat."""


@dataclass(frozen=True, slots=True)
class Majority:
    """Where the answers stand: the one that more than half of all draws give, if any, and how many to ask for now."""

    answer: str | None
    missing: int

    @property
    def is_settled(self) -> bool:
        """Whether no further answer could change it."""
        return not self.missing


def final_answer(text: str) -> str | None:
    """What a text ends with as its answer; None where it has none that is short."""
    found = answer_of(text)
    return None if found is None or len(found) > LONGEST else found


def majority(answers: Sequence[str | None], draws: int) -> Majority:
    """What more than half of ``draws`` answers say, by those that there are; None stands for a draw without an answer.

    First as many are wanted as a majority takes, and only if they differ the others.
    """
    needed = draws // 2 + 1
    leader, votes = _leader(answers)
    if votes >= needed:
        return Majority(leader, 0)
    left = draws - len(answers)
    if votes + left < needed:
        return Majority(None, 0)
    return Majority(None, needed - len(answers) if len(answers) < needed else left)


def agrees(text: str, answer: str) -> bool:
    """Whether a text's own answer means the same."""
    said = final_answer(text)
    return said is not None and same(meaning(said), meaning(answer))


def _leader(answers: Sequence[str | None]) -> tuple[str | None, int]:
    """The answer that is given most often, in the words of whoever gave it first, and how often."""
    ballots: list[tuple[str, int]] = []
    for each in answers:
        if each is None:
            continue
        place = next((place for place, (said, _) in enumerate(ballots) if same(meaning(said), meaning(each))), None)
        if place is None:
            ballots.append((each, 1))
        else:
            ballots[place] = (ballots[place][0], ballots[place][1] + 1)
    return max(ballots, key=lambda ballot: ballot[1], default=(None, 0))
