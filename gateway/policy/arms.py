"""Arms made ready: their models found, the most that they can cost known, and what keeps them from being used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.domain.arm import Arm, Strategy
from gateway.domain.bound import CostBound, cost_bound
from gateway.domain.model import Model
from gateway.policy.document import ArmDocument
from gateway.policy.facts import Defaults
from gateway.policy.strategies import calls_at_most

LEAST_OUTPUT_TOKENS: Final = 256
"""A plan leaves at least this much for an answer; a shorter one would be cut off before it helps anyone."""

_TYPICAL_TOKENS: Final = 1000
"""Prompt and answer of the ask by which whole arms are ranked by price. Only the order matters."""

_LEAST_STEPS: Final = 2
"""With fewer arms a cascade has nowhere to step up to."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One model that an arm may call, how often at most, and what a call can cost; None where nobody knows."""

    model: Model
    calls: int
    standard: CostBound | None
    any_tier: CostBound | None
    max_output_tokens: int


@dataclass(frozen=True, slots=True)
class ReadyArm:
    """An arm with its model found. ``problem`` is what keeps it from ever being used as things are."""

    arm: Arm
    place: int
    """Where it stands in the policy, cheapest first."""
    legs: tuple[Leg, ...] = ()
    problem: str | None = None
    is_search: bool = False
    least_output_tokens: int = LEAST_OUTPUT_TOKENS
    is_output_bounded: bool = True
    """Whether every model of it has a known maximum of output."""

    @property
    def typical_bound(self) -> int:
        """What a typical ask can cost at most, in atto-dollars."""
        total = 0
        for leg in self.legs:
            if leg.standard is not None:
                rates = leg.standard.at(_TYPICAL_TOKENS)
                total += leg.calls * _TYPICAL_TOKENS * (rates.input + rates.output)
        return total


def prepare_arms(
    documents: Mapping[str, ArmDocument],
    models: Mapping[str, Model],
    defaults: Defaults,
    runnable: Collection[Strategy],
) -> dict[str, ReadyArm]:
    """Every arm, ready, in the order in which they are written."""
    workshop = _Workshop(documents, models, defaults, runnable, {})
    return {name: workshop.arm(name) for name in documents}


@dataclass(frozen=True, slots=True)
class _Workshop:
    """Makes arms ready one by one, those of a cascade before it; ``done`` keeps them."""

    documents: Mapping[str, ArmDocument]
    models: Mapping[str, Model]
    defaults: Defaults
    runnable: Collection[Strategy]
    done: dict[str, ReadyArm]

    def arm(self, name: str) -> ReadyArm:
        if name not in self.done:
            place = list(self.documents).index(name)
            written = self.documents[name]
            if written.cascade is None:
                self.done[name] = self._single(name, place, written)
            else:
                members = [self.arm(each) for each in written.cascade]
                self.done[name] = self._cascade(name, place, written, members)
        return self.done[name]

    def _single(self, name: str, place: int, written: ArmDocument) -> ReadyArm:
        wanted = written.model or ()
        model = next((self.models[each] for each in wanted if each in self.models), None)
        arm = Arm(
            name=name,
            model=wanted[0] if model is None else model.name,
            effort=written.effort,
            thinking_tokens=written.thinking_tokens,
            strategy=Strategy(written.strategy),
            parameters=written.parameters,
            verifier=written.verifier,
            like=written.like,
        )
        if model is None:
            return ReadyArm(arm, place, problem=_not_configured(wanted))
        if arm.strategy not in self.runnable:
            return ReadyArm(arm, place, problem=f"strategy {arm.strategy} is not available")
        if model.price is None and not self.defaults.may_serve_unpriced:
            return ReadyArm(arm, place, problem=f"model {model.name} has no price")
        return ReadyArm(
            arm,
            place,
            (self._leg(arm, model),),
            is_search=arm.strategy is not Strategy.GREEDY,
            least_output_tokens=LEAST_OUTPUT_TOKENS + (arm.thinking_tokens or 0),
            is_output_bounded=model.max_output_tokens is not None,
        )

    def _leg(self, arm: Arm, model: Model) -> Leg:
        price = model.price
        return Leg(
            model=model,
            calls=calls_at_most(arm),
            standard=None if price is None else cost_bound(price, "default"),
            any_tier=None if price is None else cost_bound(price, None),
            max_output_tokens=model.max_output_tokens or self.defaults.default_output_tokens,
        )

    def _cascade(self, name: str, place: int, written: ArmDocument, members: list[ReadyArm]) -> ReadyArm:
        """A cascade of those of its arms that can be used."""
        usable = [member for member in members if member.problem is None]
        arm = Arm(
            name=name,
            strategy=Strategy.CASCADE,
            verifier=written.verifier,
            cascade=tuple(member.arm.name for member in (usable or members)),
            like=written.like,
            escalate_below=written.escalate_below,
        )
        if Strategy.CASCADE not in self.runnable:
            return ReadyArm(arm, place, problem="cascades are not available")
        if len(usable) < _LEAST_STEPS:
            missing = "; ".join(f"{member.arm.name}: {member.problem}" for member in members if member.problem)
            return ReadyArm(arm, place, problem=f"a cascade needs two arms that can be used ({missing})")
        return ReadyArm(
            arm,
            place,
            tuple(leg for member in usable for leg in member.legs),
            is_search=True,
            least_output_tokens=max(member.least_output_tokens for member in usable),
            is_output_bounded=all(member.is_output_bounded for member in usable),
        )


def _not_configured(names: tuple[str, ...]) -> str:
    """Told in every record of a decision that misses the arm, so of many names only the first."""
    if len(names) == 1:
        return f"model {names[0]} is not configured"
    return f"none of its {len(names)} models is configured ({names[0]}, {names[1]}{', …' if names[2:] else ''})"
