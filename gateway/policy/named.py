"""The plan for an ask that names an arm of a policy: that arm, within the policy's ceilings."""

from __future__ import annotations

from gateway.domain.bound import as_usd
from gateway.domain.plan import Ceilings, Plan
from gateway.errors import UnknownModel
from gateway.policy.decide import capped, difficulty_of, limits_of
from gateway.policy.facts import Facts, Snapshots, recorded
from gateway.policy.options import Situation
from gateway.policy.ready import ReadyPolicy
from gateway.policy.refusal import refusal
from gateway.policy.survey import Survey


def plan_arm(policy: ReadyPolicy, name: str, facts: Facts, snapshots: Snapshots, *, reason: str) -> Plan:
    """The plan that answers by this arm and no other.

    Raises :class:`UnknownModel` with the arms that there are, or the error that says why this one
    cannot answer.
    """
    if name not in policy.arms:
        raise UnknownModel(
            f"policy {policy.name!r} has no arm {name[:80]!r}; it has: {', '.join(policy.arms)}", param="model"
        )
    limits = limits_of(policy, facts, snapshots)
    survey = Survey(policy, Situation(facts, snapshots, limits.cost, limits.deadline_s))
    option = survey.option(name)
    if option is None:
        raise refusal(policy.name, survey.drops)
    reasons = [reason]
    if option.is_capped:
        reasons.append(capped(option, limits))
    return Plan(
        arm=option.arm.arm,
        ceilings=Ceilings(as_usd(limits.cost), option.output_tokens, limits.deadline_s),
        reasons=tuple(reasons),
        policy=policy.name,
        policy_digest=policy.digest,
        category=facts.prediction.category,
        difficulty=difficulty_of(policy, facts),
        propensities={name: 1.0},
        facts=recorded(facts, snapshots),
    )
