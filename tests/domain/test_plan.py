"""A plan that falls back keeps its ceilings."""

from __future__ import annotations

from gateway.domain.arm import Arm
from gateway.domain.money import usd
from gateway.domain.plan import Ceilings, Plan

CHEAP, DEAR = Arm("cheap", "haiku"), Arm("dear", "sonnet")


def test_a_fallback_has_an_output_limit_of_its_own() -> None:
    """A dearer arm may write less for the same money, and one whose own maximum fits needs no limit."""
    plan = Plan(
        CHEAP, Ceilings(usd("0.1"), 9_000, 60), ("why",), fallbacks=(DEAR,), fallback_output_tokens={"dear": 3_000}
    )
    fallen = plan.falling_back_to(DEAR)
    assert fallen.ceilings == Ceilings(usd("0.1"), 3_000, 60)
    assert (fallen.arm, fallen.fallbacks) == (CHEAP, (DEAR,))
    assert fallen.falling_back_to(CHEAP).ceilings.output_tokens is None
