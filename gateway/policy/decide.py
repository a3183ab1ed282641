"""``decide``: how one ask will be answered.

Pure: clock, health, latencies, budgets and the random draw come as values, and nothing is awaited,
so that every decision can be made again from its record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.domain.bound import as_usd, attos
from gateway.domain.construction import quick_value
from gateway.domain.money import show
from gateway.domain.plan import Ceilings, Plan
from gateway.domain.prediction import Anchor, Difficulty
from gateway.domain.profile import Canary, Profile
from gateway.policy.choice import Belief, choose, explore
from gateway.policy.conditions import View
from gateway.policy.expected import expected_cost
from gateway.policy.facts import Facts, Snapshots, recorded
from gateway.policy.options import Option, Situation
from gateway.policy.ready import ReadyPolicy, ReadyRule
from gateway.policy.refusal import refusal
from gateway.policy.survey import Survey

_NOT_BELIEVED: Final = {"category": "other", "difficulty": None, "p_success": None}
"""What rules see of a prediction that is not sure."""


def decide(policy: ReadyPolicy, facts: Facts, profile: Profile | None, snapshots: Snapshots, u: float) -> Plan:
    """The plan for an ask under a policy; ``u``, drawn evenly from 0 up to 1, decides whether to explore.

    Raises the error that says what would be accepted, where no arm can answer: BudgetExhausted,
    Forbidden, InvalidRequest or Unavailable.
    """
    prediction = facts.prediction
    difficulty = difficulty_of(policy, facts)
    is_sure = prediction.confidence >= policy.unsure_below
    kept = recorded(facts, snapshots)
    limits = limits_of(policy, facts, snapshots)
    view = _view(kept, facts, limits, difficulty)
    rule = _first_matching(policy, view, is_sure=is_sure)
    if rule is not None:
        limits = limits.within(rule)
    survey = Survey(policy, Situation(facts, snapshots, limits.cost, limits.deadline_s))
    choice = choose(survey, rule, profile, Belief(is_sure, difficulty if is_sure else None))
    if choice.among and profile is not None and profile.canary is not None and snapshots.canary_bucket < 1:
        kept["canary"] = _drawn(profile.canary, snapshots.canary_bucket)
    usable = survey.usable(_chain(policy, rule, choice.arm))
    if not usable:
        raise refusal(policy.name, survey.drops)
    taken, reasons = usable[0], [_described(facts, difficulty), choice.reason]
    propensities: Mapping[str, float] = {taken.arm.arm.name: 1.0}
    if taken.arm.arm.name != choice.arm:
        reasons.append(f"{choice.arm} cannot be used, and {taken.arm.arm.name} is next")
    elif choice.among and policy.explore_share:
        kept["u"] = u
        taken, propensities = explore(survey, choice, taken, view, u)
        if taken is not usable[0]:
            reasons.append(f"explored: {taken.arm.arm.name} instead of {choice.arm}")
    if taken.is_capped:
        reasons.append(capped(taken, limits))
    if taken.arm.arm.name == policy.reference:
        reasons.extend(policy.notes)
    # Who falls back has little time left, and the money of what failed is gone: too little for a search.
    others = [option for option in usable if option is not taken and not option.arm.is_search]
    return Plan(
        arm=taken.arm.arm,
        ceilings=Ceilings(as_usd(limits.cost), taken.output_tokens, limits.deadline_s),
        reasons=tuple(reasons),
        dropped=survey.dropped(taken.arm.arm.name),
        policy=policy.name,
        policy_digest=policy.digest,
        profile_version=choice.profile_version,
        category=prediction.category,
        difficulty=difficulty,
        propensities=propensities,
        rule=None if rule is None else rule.name,
        fallbacks=tuple(option.arm.arm for option in others),
        fallback_output_tokens={
            option.arm.arm.name: option.output_tokens for option in others if option.output_tokens is not None
        },
        estimated_cost=expected_cost(taken.arm, facts, snapshots, taken.output_tokens),
        is_observed=policy.is_observed,
        facts=kept,
    )


def _drawn(canary: Canary, bucket: float) -> dict[str, Any]:
    """Which version the conversation drew, with what chance: what a canary is judged by."""
    return {"version": canary.version.number, "share": canary.share, "bucket": bucket}


def difficulty_of(policy: ReadyPolicy, facts: Facts) -> Difficulty | None:
    """The tier that somebody named, or the one that the policy cuts from the predicted success of the cheap model."""
    weak = facts.prediction.success.get(Anchor.WEAK)
    return facts.prediction.difficulty or (None if weak is None else policy.cuts.tier(weak))


def capped(option: Option, limits: Limits) -> str:
    """Why an arm writes less than its model could, in words."""
    each = " a draw" if option.arm.is_search else ""
    return f"at most {option.output_tokens} output tokens{each} fit under ${show(as_usd(limits.cost))}"


def _described(facts: Facts, difficulty: Difficulty | None) -> str:
    prediction = facts.prediction
    tier = "" if difficulty is None else f", {difficulty}"
    return f"{prediction.category} with confidence {prediction.confidence:.2f} ({prediction.source}){tier}"


@quick_value
class Limits:
    """Ceilings in atto-dollars and seconds; those that the key chose freely stand above the policy's rules."""

    cost: int
    deadline_s: float
    is_cost_chosen: bool
    is_deadline_chosen: bool

    def within(self, rule: ReadyRule) -> Limits:
        """These, and the rule's own."""
        if rule.max_cost is None and rule.deadline_s is None:
            return self
        cost, deadline_s = self.cost, self.deadline_s
        if rule.max_cost is not None and not self.is_cost_chosen:
            cost = min(cost, rule.max_cost)
        if rule.deadline_s is not None and not self.is_deadline_chosen:
            deadline_s = min(deadline_s, rule.deadline_s)
        return replace(self, cost=cost, deadline_s=deadline_s)


