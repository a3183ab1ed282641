"""A policy made ready to decide: its arms resolved against the models that there are, and priced.

This happens once, when policies or models change, so that a decision only compares numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.arm import Strategy
from gateway.domain.bound import attos
from gateway.domain.model import Model
from gateway.domain.money import ZERO, Usd, usd
from gateway.domain.tiers import Cuts
from gateway.policy.arms import KnownVerifier, ReadyArm, prepare_arms
from gateway.policy.conditions import Test
from gateway.policy.document import Mode, PolicyDocument, RuleDocument
from gateway.policy.facts import Defaults
from gateway.policy.reading import Policy


@dataclass(frozen=True, slots=True)
class ReadyRule:
    """A rule as ``decide`` takes it: tests that must all hold, and where its arm comes from."""

    name: str
    tests: tuple[Test, ...]
    relies_on_confidence: bool
    arm: str | None
    among: tuple[str, ...]
    loss_at_most: float
    start: Mapping[str, str]
    """Before anything is certified: by difficulty, and ``unknown``; empty for a rule that only goes by gain."""
    certificate_digest: str
    """What a certificate must have been made for to be this rule's."""
    fallbacks: tuple[str, ...]
    max_cost: int | None
    deadline_s: float | None

    @property
    def is_calibrated(self) -> bool:
        """Whether a profile may name its arm."""
        return bool(self.start)


@dataclass(frozen=True, slots=True)
class ReadyPolicy:
    """A policy and the models, ready to decide. Amounts are in atto-dollars."""

    name: str
    digest: str
    arms: Mapping[str, ReadyArm]
    rules: tuple[ReadyRule, ...]
    default_arm: str
    reference: str | None
    """The arm that quality is measured against; None where no arm at all can be used."""
    notes: tuple[str, ...]
    """What is not as the policy has it, because of the models."""
    fallbacks: tuple[str, ...]
    max_cost: int
    deadline_s: float
    cuts: Cuts
    unsure_below: float
    is_observed: bool
    is_sticky: bool
    explore_share: float
    explore_spend: Usd
    """What exploring may cost a day more than the chosen arms would; zero where nothing is explored."""
    explore_loss_at_most: float
    explore_never: tuple[Test, ...]
    defaults: Defaults


def compile_policy(
    policy: Policy,
    models: Mapping[str, Model],
    defaults: Defaults,
    runnable: Collection[Strategy],
    verifiers: Mapping[str, KnownVerifier] | None = None,
) -> ReadyPolicy:
    """Make a policy ready for these models. ``runnable`` are the strategies that can be run, cascades among them.

    With None for ``verifiers``, those that arms name are taken for there, and for free.
    """
    document = policy.document
    arms = prepare_arms(document.arms, models, defaults, runnable, verifiers)
    reference, notes = _reference(document, arms)
    never = document.calibrate.explore.never if document.calibrate else None
    deadline_s = document.defaults.deadline_s
    return ReadyPolicy(
        name=policy.name,
        digest=policy.digest,
        arms=arms,
        rules=tuple(_rule(rule, document, arms, reference) for rule in document.rules),
        default_arm=document.defaults.arm,
        reference=reference,
        notes=notes,
        fallbacks=document.defaults.fallbacks,
        max_cost=attos(document.defaults.max_cost_usd),
        deadline_s=defaults.deadline_s if deadline_s is None else min(deadline_s, defaults.deadline_s),
        cuts=Cuts(document.difficulty.easy, document.difficulty.medium, document.difficulty.hard),
        unsure_below=document.classify.unsure_below,
        is_observed=document.mode is Mode.OBSERVE,
        is_sticky=document.sticky,
        explore_share=document.calibrate.explore.share if document.calibrate else 0.0,
        explore_spend=_explore_spend(document),
        explore_loss_at_most=document.calibrate.explore.loss_at_most if document.calibrate else 0.0,
        explore_never=() if never is None else never.tests(),
        defaults=defaults,
    )


