"""Policies put in force: compiled against the models that there are, with what surrounds a decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from gateway.difficulty.rules import Label, label
from gateway.domain.arm import Strategy
from gateway.domain.key import Names
from gateway.domain.model import Model
from gateway.domain.profile import Profile
from gateway.flow.house import ActivePolicy, Catalog
from gateway.policy.arms import KnownVerifier
from gateway.policy.document import LabelDocument
from gateway.policy.facts import Defaults
from gateway.policy.reading import Policy
from gateway.policy.ready import compile_policy
from gateway.search_ports import Verifier

RUNNABLE: Final[Collection[Strategy]] = frozenset(Strategy)
"""The strategies that can be run. Arms of others drop out, with this as their reason."""


def put_in_force(
    policies: Mapping[str, Policy],
    models: Mapping[str, Model],
    defaults: Defaults,
    verifiers: Mapping[str, Verifier] | None = None,
) -> dict[str, ActivePolicy]:
    """Every policy, ready to decide, by its name. ``verifiers`` are those that there are, by default none."""
    known = known_verifiers(verifiers or {})
    return {name: _active(policy, models, defaults, known) for name, policy in policies.items()}


def with_profiles(catalog: Catalog, profiles: Mapping[str, Profile], caps: Mapping[str, int]) -> Catalog:
    """The catalog with what calibration says of its policies and its verifiers today, by their names."""
    policies = {name: replace(policy, profile=profiles.get(name)) for name, policy in catalog.policies.items()}
    return replace(catalog, policies=policies, caps=caps)


def known_verifiers(verifiers: Mapping[str, Verifier]) -> dict[str, KnownVerifier]:
    """The verifiers as policies see them."""
    return {
        name: KnownVerifier(verifier.model, verifier.scores_steps, verifier.most_readings)
        for name, verifier in verifiers.items()
    }


def _active(
    policy: Policy, models: Mapping[str, Model], defaults: Defaults, verifiers: Mapping[str, KnownVerifier]
) -> ActivePolicy:
    document = policy.document
    return ActivePolicy(
        ready=compile_policy(policy, models, defaults, RUNNABLE, verifiers),
        classify=document.classify,
        retries_empty=document.retry_empty,
        stores_text=document.store_text,
        reads_budget=any(rule.when.remaining_budget_usd is not None for rule in document.rules),
        label=partial(label, tuple(_label(each) for each in document.classify.rules)),
    )


def _label(rule: LabelDocument) -> Label:
    when = rule.when
    return Label(
        category=rule.category,
        difficulty=rule.difficulty,
        keys=_names(when.key),
        teams=_names(when.team),
        tags={name: frozenset(values) for name, values in (when.tag or {}).items()},
        systems=None if when.system is None else frozenset(each.lower() for each in when.system),
        hints=_names(when.hint),
    )


def _names(words: tuple[str, ...] | None) -> Names | None:
    return None if words is None else Names(words)
