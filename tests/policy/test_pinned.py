"""The plan for an ask that names a configured model."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.domain.ask import Hints
from gateway.domain.model import Model
from gateway.domain.pricing import per_mtok
from gateway.errors import BudgetExhausted, InvalidRequest, Unpriced
from gateway.policy.facts import Defaults, Demand
from gateway.policy.pinned import plan_pinned

_PRICE = per_mtok(input_per_mtok=Decimal(1), output_per_mtok=Decimal(10))
_MODEL = Model("gpt", "openai", "gpt", _PRICE, context_tokens=1000, max_output_tokens=100)
_DEMAND = Demand(prompt_tokens_at_most=1000, output_tokens_asked=100)
_DEFAULTS = Defaults(deadline_s=60, default_output_tokens=4096, may_serve_unpriced=False)


def test_the_plan_is_the_model_answered_greedily() -> None:
    """The arm is the model itself, and the ceilings are what was asked for."""
    plan = plan_pinned(_MODEL, _DEMAND, _DEFAULTS)
    assert (plan.arm.name, plan.arm.model, plan.arm.strategy.value) == ("gpt", "gpt", "greedy")
    assert (plan.ceilings.cost, plan.ceilings.output_tokens, plan.ceilings.deadline_s) == (None, 100, 60)
    assert plan.reasons


def test_a_deadline_only_tightens() -> None:
    """A hint shortens the deadline and never extends it."""
    assert plan_pinned(_MODEL, replace(_DEMAND, hints=Hints(deadline_s=5)), _DEFAULTS).ceilings.deadline_s == 5
    assert plan_pinned(_MODEL, replace(_DEMAND, hints=Hints(deadline_s=500)), _DEFAULTS).ceilings.deadline_s == 60


def test_output_beyond_the_models_limit_is_refused_at_its_edge() -> None:
    """The model's maximum may be asked for, and one token more may not."""
    plan_pinned(_MODEL, _DEMAND, _DEFAULTS)
    with pytest.raises(InvalidRequest, match="at most 100"):
        plan_pinned(_MODEL, replace(_DEMAND, output_tokens_asked=101), _DEFAULTS)


def test_max_cost_is_held_against_the_worst_case_at_its_edge() -> None:
    """1,000 prompt tokens at $1 and 100 output tokens at $10 per million cost at most $0.002."""
    exact = replace(_DEMAND, hints=Hints(max_cost_usd=Decimal("0.002")))
    assert plan_pinned(_MODEL, exact, _DEFAULTS).ceilings.cost == Decimal("0.002")
    with pytest.raises(BudgetExhausted, match=r"up to \$0\.002"):
        plan_pinned(_MODEL, replace(_DEMAND, hints=Hints(max_cost_usd=Decimal("0.001999"))), _DEFAULTS)
    with pytest.raises(BudgetExhausted):
        plan_pinned(_MODEL, replace(exact, candidates=2), _DEFAULTS)


def test_max_cost_covers_the_tier_and_the_searches_that_are_asked_for() -> None:
    """The provider's own searches at their fee, and the dearer tier where the request names it."""
    price = replace(_PRICE, web_search_usd=Decimal("0.01"), tiers={"priority": _PRICE.standard.times(Decimal(2))})
    model = replace(_MODEL, price=price)
    least = replace(_DEMAND, hints=Hints(max_cost_usd=Decimal("0.002")))
    assert plan_pinned(model, least, _DEFAULTS).ceilings.cost == Decimal("0.002")
    with pytest.raises(BudgetExhausted, match=r"up to \$0\.022"):
        plan_pinned(model, replace(least, web_searches_at_most=2), _DEFAULTS)
    with pytest.raises(BudgetExhausted, match=r"up to \$0\.004"):
        plan_pinned(model, replace(least, service_tier="priority"), _DEFAULTS)


def test_a_model_without_a_price_is_refused_with_the_remedy() -> None:
    """Unpriced is never zero: it is refused, unless the operator allowed it."""
    unpriced = replace(_MODEL, price=None)
    with pytest.raises(Unpriced, match="input_per_mtok"):
        plan_pinned(unpriced, _DEMAND, _DEFAULTS)
    assert plan_pinned(unpriced, _DEMAND, replace(_DEFAULTS, may_serve_unpriced=True)).arm.model == "gpt"
