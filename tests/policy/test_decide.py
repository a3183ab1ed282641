"""The plan for an ask that names a configured model."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.domain.ask import Hints
from gateway.domain.model import Model
from gateway.domain.pricing import per_mtok
from gateway.errors import BudgetExhausted, InvalidRequest, Unpriced
from gateway.policy.decide import Facts, Snapshots, decide

_PRICE = per_mtok(input_per_mtok=Decimal(1), output_per_mtok=Decimal(10))
_MODEL = Model("gpt", "openai", "gpt", _PRICE, context_tokens=1000, max_output_tokens=100)
_FACTS = Facts(model_asked="gpt", prompt_tokens_at_most=1000, output_tokens_asked=100, candidates=1, hints=Hints())
_WORLD = Snapshots(deadline_s=60, default_output_tokens=4096, may_serve_unpriced=False)


def test_the_plan_is_the_model_answered_greedily() -> None:
    """The arm is the model itself, and the ceilings are what was asked for."""
    plan = decide(_MODEL, _FACTS, _WORLD)
    assert (plan.arm.name, plan.arm.model, plan.arm.strategy.value) == ("gpt", "gpt", "greedy")
    assert (plan.ceilings.cost, plan.ceilings.output_tokens, plan.ceilings.deadline_s) == (None, 100, 60)
    assert plan.reasons


def test_a_deadline_only_tightens() -> None:
    """A hint shortens the deadline and never extends it."""
    assert decide(_MODEL, replace(_FACTS, hints=Hints(deadline_s=5)), _WORLD).ceilings.deadline_s == 5
    assert decide(_MODEL, replace(_FACTS, hints=Hints(deadline_s=500)), _WORLD).ceilings.deadline_s == 60


def test_output_beyond_the_models_limit_is_refused_at_its_edge() -> None:
    """The model's maximum may be asked for, and one token more may not."""
    decide(_MODEL, _FACTS, _WORLD)
    with pytest.raises(InvalidRequest, match="at most 100"):
        decide(_MODEL, replace(_FACTS, output_tokens_asked=101), _WORLD)


def test_max_cost_is_held_against_the_worst_case_at_its_edge() -> None:
    """1,000 prompt tokens at $1 and 100 output tokens at $10 per million cost at most $0.002."""
    exact = replace(_FACTS, hints=Hints(max_cost_usd=Decimal("0.002")))
    assert decide(_MODEL, exact, _WORLD).ceilings.cost == Decimal("0.002")
    with pytest.raises(BudgetExhausted, match=r"up to \$0\.002"):
        decide(_MODEL, replace(_FACTS, hints=Hints(max_cost_usd=Decimal("0.001999"))), _WORLD)
    with pytest.raises(BudgetExhausted):
        decide(_MODEL, replace(exact, candidates=2), _WORLD)


def test_a_model_without_a_price_is_refused_with_the_remedy() -> None:
    """Unpriced is never zero: it is refused, unless the operator allowed it."""
    unpriced = replace(_MODEL, price=None)
    with pytest.raises(Unpriced, match="input_per_mtok"):
        decide(unpriced, _FACTS, _WORLD)
    assert decide(unpriced, _FACTS, replace(_WORLD, may_serve_unpriced=True)).arm.model == "gpt"
