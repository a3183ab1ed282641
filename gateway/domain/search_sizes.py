"""How large a search is where an arm does not say, what numbers it takes, and what it cannot do without.

Policies bound an arm's cost by these sizes before the search runs with them, so both read them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.domain.arm import Strategy

LARGEST: Final = 4096
"""No size of a search is larger."""


class Range(NamedTuple):
    """The numbers that a parameter may have, both ends among them."""

    least: int
    most: int


DRIVEN: Final = frozenset({"draft", "step", "carries"})
"""Parameters of an arm that the driver heeds; its strategy does not know them."""
SIZE: Final = Range(1, LARGEST)
COUNT: Final = Range(0, LARGEST)
"""A size that may be nothing at all."""
SHARE: Final = Range(0, 1)
TEMPERATURE: Final = Range(0, 2)

SIZES: Final[Mapping[Strategy, Mapping[str, int]]] = {
    Strategy.GREEDY: {},
    Strategy.VOTE: {"max_samples": 8},
    Strategy.BEST_OF_N: {"max_samples": 8, "redraws": 0},
    Strategy.BEAM: {"beams": 4, "expand": 4, "depth": 8, "lookahead": 0},
    Strategy.DVTS: {"beams": 16, "groups": 4, "depth": 8, "lookahead": 0},
    Strategy.MCTS: {"simulations": 50, "depth": 8},
    Strategy.REVISE: {"rounds": 2},
    Strategy.DRAFT: {"depth": 8},
    Strategy.DECOMPOSE: {"parts": 4, "part_samples": 1},
    Strategy.REPAIR: {"rounds": 2},
}
"""The sizes that the most calls follow from, as the literature reports each strategy: 16 chains at a depth of 8."""

NEEDS_VERIFIER: Final = frozenset({Strategy.BEAM, Strategy.DVTS, Strategy.MCTS, Strategy.REPAIR})
"""Strategies that cannot choose between steps without a score."""

BY_STEPS: Final = frozenset({Strategy.BEAM, Strategy.DVTS, Strategy.MCTS, Strategy.DRAFT, Strategy.REPAIR})
"""Strategies that go on where an answer stopped: only a server that continues token ids can do that."""

GROWING: Final = BY_STEPS - {Strategy.REPAIR}
"""Strategies whose chains are scored step by step as they grow: one reading for each new step."""
