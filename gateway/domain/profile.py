"""Profiles: which arm a calibration certified for which kind of ask, and which version may be tried on whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Cell: TypeAlias = tuple[str, str | None]
"""A category (``math``, ``code/python``) and a difficulty; None stands for every difficulty."""


@dataclass(frozen=True, slots=True)
class Certified:
    """The arms certified for one rule, by cell.

    A certificate speaks of the rule as it was: its targets, the definitions of its arms and the models
    behind them with their prices, all in ``rule_digest``. For a rule with another digest it says nothing.
    """

    rule_digest: str
    arms: Mapping[Cell, str]

    def arm_for(self, category: str, difficulty: str | None) -> str | None:
        """The arm of the narrowest cell that holds the ask: by path before category, by difficulty before all."""
        base = category.partition("/")[0]
        for name in (category, base) if base != category else (category,):
            for tier in (difficulty, None) if difficulty is not None else (None,):
                arm = self.arms.get((name, tier))
                if arm is not None:
                    return arm
        return None


@dataclass(frozen=True, slots=True)
class ProfileVersion:
    """One published calibration of a policy, never changed afterwards. ``expires_at`` is in Unix seconds."""

    number: int
    rules: Mapping[str, Certified]
    """By the rule's name."""
    expires_at: float


@dataclass(frozen=True, slots=True)
class Canary:
    """A version that is tried on a share of conversations, from 0 to 1, before all get it."""

    version: ProfileVersion
    share: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What calibration says of a policy today."""

    policy: str
    current: ProfileVersion | None = None
    canary: Canary | None = None

    def version_for(self, bucket: float) -> ProfileVersion | None:
        """The version for a conversation whose place among all, from 0 up to 1, is ``bucket``."""
        if self.canary is not None and bucket < self.canary.share:
            return self.canary.version
        return self.current
