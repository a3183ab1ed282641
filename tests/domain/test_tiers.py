"""Tests of gateway/domain/tiers.py."""

from __future__ import annotations

import pytest

from gateway.domain.prediction import Difficulty
from gateway.domain.tiers import DEFAULT_CUTS, Cuts


@pytest.mark.parametrize(
    ("p_success", "tier"),
    [
        (1.0, Difficulty.EASY),
        (0.75, Difficulty.EASY),
        (0.74, Difficulty.MEDIUM),
        (0.5, Difficulty.MEDIUM),
        (0.49, Difficulty.HARD),
        (0.25, Difficulty.HARD),
        (0.24, Difficulty.VERY_HARD),
        (0.0, Difficulty.VERY_HARD),
    ],
)
def test_default_tiers_are_quarters(p_success: float, tier: Difficulty) -> None:
    """Each tier begins at its cut, and the default cuts divide the scale into quarters."""
    assert DEFAULT_CUTS.tier(p_success) is tier


def test_other_cuts_give_other_tiers() -> None:
    """A policy's own cuts decide."""
    assert Cuts(easy=0.9, medium=0.8, hard=0.7).tier(0.75) is Difficulty.HARD