def limits_of(policy: ReadyPolicy, facts: Facts, snapshots: Snapshots) -> Limits:
    """The policy's ceilings, tightened by hints and by what the budget leaves; loosened only where the key may.

    The operator's own ``limits.deadline_s`` and budgets bind every key.
    """
    hints, may_override = facts.demand.hints, facts.key.may_override
    cost, deadline_s = policy.max_cost, policy.deadline_s
    if hints.max_cost_usd is not None:
        hinted = attos(hints.max_cost_usd)
        cost = hinted if may_override else min(cost, hinted)
    if hints.deadline_s is not None:
        deadline_s = min(hints.deadline_s, policy.defaults.deadline_s if may_override else deadline_s)
    if snapshots.remaining_budget is not None:
        cost = min(cost, max(attos(snapshots.remaining_budget), 0))
    return Limits(
        cost,
        deadline_s,
        is_cost_chosen=may_override and hints.max_cost_usd is not None,
        is_deadline_chosen=may_override and hints.deadline_s is not None,
    )


def _view(kept: View, facts: Facts, limits: Limits, difficulty: Difficulty | None) -> dict[str, Any]:
    """The ask as rules see it: what is recorded of it, and what follows from the policy."""
    view = {
        **kept,
        "deadline_s": limits.deadline_s,
        "difficulty": difficulty,
        "p_success": facts.prediction.success.get(Anchor.WEAK),
    }
    view.setdefault("remaining_budget_usd", math.inf)
    return view


def _first_matching(policy: ReadyPolicy, view: dict[str, Any], *, is_sure: bool) -> ReadyRule | None:
    """The first rule whose conditions all hold. Where nobody is sure, only a rule on confidence sees the guess."""
    believed = view if is_sure else {**view, **_NOT_BELIEVED}
    for rule in policy.rules:
        seen = view if rule.relies_on_confidence else believed
        for test in rule.tests:
            if not test(seen):
                break
        else:
            return rule
    return None


def _chain(policy: ReadyPolicy, rule: ReadyRule | None, chosen: str) -> tuple[str, ...]:
    """What is tried, in order: the chosen arm, the rule's fallbacks, the policy's, and the reference."""
    of_rule = () if rule is None else rule.fallbacks
    reference = () if policy.reference is None else (policy.reference,)
    return (chosen, *of_rule, *policy.fallbacks, *reference)
