"""A vote: answers that mean the same are one, and each draw adds to its answer.

Where two answers have the same weight, the one with the shorter chains leads: of equally frequent
answers the shorter chains are more often right (Hassid et al. 2025, arXiv 2505.17813).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.search.board import Board, Draw
from gateway.search.equivalence import Meaning, meaning, same
from gateway.search.stopping import Standing


@dataclass(slots=True)
class Ballot:
    """The draws that gave one answer."""

    meaning: Meaning
    weight: float = 0.0
    tokens: int = 0
    draws: list[Draw] = field(default_factory=list)

    @property
    def order(self) -> tuple[float, float, int]:
        """Smaller leads: more weight, then shorter chains, then the earlier draw."""
        return (-round(self.weight, 9), self.tokens / len(self.draws), self.draws[0].id)


class Tally:
    """The ballots of a vote. Equal weights, or each draw's score where the vote is weighted and all have one."""

    def __init__(self, board: Board, draws: Iterable[Draw], *, is_weighted: bool = False) -> None:
        self._board = board
        counted = list(draws)
        self.drawn = len(counted)
        answered = [draw for draw in counted if draw.answer is not None]
        self.is_weighted = is_weighted and bool(answered) and all(draw.score is not None for draw in answered)
        ballots: list[Ballot] = []
        for draw in answered:
            self._count(ballots, draw)
        self.ballots: Sequence[Ballot] = sorted(ballots, key=lambda ballot: ballot.order)

    def _count(self, ballots: list[Ballot], draw: Draw) -> None:
        said = meaning(draw.answer or "")
        ballot = next((each for each in ballots if same(each.meaning, said)), None)
        if ballot is None:
            ballot = Ballot(said)
            ballots.append(ballot)
        share = self._board.share(draw) if self.is_weighted else None
        ballot.weight += 1.0 if share is None else share
        ballot.tokens += draw.tokens
        ballot.draws.append(draw)

    @property
    def leader(self) -> Draw | None:
        """The draw that stands for the leading answer: the best scored, and of equals one that marks its answer."""
        if not self.ballots:
            return None
        return min(self.ballots[0].draws, key=_shown_first)

    @property
    def share(self) -> float | None:
        """The leading answer's part of all draws, or of all weight; None without an answer."""
        if not self.ballots:
            return None
        total = sum(ballot.weight for ballot in self.ballots) if self.is_weighted else float(self.drawn)
        return self.ballots[0].weight / total if total > 0 else None

    def standing(self, left: int) -> Standing:
        """Where the vote stands with so many draws to come."""
        weights = [ballot.weight for ballot in self.ballots[:2]]
        leader, runner_up = (*weights, 0.0, 0.0)[:2]
        return Standing(leader, runner_up, float(self.drawn), left, len(self.ballots[0].draws) if self.ballots else 0)


def _shown_first(draw: Draw) -> tuple[float, bool, int]:
    score = float("-inf") if draw.score is None else draw.score
    return (-score, not draw.is_marked, draw.id)
