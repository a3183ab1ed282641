"""Diverse verifier tree search (Beeching et al. 2024): groups that search by themselves, and the best of all.

Each group follows one chain and takes the best of its next steps. No group's chain can crowd out
another's, so a large budget does not collapse onto one early step.
"""

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
from gateway.search.together import together

_SIZES: Final = SIZES[Strategy.DVTS]


@dataclass(frozen=True, slots=True)
class Dvts:
    """How many next steps are drawn at each depth, in how many groups, and how many draws a chain may take.

    A whole chain with a score of ``accept`` or more ends its group; the other options are the beam's.
    """

    beams: int = parameters.size(_SIZES["beams"])
    groups: int = parameters.size(_SIZES["groups"])
    depth: int = parameters.size(_SIZES["depth"])
    accept: float = parameters.share(0.99)
    lookahead: int = parameters.count(_SIZES["lookahead"])
    weighted: bool = parameters.flag(False)
    temperature: float = parameters.temperature(0.8)
    role: str = MAIN
    turns: tuple[Turn, ...] = ()

    def __post_init__(self) -> None:
        if self.groups > self.beams:
            raise ValueError(f"{self.groups} groups need at least as many beams, and there are {self.beams}")

    @property
    def calls_at_most(self) -> int:
        """The most model calls that it takes."""
        return self.beams * self.depth * (2 if self.lookahead else 1)

    @property
    def widths(self) -> list[int]:
        """The next steps that each group draws at each depth; the first groups have one more, if it must be."""
        width, more = divmod(self.beams, self.groups)
        return [width + (number < more) for number in range(self.groups)]


def dvts(board: Board, config: Dvts) -> Moves[Winner]:
    """The best whole chain of all groups."""
    groups = [(board.within(), width) for width in config.widths]
    chains = yield from together([(inner, climb(inner, _climb(config, width))) for inner, width in groups])
    return choose(board, [chain for group in chains for chain in group], is_weighted=config.weighted)


def _climb(config: Dvts, width: int) -> Climb:
    return Climb(
        keep=1,
        expand=width,
        depth=config.depth,
        calls=width * config.depth * (2 if config.lookahead else 1),
        accept=config.accept,
        temperature=config.temperature if config.beams > 1 else None,
        lookahead=config.lookahead,
        role=config.role,
        turns=config.turns,
    )
