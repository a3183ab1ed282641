"""How large a search is where an arm does not say, and which searches cannot do without a verifier.

Policies bound an arm's cost by these sizes before the search runs with them, so both read them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.domain.arm import Strategy

SIZES: Final[Mapping[Strategy, Mapping[str, int]]] = {
    Strategy.GREEDY: {},
    Strategy.VOTE: {"max_samples": 8},
    Strategy.BEST_OF_N: {"max_samples": 8},
    Strategy.BEAM: {"beams": 4, "expand": 4, "depth": 8},
    Strategy.DVTS: {"beams": 16, "groups": 4, "depth": 8},
    Strategy.MCTS: {"simulations": 50, "depth": 8},
    Strategy.REVISE: {"rounds": 2},
    Strategy.DRAFT: {"depth": 8},
    Strategy.DECOMPOSE: {"parts": 4},
    Strategy.REPAIR: {"rounds": 2},
}
"""The sizes at which the literature reports each strategy: 16 chains at a depth of 8, 50 simulations, votes of 8."""

NEEDS_VERIFIER: Final = frozenset({Strategy.BEAM, Strategy.DVTS, Strategy.MCTS, Strategy.REPAIR})
"""Strategies that cannot choose between steps without a score."""
