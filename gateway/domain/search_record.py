"""What is kept of a search: every draw, what it cost, how it was scored, and which of them the answer is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.money import Usd


class Fate(StrEnum):
    """What became of a draw."""

    WHOLE = "whole"
    """It came to the end of an answer."""
    STEP = "step"
    """It came to the end of a step."""
    CUT = "cut"
    """Its tokens were used up before it came to an end."""
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class SearchDraw:
    """One draw of a search, without its text.

    ``parent`` is the draw whose chain it continues, of which only the first ``kept_steps`` where that is
    set. ``agrees_with`` is the first draw that came to the same answer, itself for a new one; None without an
    answer. ``role`` is who drew: ``main``, ``draft``, or the arm of a cascade.
    """

    draw: int
    parent: int | None
    kept_steps: int | None
    role: str
    model: str
    fate: Fate
    tokens: int
    cost: Usd
    scores: tuple[float, ...] = ()
    agrees_with: int | None = None
    is_chosen: bool = False
    """Whether it is part of the answer's chain."""


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """A whole search. ``confidence``, from 0 to 1, is how much speaks for the answer; what it means depends on the
    strategy. ``seed`` and the same events lead to the same search again."""

    strategy: str
    seed: int
    verifier: str | None
    reason: str
    confidence: float | None
    draws: tuple[SearchDraw, ...]
