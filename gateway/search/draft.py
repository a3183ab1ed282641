"""Draft and escalate: a small model writes step by step, and the arm's model takes over where it is not sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.domain.arm import Strategy
from gateway.domain.search_sizes import SIZES
from gateway.search import parameters
from gateway.search.board import Board, Draw, Moves
from gateway.search.choosing import likelihood
from gateway.search.protocol import DRAFT, MAIN, Prefix, Turn, Until, Winner

_SIZES: Final = SIZES[Strategy.DRAFT]


@dataclass(frozen=True, slots=True)
class Draft:
    """How many steps a chain may have, and how sure a drafted step must be to stand.

    ``sure`` is compared with the verifier's score of the chain, or without a verifier with the
    likelihood of the step's tokens; a step of which neither is known does not stand. After ``patience``
    steps in a row that did not, the arm's model writes the rest.
    """

    depth: int = parameters.size(_SIZES["depth"])
    sure: float = parameters.share(0.7)
    patience: int = parameters.size(2)
    role: str = MAIN
    draft_role: str = DRAFT
    turns: tuple[Turn, ...] = ()

    @property
    def calls_at_most(self) -> int:
        """The most model calls that it takes: each step once by either model."""
        return 2 * self.depth


def draft(board: Board, config: Draft) -> Moves[Winner]:
    """The chain that both wrote. Without a small model it is one draw of the arm's."""
    last: Draw | None = None
    spare: Draw | None = None
    doubted = 0 if config.draft_role in board.task.terms else config.patience
    for depth in range(1, config.depth + 1):
        if doubted >= config.patience or board.is_over or (last is not None and last.is_whole):
            break
        until = Until.END if depth == config.depth else Until.STEP
        drafted = yield from _draw(board, config, config.draft_role, last, until)
        if drafted is not None and (yield from _is_sure(board, config, drafted)):
            doubted, last = 0, drafted
            continue
        doubted, spare = doubted + 1, drafted or spare
        if doubted < config.patience:
            last = (yield from _draw(board, config, config.role, last, until)) or drafted or last
    if (last is None or not last.is_whole) and len(board.draws) < config.calls_at_most:
        last = (yield from _draw(board, config, config.role, last, Until.END)) or last
    best = last if last is not None and last.is_whole else board.best([each for each in (last, spare) if each])
    share = None if best is None else board.share(best)
    large = sum(draw.launch.role == config.role for draw in board.draws)
    reason = f"{large} of {len(board.draws)} draws by the arm's own model"
    return board.winner(best, likelihood(best) if best and share is None else share, reason)


def _draw(board: Board, config: Draft, role: str, last: Draw | None, until: Until) -> Moves[Draw | None]:
    """A step, or the rest, after what has been written; None where it failed or the ceilings leave no room."""
    after = None if last is None else Prefix(last.id)
    draw = yield from board.launch(until=until, role=role, after=after, turns=config.turns)
    if draw is None:
        return None
    while draw.is_running and (yield from board.event()) is not None:
        pass
    return draw if draw.is_open or draw.is_whole else None


def _is_sure(board: Board, config: Draft, draw: Draw) -> Moves[bool]:
    if (yield from board.score(draw)):
        yield from board.event()
    share = board.share(draw)
    sure = likelihood(draw) if share is None else share
    return sure is not None and sure >= config.sure
