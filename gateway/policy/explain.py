"""A decision as people read it: what the ask was taken for, which rule applied, what came of it, and what did not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.domain.arm import Arm, Strategy
from gateway.domain.money import show
from gateway.domain.plan import Plan
from gateway.domain.prediction import Prediction

_MORE, _LAST = "├─ ", "└─ "
_UNDER_MORE, _UNDER_LAST = "│  ", "   "
_NO_PROBABILITY = 1.0
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Branch:
    """One line, and what belongs to it."""

    text: str
    branches: tuple[Branch, ...] = ()


def explain(plan: Plan) -> tuple[str, ...]:
    """The plan as the lines of a tree."""
    head = f"{plan.arm.name}: {describe_arm(plan.arm)}"
    return (head, *_drawn((*_about_the_ask(plan), *_about_the_decision(plan)), ""))


def prompt_facts(prompt: str, predicted: Prediction) -> dict[str, Any]:
    """What would be decided from for a prompt by itself, in the words of cases: what it is, and how long."""
    size = len(prompt.encode())
    return {
        "category": predicted.category,
        "confidence": predicted.confidence,
        "source": predicted.source,
        "success": {str(anchor): share for anchor, share in predicted.success.items()},
        "tokens": -(-size // _BYTES_PER_TOKEN),
        "tokens_at_most": size,
    }


def describe_arm(arm: Arm) -> str:
    """What an arm does, in words."""
    if arm.strategy is Strategy.CASCADE:
        carries = ", carrying it along" if arm.parameters.get("carries") else ""
        return f"{' → '.join(arm.cascade)}, stepping up where an answer is less sure than {arm.escalate_below}{carries}"
    parts = [str(arm.model)]
    if arm.effort is not None:
        parts.append(f"effort {arm.effort}")
    if arm.thinking_tokens is not None:
        parts.append(f"{arm.thinking_tokens} thinking tokens")
    if arm.strategy is not Strategy.GREEDY:
        given = ", ".join(f"{name} {_value(value)}" for name, value in arm.parameters.items())
        parts.append(f"{arm.strategy} ({given})" if given else str(arm.strategy))
    if arm.verifier is not None:
        parts.append(f"verified by {arm.verifier}")
    return ", ".join(parts)


def _about_the_ask(plan: Plan) -> Iterator[Branch]:
    if plan.policy is not None:
        observed = ", only observed" if plan.is_observed else ""
        digest = "" if plan.policy_digest is None else f" ({plan.policy_digest[:12]})"
        profile = "" if plan.profile_version is None else f", profile {plan.profile_version}"
        yield Branch(f"policy {plan.policy}{digest}{profile}{observed}")
    if plan.facts:
        yield Branch("facts", tuple(Branch(f"{name}: {_value(value)}") for name, value in plan.facts.items()))
    if plan.policy is not None:
        yield Branch("no rule applies" if plan.rule is None else f"rule: {plan.rule}")


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(each)}" for name, each in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _about_the_decision(plan: Plan) -> Iterator[Branch]:
    yield Branch("because", tuple(Branch(reason) for reason in plan.reasons))
    if plan.dropped:
        yield Branch("not taken", tuple(Branch(f"{drop.option}: {drop.reason}") for drop in plan.dropped))
    if any(probability != _NO_PROBABILITY for probability in plan.propensities.values()):
        drawn = (Branch(f"{name}: {probability:.4g}") for name, probability in plan.propensities.items())
        yield Branch("drawn with probability", tuple(drawn))
    if plan.fallbacks:
        yield Branch("if it fails", tuple(Branch(f"{arm.name}: {describe_arm(arm)}") for arm in plan.fallbacks))
    yield Branch("ceilings", tuple(Branch(line) for line in _ceilings(plan)))


def _ceilings(plan: Plan) -> Iterator[str]:
    ceilings, is_search = plan.ceilings, plan.arm.strategy is not Strategy.GREEDY
    if ceilings.cost is not None:
        together = ", all draws together: none begins that might cost more than is left" if is_search else ""
        yield f"cost: ${show(ceilings.cost)}{together}"
    limit = "the model decides" if ceilings.output_tokens is None else f"{ceilings.output_tokens} tokens"
    yield f"output: {limit}{' a draw' if is_search else ''}"
    yield f"deadline: {ceilings.deadline_s:g} s"
    if plan.estimated_cost is not None:
        yield f"expected cost: ${show(plan.estimated_cost)}"


def _drawn(branches: tuple[Branch, ...], indent: str) -> Iterator[str]:
    for place, branch in enumerate(branches):
        is_last = place == len(branches) - 1
        yield f"{indent}{_LAST if is_last else _MORE}{branch.text}"
        yield from _drawn(branch.branches, indent + (_UNDER_LAST if is_last else _UNDER_MORE))
