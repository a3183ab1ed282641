"""The four tiers of difficulty, cut from the predicted success of the cheap arm."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.prediction import Difficulty


@dataclass(frozen=True, slots=True)
class Cuts:
    """Each tier holds what the cheap arm answers rightly with at least this probability; below all is very hard."""

    easy: float
    medium: float
    hard: float

    def tier(self, p_success: float) -> Difficulty:
        """The tier of an ask that the cheap arm answers rightly with probability ``p_success``."""
        if p_success >= self.easy:
            return Difficulty.EASY
        if p_success >= self.medium:
            return Difficulty.MEDIUM
        if p_success >= self.hard:
            return Difficulty.HARD
        return Difficulty.VERY_HARD


DEFAULT_CUTS = Cuts(easy=0.75, medium=0.5, hard=0.25)
"""Quarters of the scale: easy asks succeed three times in four, very hard ones fail three times in four."""
