"""Decomposition: a plan of independent parts, their solutions at the same time, and the whole composed of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.arm import Strategy
from gateway.domain.search_sizes import SIZES
from gateway.search import parameters, prompts
from gateway.search.board import Board, Moves
from gateway.search.greedy import Greedy, greedy
from gateway.search.protocol import MAIN, Turn, Winner
from gateway.search.together import together
from gateway.search.vote import Vote, vote

_SIZES: Final = SIZES[Strategy.DECOMPOSE]


@dataclass(frozen=True, slots=True)
class Decompose:
    """How many parts at most, and how many draws each is voted on with; 1 is one draw."""

    parts: int = parameters.size(_SIZES["parts"])
    part_samples: int = parameters.size(_SIZES["part_samples"])
    role: str = MAIN
    turns: tuple[Turn, ...] = ()

    @property
    def calls_at_most(self) -> int:
        """The most model calls that it takes: the plan, the parts, and the answer."""
        return self.parts * self.part_samples + 2


def decompose(board: Board, config: Decompose) -> Moves[Winner]:
    """The composed answer. An ask without parts, or of which a part found no solution, is answered in one draw."""
    one = Greedy(role=config.role)
    planned = yield from greedy(board.within(), replace(one, turns=(*config.turns, *prompts.plan(config.parts))))
    parts = prompts.parts_of(planned.text, config.parts)
    solved: list[Winner] = []
    if len(parts) > 1:
        boards = [board.within() for _ in parts]
        solved = yield from together(
            [(inner, _solve(inner, config, part)) for inner, part in zip(boards, parts, strict=True)]
        )
    results = [winner.text for winner in solved if winner.text.strip()]
    if not results or len(results) < len(parts):
        direct = yield from greedy(board.within(), replace(one, turns=config.turns))
        return replace(direct, reason="answered in one draw: no parts, or one without a solution")
    composed = prompts.compose(parts, results)
    whole = yield from greedy(board.within(), replace(one, turns=(*config.turns, *composed)))
    sure = [winner.confidence for winner in solved if winner.confidence is not None]
    confidence = min(sure) if len(sure) == len(solved) else None
    return replace(whole, confidence=None if whole.candidate is None else confidence, reason=f"{len(parts)} parts")


def _solve(board: Board, config: Decompose, part: str) -> Moves[Winner]:
    turns = (*config.turns, *prompts.solve(part))
    if config.part_samples == 1:
        return greedy(board, Greedy(role=config.role, turns=turns))
    return vote(board, Vote(samples=config.part_samples, role=config.role, turns=turns))
