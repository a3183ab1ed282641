"""Tests of gateway/flow/crossings.py."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.adapters.limits_memory import MemoryPurse
from gateway.domain.limits import Account, Budget, Limits, Period
from gateway.domain.money import usd
from gateway.errors import BudgetExhausted
from gateway.flow.crossings import Crossings
from gateway.ports import Claim

DAY, TOTAL = Budget(usd("1"), Period.DAY, Decimal("0.5")), Budget(usd("5"), Period.TOTAL)
KEY = Account("key:k1", Limits(budgets=(DAY, TOTAL)))
TEAM = Account("team:t1", Limits(concurrency=3))
NOW = 1_795_348_800.0


def test_marks_are_taken_once() -> None:
    """However often a budget is marked it is there once, and gone when it was taken; accounts without budgets never."""
    crossings = Crossings()
    for _ in range(3):
        crossings.near((KEY, TEAM))
    assert len(crossings) == 1
    assert crossings.take() == ({"key:k1": KEY}, {})
    assert crossings.take() == ({}, {})
    assert len(crossings) == 0


async def test_the_budget_that_refused_is_marked() -> None:
    """Of several budgets the one is marked that the refusal names, and none for a refusal that names none."""
    crossings, purse = Crossings(), MemoryPurse()
    with pytest.raises(BudgetExhausted) as refused:
        await purse.hold(Claim("r1", (KEY, TEAM), usd("2"), tokens=1, now=NOW, lease_s=60))
    crossings.refused(refused.value, (KEY, TEAM))
    crossings.refused(BudgetExhausted("more than max_cost_usd allows"), (KEY, TEAM))
    crossings.refused(BudgetExhausted("of somebody else", account="key:k2", period=Period.DAY), (KEY, TEAM))
    assert crossings.take() == ({}, {("key:k1", Period.DAY): DAY})
