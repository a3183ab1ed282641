"""What limits exploration: the accuracy that a neighbour may put at risk, and what dearer ones cost more."""

from __future__ import annotations

from gateway.domain.arm import Arm
from gateway.domain.bound import as_usd
from gateway.domain.money import ZERO, Usd
from gateway.domain.plan import Plan
from gateway.policy.expected import expected_cost
from gateway.policy.facts import Facts, Snapshots
from gateway.policy.ready import ReadyPolicy


def is_too_risky(policy: ReadyPolicy, facts: Facts, chosen: Arm, neighbour: Arm) -> bool:
    """Whether the neighbour is predicted to be right so much less often that it is not tried on this ask."""
    expected, risked = predicted_success(facts, chosen), predicted_success(facts, neighbour)
    return expected is not None and risked is not None and expected - risked > policy.explore_loss_at_most


def predicted_success(facts: Facts, arm: Arm) -> float | None:
    """The predicted success of an arm: its own, or that of the anchor it is like."""
    success = facts.prediction.success
    own = success.get(arm.name)
    return own if own is not None or arm.like is None else success.get(arm.like)


def explored_from(plan: Plan) -> str | None:
    """The arm that a plan's exploration took the place of; None for a plan that did not explore."""
    chosen = max(plan.propensities, key=plan.propensities.__getitem__, default=plan.arm.name)
    return None if chosen == plan.arm.name else chosen


def extra_cost(policy: ReadyPolicy, facts: Facts, snapshots: Snapshots, chosen: str, taken: str) -> Usd:
    """By how much an arm is expected to cost more than another; where that is not known, what it may at most."""
    arms = policy.arms[taken], policy.arms[chosen]
    dearer, cheaper = (expected_cost(arm, facts, snapshots, None) for arm in arms)
    if dearer is None or cheaper is None:
        return as_usd(max(arms[0].typical_bound - arms[1].typical_bound, 0))
    return max(Usd(dearer - cheaper), ZERO)
