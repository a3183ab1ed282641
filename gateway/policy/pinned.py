"""The plan for an ask that names a configured model: that model, answered greedily. No policy is asked."""

from __future__ import annotations

from functools import lru_cache

from gateway.domain.arm import Arm
from gateway.domain.model import Model
from gateway.domain.money import Usd, show
from gateway.domain.plan import Ceilings, Plan
from gateway.domain.pricing import ceiling
from gateway.errors import BudgetExhausted, InvalidRequest, Unpriced
from gateway.policy.facts import Defaults, Demand


def plan_pinned(model: Model, demand: Demand, defaults: Defaults) -> Plan:
    """The plan for an ask that names a configured model.

    Raises :class:`Unpriced` for a model without a price (unless allowed), :class:`InvalidRequest`
    for more output than the model can give, and :class:`BudgetExhausted` when the ask's own
    ``max_cost_usd`` does not cover the worst case.
    """
    if model.price is None and not defaults.may_serve_unpriced:
        raise Unpriced(
            f"model {model.name!r} has no price, so its cost could not be recorded; add to ponder.yaml under models: "
            f"{model.name}: price: {{input_per_mtok: ..., output_per_mtok: ...}} (or price: free)"
        )
    asked = demand.output_tokens_asked
    if asked is not None and model.max_output_tokens is not None and asked > model.max_output_tokens:
        raise InvalidRequest(
            f"{asked} output tokens were asked for; model {model.name!r} gives at most {model.max_output_tokens}"
        )
    return Plan(
        arm=_greedy(model.name),
        ceilings=Ceilings(
            cost=_cost_ceiling(model, demand, defaults),
            output_tokens=asked,
            deadline_s=min(demand.hints.deadline_s or defaults.deadline_s, defaults.deadline_s),
        ),
        reasons=("the request names a configured model",),
    )


@lru_cache(maxsize=4096)
def _greedy(model: str) -> Arm:
    """The arm that is the model itself; kept, since most requests have it."""
    return Arm(name=model, model=model)


def _cost_ceiling(model: Model, demand: Demand, defaults: Defaults) -> Usd | None:
    limit = demand.hints.max_cost_usd
    if limit is None or model.price is None:
        return None
    output_tokens = demand.output_tokens_asked or model.max_output_tokens or defaults.default_output_tokens
    worst = ceiling(
        model.price,
        prompt_tokens=demand.prompt_tokens_at_most,
        max_output_tokens=output_tokens,
        candidates=demand.candidates,
        service_tier=demand.service_tier,
        # A price without a fee for searches bounds none: their cost is then unknown, and charged as such.
        web_searches=0 if model.price.web_search_usd is None else demand.web_searches_at_most,
    )
    if worst > limit:
        raise BudgetExhausted(
            f"this request may cost up to ${show(worst)} and max_cost_usd allows ${limit}; "
            "ask for fewer output tokens or allow more"
        )
    return Usd(limit)
