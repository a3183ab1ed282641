"""Arms: the ways to answer that policies choose between and that are calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.domain.prediction import Anchor


class Strategy(StrEnum):
    """A search procedure; ``greedy`` is one call and no search."""

    GREEDY = "greedy"
    VOTE = "vote"
    BEST_OF_N = "best_of_n"
    BEAM = "beam"
    DVTS = "dvts"
    MCTS = "mcts"
    REVISE = "revise"
    DRAFT = "draft"
    DECOMPOSE = "decompose"
    CASCADE = "cascade"
    REPAIR = "repair"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to answer: a model at some effort, or a search over it, or a cascade of arms.

    Exactly one of ``model`` and ``cascade`` is set. ``parameters`` belong to the strategy. A cascade
    asks its next arm where the one before is less sure of its answer than ``escalate_below``.
    """

    name: str
    model: str | None = None
    effort: str | None = None
    thinking_tokens: int | None = None
    strategy: Strategy = Strategy.GREEDY
    parameters: Mapping[str, Any] = field(default_factory=dict)
    verifier: str | None = None
    cascade: tuple[str, ...] = ()
    like: Anchor | None = None
    """Whose predicted success stands for this arm's until it has counts of its own."""
    escalate_below: float | None = None
