"""``decide``: how one ask will be answered.

Today's only plan is a configured model asked by name, answered greedily. The arguments have the
shape that policies need later: facts of the ask, snapshots of the world, one random draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gateway.domain.arm import Arm
from gateway.domain.ask import Hints
from gateway.domain.model import Model
from gateway.domain.money import Usd, show
from gateway.domain.plan import Ceilings, Plan
from gateway.domain.pricing import ceiling
from gateway.errors import BudgetExhausted, InvalidRequest, Unpriced


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an ask before it is answered.

    ``prompt_tokens_at_most`` is an upper bound (a token is at least one byte of the body).
    """

    model_asked: str
    prompt_tokens_at_most: int
    output_tokens_asked: int | None
    candidates: int
    hints: Hints


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The world at most a second ago: whatever ``decide`` must not ask for itself."""

    deadline_s: float
    default_output_tokens: int
    may_serve_unpriced: bool


def decide(model: Model, facts: Facts, snapshots: Snapshots) -> Plan:
    """The plan for an ask that names a configured model.

    Raises :class:`Unpriced` for a model without a price (unless allowed), :class:`InvalidRequest`
    for more output than the model can give, and :class:`BudgetExhausted` when the ask's own
    ``max_cost_usd`` does not cover the worst case.
    """
    if model.price is None and not snapshots.may_serve_unpriced:
        raise Unpriced(
            f"model {model.name!r} has no price, so its cost could not be recorded; add to ponder.yaml under models: "
            f"{model.name}: price: {{input_per_mtok: ..., output_per_mtok: ...}} (or price: free)"
        )
    asked = facts.output_tokens_asked
    if asked is not None and model.max_output_tokens is not None and asked > model.max_output_tokens:
        raise InvalidRequest(
            f"{asked} output tokens were asked for; model {model.name!r} gives at most {model.max_output_tokens}"
        )
    return Plan(
        arm=_greedy(model.name),
        ceilings=Ceilings(
            cost=_cost_ceiling(model, facts, snapshots),
            output_tokens=asked,
            deadline_s=min(facts.hints.deadline_s or snapshots.deadline_s, snapshots.deadline_s),
        ),
        reasons=("the request names a configured model",),
    )


@lru_cache(maxsize=4096)
def _greedy(model: str) -> Arm:
    """The arm that is the model itself; kept, since most requests have it."""
    return Arm(name=model, model=model)


def _cost_ceiling(model: Model, facts: Facts, snapshots: Snapshots) -> Usd | None:
    limit = facts.hints.max_cost_usd
    if limit is None or model.price is None:
        return None
    output_tokens = facts.output_tokens_asked or model.max_output_tokens or snapshots.default_output_tokens
    worst = ceiling(
        model.price,
        prompt_tokens=facts.prompt_tokens_at_most,
        max_output_tokens=output_tokens,
        candidates=facts.candidates,
    )
    if worst > limit:
        raise BudgetExhausted(
            f"this request may cost up to ${show(worst)} and max_cost_usd allows ${limit}; "
            "ask for fewer output tokens or allow more"
        )
    return Usd(limit)
