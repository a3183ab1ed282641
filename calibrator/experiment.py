"""What a run is begun with: the rules, their arms and items in a random order, and what it may spend."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from calibrator.binding import Bound, BoundPolicy
from calibrator.items.item import Item, digest_of
from calibrator.items.logged import Sample
from gateway.domain.bound import as_usd
from gateway.domain.experiment import Experiment
from gateway.domain.identity import new_id
from gateway.domain.money import Usd, show, usd
from gateway.errors import ConfigurationError
from gateway.policy.arms import ReadyArm

_LEAST_ARMS = 2


@dataclass(frozen=True, slots=True, eq=False)
class RulePlan:
    """One rule's part: the arms that can be asked, cheapest first, and its items in the order they are drawn in."""

    bound: Bound
    arms: tuple[str, ...]
    items: tuple[Item, ...]

    @property
    def is_free(self) -> bool:
        """Whether no arm costs money; then the tokens that they write stand for the cost."""
        return not any(self.bound.policy.arms[name].typical_bound for name in self.arms)

    def most_tokens(self, arm: str) -> int:
        """The most that the models of an arm may write for an answer."""
        return sum(leg.calls * leg.max_output_tokens for leg in self.bound.policy.arms[arm].legs)

    def ceiling(self, arm: str, prompt_bytes: int) -> Usd:
        """The most that an answer of an arm may cost: that of all its calls, or the policy's own ceiling."""
        return as_usd(min(_bound(self.bound.policy.arms[arm], prompt_bytes), self.bound.policy.max_cost))


@dataclass(frozen=True, slots=True, eq=False)
class RunPlan:
    """All of a run before it is begun. Equal plans have equal digests."""

    policy: BoundPolicy
    rules: tuple[RulePlan, ...]
    seed: int
    cap: Usd
    sample: Sample | None = None
    """Of the policy's own traffic, where it takes items from there."""

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy.read.name

    @property
    def wait_s(self) -> float | None:
        """For how long it may wait for its providers' batches; None where it asks live alone."""
        of = self.policy.read.document.calibrate
        return None if of is None else of.wait

    @property
    def target(self) -> dict[str, Any]:
        """What is kept of it with the run."""
        sample = {} if self.sample is None else {"logged": self.sample.document}
        return {
            **sample,
            "rules": {
                each.bound.rule.name: {
                    "reference": each.bound.reference,
                    "arms": list(each.arms),
                    "items": len(each.items),
                    "loss_at_most": each.bound.rule.loss_at_most,
                    "confidence": each.bound.confidence,
                    "scope": each.bound.scope.value,
                    "certificate_digest": each.bound.rule.certificate_digest,
                    "items_digest": digest_of(each.items),
                }
                for each in self.rules
            },
        }

    @property
    def digest(self) -> str:
        """The SHA-256 of all that it is begun with."""
        said = [self.name, self.policy.read.digest, self.seed, show(self.cap), self.target]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @property
    def items(self) -> tuple[Item, ...]:
        """All items."""
        return tuple(item for rule in self.rules for item in rule.items)

    def experiment(self, *, now: float, by: str) -> Experiment:
        """The run that is begun by this plan."""
        return Experiment(
            id=new_id("run", now),
            policy=self.name,
            policy_digest=self.policy.read.digest,
            digest=self.digest,
            seed=self.seed,
            target=self.target,
            cap=self.cap,
            created_at=now,
            created_by=by,
        )


def plan_run(
    policy: BoundPolicy,
    items: Sequence[Item],
    *,
    rules: Sequence[str] = (),
    most_items: int | None = None,
    seed: int,
    cap: Decimal | None = None,
    sample: Sample | None = None,
) -> RunPlan:
    """The plan of a run for the rules of these names, for all without any.

    An item is the first rule's that its category and difficulty may belong to. Of its items a rule draws
    ``most_items`` at random. Raises ConfigurationError where there is nothing to compare or to measure on.
    """
    chosen = _chosen(policy, rules)
    if cap is None:
        cap = _declared(policy)
    left = list(items)
    parts: list[RulePlan] = []
    for bound in policy.rules:
        own = [item for item in left if bound.applies(item.cell)]
        left = [item for item in left if not bound.applies(item.cell)]
        if bound in chosen and own:
            parts.append(RulePlan(bound, _arms(bound), _drawn(own, seed, most_items)))
    if not parts:
        raise ConfigurationError(
            f"no item is of a category and difficulty of {_listed(bound.rule.name for bound in chosen)}; items are of "
            f"{_listed(sorted({item.cell[0] for item in items}))}"
        )
    return RunPlan(policy, tuple(parts), seed, usd(cap), sample)


def _chosen(policy: BoundPolicy, rules: Sequence[str]) -> tuple[Bound, ...]:
    if not policy.rules:
        raise ConfigurationError(
            f"policy {policy.read.name} has no calibrated rule, so there is nothing to measure for"
        )
    names = [bound.rule.name for bound in policy.rules]
    for name in rules:
        if name not in names:
            raise ConfigurationError(
                f"policy {policy.read.name} has no calibrated rule {name!r}; it has {_listed(names)}"
            )
    return tuple(bound for bound in policy.rules if not rules or bound.rule.name in rules)


def _declared(policy: BoundPolicy) -> Decimal:
    of = policy.read.document.calibrate
    if of is None:
        raise ConfigurationError(
            f"policy {policy.read.name} does not say what a calibration may spend: give --spend-at-most-usd, or write "
            "calibrate: {every: 1d, spend_at_most_usd: 5} into it"
        )
    return of.spend_at_most_usd


def _arms(bound: Bound) -> tuple[str, ...]:
    """The arms that can be asked. Raises ConfigurationError for a single one, and for one without a price."""
    arms = bound.policy.arms
    usable = bound.usable
    if len(usable) < _LEAST_ARMS:
        why = "; ".join(f"{name}: {arms[name].problem}" for name in bound.arms if name not in usable)
        raise ConfigurationError(
            f"rule {bound.rule.name!r} has a single arm that can be asked, {bound.reference}, so there is nothing to "
            f"compare it with. {why}"
        )
    for name in usable:
        if any(leg.standard is None for leg in (*arms[name].legs, *arms[name].readers)):
            raise ConfigurationError(
                f"arm {name} calls a model without a price, so no cap could be kept; set one under models in "
                "ponder.yaml, `price: free` for one that costs nothing"
            )
    return usable


def _drawn(items: Sequence[Item], seed: int, most: int | None) -> tuple[Item, ...]:
    order = np.random.default_rng(seed).permutation(len(items))[:most]
    return tuple(items[place] for place in order.tolist())


def _bound(arm: ReadyArm, prompt_bytes: int) -> int:
    """What all calls of an arm can cost together, in atto-dollars; a token is at least a byte.

    Calls of a search, and verifiers, read what was written before as well.
    """
    longest = max((leg.max_output_tokens for leg in arm.legs), default=0)
    further = prompt_bytes + longest
    total = 0
    for leg in arm.legs:
        if leg.standard is not None:
            read = further if arm.is_search else prompt_bytes
            rates = leg.standard.at(read)
            total += leg.calls * (read * rates.input + leg.max_output_tokens * rates.output)
    for leg in arm.readers:
        if leg.standard is not None:
            total += leg.calls * further * leg.standard.at(further).input
    return total


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
