"""Repair: the step at which the process reward falls first is drawn again, and the good prefix before it kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain.arm import Strategy
from gateway.domain.search_sizes import SIZES
from gateway.search import parameters
from gateway.search.board import Board, Draw, Moves
from gateway.search.choosing import choose
from gateway.search.protocol import MAIN, Prefix, Turn, Until, Winner

_SIZES: Final = SIZES[Strategy.REPAIR]


@dataclass(frozen=True, slots=True)
class Repair:
    """How often a chain is repaired, and what a fall is: a step below ``floor``, or ``fall`` under the one before.

    A chain with a score of ``accept`` or more is not repaired.
    """

    rounds: int = parameters.count(_SIZES["rounds"])
    floor: float = parameters.share(0.5)
    fall: float = parameters.share(0.3)
    accept: float = parameters.share(0.9)
    temperature: float = parameters.temperature(0.8)
    role: str = MAIN
    turns: tuple[Turn, ...] = ()

    @property
    def calls_at_most(self) -> int:
        """The most model calls that it takes."""
        return 1 + self.rounds


def repair(board: Board, config: Repair) -> Moves[Winner]:
    """The chain with the best score. Without scores for its steps a chain is drawn anew from the start."""
    current = yield from _draw(board, config, None, None)
    for _ in range(config.rounds):
        if board.is_over or (current is not None and (board.share(current) or 0.0) >= config.accept):
            break
        redrawn = yield from _draw(board, config, _good_part(board, config, current), config.temperature)
        if redrawn is None:
            continue
        if current is None or _soundness(board, config, redrawn) > _soundness(board, config, current):
            current = redrawn
    return choose(board, board.whole or board.draws)


def _draw(board: Board, config: Repair, after: Prefix | None, temperature: float | None) -> Moves[Draw | None]:
    """A whole chain, scored; None where none came."""
    draw = yield from board.launch(
        until=Until.END, role=config.role, after=after, turns=config.turns, temperature=temperature
    )
    while draw is not None and (yield from board.event()) is not None:
        yield from board.score(draw)
    return draw if draw is not None and draw.is_whole else None


def _good_part(board: Board, config: Repair, chain: Draw | None) -> Prefix | None:
    """The steps of a chain before the first fall."""
    if chain is None:
        return None
    steps = board.steps(chain)
    if len(chain.scores) != len(steps):
        return None
    kept = first_fall(board.shares(chain), config.floor, config.fall)
    return Prefix(chain.id, kept) if kept else None


def _soundness(board: Board, config: Repair, chain: Draw) -> tuple[float, float]:
    """How far a chain is sound, then its score: one that fails later is nearer to right, with a score as low."""
    shares = board.shares(chain)
    if len(shares) != len(board.steps(chain)):
        return 0.0, board.share(chain) or 0.0
    fallen = _fallen(shares, config.floor, config.fall)
    return math.inf if fallen is None else float(fallen), board.share(chain) or 0.0


def first_fall(scores: Sequence[float], floor: float, fall: float) -> int:
    """The place of the first step that is scored too low; where none is, that of the lowest."""
    fallen = _fallen(scores, floor, fall)
    if fallen is not None:
        return fallen
    return min(range(len(scores)), key=scores.__getitem__) if scores else 0


def _fallen(scores: Sequence[float], floor: float, fall: float) -> int | None:
    for place, score in enumerate(scores):
        if score < floor or (place and scores[place - 1] - score > fall):
            return place
    return None
