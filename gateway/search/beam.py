"""Beam search: K chains, M next steps of each, the K best of them kept, until the chains are whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.domain.arm import Strategy
from gateway.domain.search_sizes import SIZES
from gateway.search import parameters
from gateway.search.board import Board, Moves
from gateway.search.choosing import choose
from gateway.search.climbing import Climb, climb
from gateway.search.protocol import MAIN, Turn, Winner

_SIZES: Final = SIZES[Strategy.BEAM]


@dataclass(frozen=True, slots=True)
class Beam:
    """How many chains are kept, by how many next steps each is extended, and how many draws a chain may take.

    A whole chain with a score of ``accept`` or more ends the search; ``lookahead`` steps are drawn to
    judge each step; ``weighted`` adds up the scores of equal answers in the end.
    """

    beams: int = parameters.size(_SIZES["beams"])
    expand: int = parameters.size(_SIZES["expand"])
    depth: int = parameters.size(_SIZES["depth"])
    accept: float = parameters.share(0.99)
    lookahead: int = parameters.count(_SIZES["lookahead"])
    weighted: bool = parameters.flag(False)
    temperature: float = parameters.temperature(0.8)
    role: str = MAIN
    turns: tuple[Turn, ...] = ()

    @property
    def calls_at_most(self) -> int:
        """The most model calls that it takes."""
        return self.beams * self.expand * self.depth * (2 if self.lookahead else 1)


def beam(board: Board, config: Beam) -> Moves[Winner]:
    """The best whole chain that the beam has come to."""
    chains = yield from climb(
        board,
        Climb(
            keep=config.beams,
            expand=config.expand,
            depth=config.depth,
            calls=config.calls_at_most,
            accept=config.accept,
            temperature=config.temperature if config.beams * config.expand > 1 else None,
            lookahead=config.lookahead,
            role=config.role,
            turns=config.turns,
        ),
    )
    return choose(board, chains, is_weighted=config.weighted)
