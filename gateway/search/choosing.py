"""Choosing between whole chains: by score where there are scores, else by agreement, else the first sound one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gateway.search.board import Board, Draw
from gateway.search.protocol import Winner
from gateway.search.tally import Tally


def choose(board: Board, draws: Sequence[Draw], *, is_weighted: bool = False) -> Winner:
    """The best of these chains. Weighted, the scores of equal answers add up; without scores, each counts one."""
    has_scores = any(draw.score is not None for draw in draws)
    if has_scores and not is_weighted:
        best = board.best(draws)
        share = None if best is None else board.share(best)
        return board.winner(best, share, f"the best score of {len(draws)}")
    return elect(board, draws, is_weighted=is_weighted)


def elect(board: Board, draws: Sequence[Draw], *, is_weighted: bool = False) -> Winner:
    """The most common answer; without any answer, the best text."""
    whole = [draw for draw in draws if draw.is_whole]
    tally = Tally(board, whole, is_weighted=is_weighted)
    if tally.leader is None:
        best = board.best(draws)
        return board.winner(best, None, "no draw gave an answer that could be counted")
    votes = len(tally.ballots[0].draws)
    by = " by score" if tally.is_weighted else ""
    return board.winner(tally.leader, agreement(votes, len(whole)), f"{votes} of {len(whole)} draws agree{by}")


def agreement(votes: int, draws: int) -> float:
    """How likely one more draw agrees, by Laplace's rule of succession: 2 of 2 is 0.75, and 8 of 8 is 0.9."""
    return (votes + 1) / (draws + 2)


def likelihood(draw: Draw) -> float | None:
    """The geometric mean of the probabilities of a draw's tokens; None where the model does not tell them."""
    if draw.candidate is None or draw.candidate.mean_logprob is None:
        return None
    return math.exp(min(0.0, draw.candidate.mean_logprob))
