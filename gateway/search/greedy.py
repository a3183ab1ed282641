"""Greedy: one draw, as the client asked."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.search.board import Board, Moves
from gateway.search.choosing import likelihood
from gateway.search.protocol import MAIN, Turn, Until, Winner


@dataclass(frozen=True, slots=True)
class Greedy:
    """One chain of thought. It is scored only where something depends on how sure the answer is."""

    role: str = MAIN
    turns: tuple[Turn, ...] = ()
    is_scored: bool = False

    @property
    def calls_at_most(self) -> int:
        """The most model calls that it takes."""
        return 1


def greedy(board: Board, config: Greedy) -> Moves[Winner]:
    """The one draw. Its confidence is the verifier's, else the likelihood of its tokens where the model tells."""
    draw = yield from board.launch(until=Until.END, role=config.role, turns=config.turns)
    if draw is None:
        return board.winner(None, None, "")
    while draw.is_running and (yield from board.event()) is not None:
        pass
    if config.is_scored and draw.is_whole and (yield from board.score(draw)):
        yield from board.event()
    share = board.share(draw)
    return board.winner(draw, likelihood(draw) if share is None else share, "one draw")
