"""Step-wise search, the core of beam search and of DVTS: extend chains by a step, score them, keep the best.

Options: equal next steps of one chain are scored and kept once; and a step can be judged by a few steps
drawn ahead of it, whose score then counts for the step (look-ahead, Snell et al. 2024, arXiv 2408.03314).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.search.best_of_n import is_accepted
from gateway.search.board import Board, Draw, Moves
from gateway.search.protocol import DrawId, Prefix, Turn, Until
from gateway.search.steps import normalized


@dataclass(frozen=True, slots=True)
class Climb:
    """How many chains are kept, by how many next steps each is extended, and how many draws a chain may take.

    ``calls`` bounds the draws of the whole climb.
    """

    keep: int
    expand: int
    depth: int
    calls: int
    accept: float
    temperature: float | None
    lookahead: int
    role: str
    turns: tuple[Turn, ...]


def climb(board: Board, config: Climb) -> Moves[list[Draw]]:
    """The chains that are whole in the end; the best open one, where none is."""
    if config.keep * config.expand == 1:
        yield from _Climber(board, config).finish(None)
        return board.whole
    climber = _Climber(board, config)
    kept: Sequence[Draw | None] = [None]
    for level in range(1, config.depth + 1):
        fresh = yield from climber.extend(kept, level)
        if board.is_over or is_accepted(board, config.accept):
            break
        rivals = sorted([*fresh, *climber.retired], key=_order)[: config.keep]
        climber.retired = [draw for draw in rivals if draw.is_whole]
        kept = [draw for draw in rivals if draw.is_open]
        if not kept:
            break
    if not board.whole and not board.is_over:
        yield from climber.finish(board.best([draw for draw in board.draws if draw.is_open]))
    return board.whole or [draw for draw in (board.best(),) if draw is not None]


class _Climber:
    """One climb: which draws look ahead of which step, and which chains have come to their end."""

    def __init__(self, board: Board, config: Climb) -> None:
        self.board = board
        self.config = config
        self.retired: list[Draw] = []
        """Whole chains that still hold a place among the best."""
        self._ahead: dict[DrawId, Draw] = {}
        """The step that a draw looks ahead of."""

    def extend(self, parents: Sequence[Draw | None], level: int) -> Moves[list[Draw]]:
        """The distinct next steps of these chains, scored. One draw is left, to bring a chain to its end."""
        is_last = level >= self.config.depth
        each = self.config.expand * (self.config.keep if parents[0] is None else 1)
        spare = 0 if is_last else 1
        drawn: list[Draw] = []
        for parent in [parent for _ in range(each) for parent in parents]:
            if self._calls_left() <= spare:
                break
            draw = yield from self._draw(parent, Until.END if is_last else Until.STEP)
            if draw is None:
                break
            drawn.append(draw)
        fresh: list[Draw] = []
        while (draw := (yield from self.board.event())) is not None:
            yield from self._consider(draw, fresh)
            if is_accepted(self.board, self.config.accept):
                yield from self.board.cancel(self.board.running)
                break
        return fresh

    def finish(self, parent: Draw | None) -> Moves[None]:
        """Draw one chain to its end."""
        if self._calls_left() <= 0:
            return
        draw = yield from self._draw(parent, Until.END)
        while draw is not None and (yield from self.board.event()) is not None:
            yield from self.board.score(draw)

    def _calls_left(self) -> int:
        return min(self.board.accounts.draws_left, self.config.calls - len(self.board.draws))

    def _draw(self, parent: Draw | None, until: Until) -> Moves[Draw | None]:
        return (
            yield from self.board.launch(
                until=until,
                role=self.config.role,
                after=None if parent is None else Prefix(parent.id),
                turns=self.config.turns,
                temperature=self.config.temperature,
            )
        )

    def _consider(self, draw: Draw, fresh: list[Draw]) -> Moves[None]:
        """Judge what has come: a step by the steps ahead of it where there are some, else by itself."""
        step = self._ahead.get(draw.id)
        if step is not None:
            yield from self._look_back(draw, step)
        elif draw.is_scored or not (draw.is_open or draw.is_whole):
            return
        elif not any(_are_equal(draw, other) for other in fresh):
            fresh.append(draw)
            if not (draw.is_open and (yield from self._look_ahead(draw))):
                yield from self.board.score(draw)

    def _look_ahead(self, step: Draw) -> Moves[bool]:
        if not self.config.lookahead or self._calls_left() <= 1:
            return False
        draw = yield from self.board.launch(
            until=Until.STEP,
            role=self.config.role,
            after=Prefix(step.id),
            turns=self.config.turns,
            temperature=0.0,
            steps=self.config.lookahead,
        )
        if draw is None:
            return False
        self._ahead[draw.id] = step
        return True

    def _look_back(self, draw: Draw, step: Draw) -> Moves[None]:
        """Take the score of what was drawn ahead for the step; where there is none, the step's own."""
        if draw.is_scored and draw.score is not None:
            step.score = draw.score
        elif draw.is_scored or not (yield from self.board.score(draw)):
            yield from self.board.score(step)


def _are_equal(draw: Draw, other: Draw) -> bool:
    """Whether two draws continue the same chain by the same step."""
    if draw.launch.prefix != other.launch.prefix or draw.candidate is None or other.candidate is None:
        return False
    return draw.is_whole == other.is_whole and normalized(draw.candidate.text) == normalized(other.candidate.text)


def _order(draw: Draw) -> tuple[float, DrawId]:
    return (float("inf") if draw.score is None else -draw.score, draw.id)