def _explore_spend(document: PolicyDocument) -> Usd:
    if document.calibrate is None:
        return ZERO
    own = document.calibrate.explore.spend_at_most_usd
    return usd(document.calibrate.spend_at_most_usd if own is None else own)


def _reference(document: PolicyDocument, arms: Mapping[str, ReadyArm]) -> tuple[str | None, tuple[str, ...]]:
    """The reference arm; where it cannot be used, the dearest that can, and a search only where there is nothing else.

    The stand-in answers what nobody is sure of, tool calls and fallbacks among them, which no search does.
    """
    wanted = arms[document.defaults.reference]
    if wanted.problem is None:
        return wanted.arm.name, ()
    usable = [arm for arm in arms.values() if arm.problem is None and not arm.arm.cascade]
    usable = [arm for arm in usable if not arm.is_search] or usable
    said = f"the reference arm {wanted.arm.name} cannot be used: {wanted.problem}"
    if not usable:
        return None, (said,)
    dearest = max(usable, key=lambda arm: (arm.typical_bound, arm.place))
    return dearest.arm.name, (f"{said}; {dearest.arm.name}, the dearest that can, stands in",)


def _rule(
    rule: RuleDocument, document: PolicyDocument, arms: Mapping[str, ReadyArm], reference: str | None
) -> ReadyRule:
    start: dict[str, str] = {}
    among: tuple[str, ...] = ()
    loss_at_most, certificate = 0.0, ""
    if rule.gain is not None:
        among, loss_at_most = rule.gain.among, rule.gain.loss_at_most
    elif rule.calibrated is not None:
        among, loss_at_most = rule.calibrated.among, rule.calibrated.loss_at_most
        written: Mapping[str, str | None] = dict(rule.calibrated.until_certified)
        start = {tier: name or document.defaults.reference for tier, name in written.items()}
        certificate = _certificate_digest(rule, arms, reference)
    return ReadyRule(
        name=rule.name,
        tests=rule.when.tests(),
        relies_on_confidence=rule.when.confidence is not None,
        arm=rule.arm,
        among=among,
        loss_at_most=loss_at_most,
        start=start,
        certificate_digest=certificate,
        fallbacks=rule.fallbacks,
        max_cost=None if rule.max_cost_usd is None else attos(rule.max_cost_usd),
        deadline_s=rule.deadline_s,
    )


def _certificate_digest(rule: RuleDocument, arms: Mapping[str, ReadyArm], reference: str | None) -> str:
    """The SHA-256 of all that a certificate rests on: the rule's asks, targets and arms, their models and prices.

    At another price the loss would be as certified, and another arm may be the cheapest.
    """
    calibrated = rule.calibrated
    assert calibrated is not None  # noqa: S101  only calibrated rules have certificates
    chosen = (*calibrated.among, reference)
    said: dict[str, Any] = {
        "when": rule.when.model_dump(mode="json", exclude_defaults=True),
        "targets": [calibrated.loss_at_most, calibrated.confidence, calibrated.scope],
        "reference": reference,
        "arms": [_definition(arms[name]) for name in chosen if name is not None],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _definition(ready: ReadyArm) -> list[Any]:
    arm = ready.arm
    behind = [
        (leg.model.upstream, leg.model.upstream_name, *_rates(leg.model)) for leg in (*ready.legs, *ready.readers)
    ]
    return [
        arm.name, arm.effort, arm.thinking_tokens, arm.strategy, dict(arm.parameters), arm.verifier,
        arm.cascade, arm.escalate_below, behind,
    ]  # fmt: skip


def _rates(model: Model) -> tuple[str, ...]:
    """What a prompt token and an answer token cost, the same text for the same price."""
    if model.price is None:
        return ()
    rates = model.price.standard.rates
    return tuple(f"{rate.normalize():f}" for rate in (rates.input, rates.output))
