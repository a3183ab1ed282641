"""Arms made ready: their models found, the most that they can cost known, and what keeps them from being used."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.arm import Arm, Strategy
from gateway.domain.bound import CostBound, cost_bound
from gateway.domain.model import Model
from gateway.domain.search_sizes import BY_STEPS, GROWING, NEEDS_VERIFIER
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
class KnownVerifier:
    """A verifier as a policy sees it: its model, if it has one, and what it can score.

    ``readings``: how often its model reads the ask and an answer at most, to score the answer from its start.
    """

    model: str | None
    scores_steps: bool
    readings: int = 1


@dataclass(frozen=True, slots=True)
class Leg:
    """One model that an arm may call, how often at most, and what a call can cost; None where nobody knows."""

    model: Model
    calls: int
    standard: CostBound | None
    any_tier: CostBound | None
    max_output_tokens: int
    needed: int = 1
    """How many calls, at their dearest, must fit under the cost ceiling for the arm to be taken."""


@dataclass(frozen=True, slots=True)
class ReadyArm:
    """An arm with its model found. ``problem`` is what keeps it from ever being used as things are."""

    arm: Arm
    place: int
    """Where it stands in the policy, cheapest first."""
    legs: tuple[Leg, ...] = ()
    readers: tuple[Leg, ...] = ()
    """The models of its verifiers, which read what the others write, and write nothing."""
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
        for leg in self.readers:
            if leg.standard is not None:
                total += leg.calls * 2 * _TYPICAL_TOKENS * leg.standard.at(2 * _TYPICAL_TOKENS).input
        return total


def prepare_arms(
    documents: Mapping[str, ArmDocument],
    models: Mapping[str, Model],
    defaults: Defaults,
    runnable: Collection[Strategy],
    verifiers: Mapping[str, KnownVerifier] | None = None,
) -> dict[str, ReadyArm]:
    """Every arm, ready, in the order in which they are written. With None for ``verifiers`` all are there."""
    workshop = _Workshop(documents, models, defaults, runnable, verifiers, {})
    return {name: workshop.arm(name) for name in documents}


@dataclass(frozen=True, slots=True)
class _Workshop:
    """Makes arms ready one by one, those of a cascade before it; ``done`` keeps them."""

    documents: Mapping[str, ArmDocument]
    models: Mapping[str, Model]
    defaults: Defaults
    runnable: Collection[Strategy]
    verifiers: Mapping[str, KnownVerifier] | None
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
        wanted, drafts = written.model or (), written.draft or ()
        model, drafter = self._first(wanted), self._first(drafts)
        parameters = written.parameters
        if drafts:
            parameters["draft"] = drafts[0] if drafter is None else drafter.name
        arm = Arm(
            name=name,
            model=wanted[0] if model is None else model.name,
            effort=written.effort,
            thinking_tokens=written.thinking_tokens,
            strategy=Strategy(written.strategy),
            parameters=parameters,
            verifier=written.verifier,
            like=written.like,
        )
        if model is None:
            return ReadyArm(arm, place, problem=_not_configured(wanted, "model"))
        if drafts and drafter is None:
            return ReadyArm(arm, place, problem=_not_configured(drafts, "draft model"))
        models = (model,) if drafter is None else (model, drafter)
        problem = self._unsuited(arm, models) or self._without_verifier(arm)
        if problem is not None:
            return ReadyArm(arm, place, problem=problem)
        calls = calls_at_most(arm)
        return ReadyArm(
            arm,
            place,
            tuple(self._leg(each, calls // len(models)) for each in models),
            self._readers(arm, calls),
            is_search=arm.strategy is not Strategy.GREEDY,
            least_output_tokens=LEAST_OUTPUT_TOKENS + (arm.thinking_tokens or 0),
            is_output_bounded=all(each.max_output_tokens is not None for each in models),
        )

    def _first(self, names: tuple[str, ...]) -> Model | None:
        """The first of these models that is configured."""
        return next((self.models[each] for each in names if each in self.models), None)

    def _unsuited(self, arm: Arm, models: tuple[Model, ...]) -> str | None:
        """What keeps an arm from being used because of its strategy or of a model that it draws from."""
        if arm.strategy not in self.runnable:
            return f"strategy {arm.strategy} is not available"
        for model in models:
            if model.price is None and not self.defaults.may_serve_unpriced:
                return f"model {model.name} has no price"
            if arm.strategy in BY_STEPS and model.upstream not in self.defaults.vllm_upstreams:
                return (
                    f"strategy {arm.strategy} continues answers by their tokens, which only an upstream of kind vllm "
                    f"does; model {model.name} is at {model.upstream}"
                )
        return None

    def _without_verifier(self, arm: Arm) -> str | None:
        """What keeps an arm from being used because of its verifier."""
        if arm.verifier is None or self.verifiers is None:
            return None
        known = self.verifiers.get(arm.verifier)
        if known is None:
            there = ", ".join(sorted(self.verifiers)) or "none"
            return f"verifier {arm.verifier} is not configured; configured: {there}"
        if arm.strategy in NEEDS_VERIFIER and not known.scores_steps:
            return f"strategy {arm.strategy} scores steps, and verifier {arm.verifier} scores whole answers only"
        if known.model is not None and self.models[known.model].price is None and not self.defaults.may_serve_unpriced:
            return f"model {known.model} of verifier {arm.verifier} has no price"
        return None

    def _readers(self, arm: Arm, answers: int) -> tuple[Leg, ...]:
        """The model of an arm's verifier, which scores so many answers or steps at most."""
        known = None if self.verifiers is None or arm.verifier is None else self.verifiers[arm.verifier]
        if known is None or known.model is None:
            return ()
        each = 1 if arm.strategy in GROWING else known.readings
        return (self._leg(self.models[known.model], answers * each, needed=each),)

    def _leg(self, model: Model, calls: int, needed: int = 1) -> Leg:
        price = model.price
        return Leg(
            model=model,
            calls=calls,
            standard=None if price is None else cost_bound(price, "default"),
            any_tier=None if price is None else cost_bound(price, None),
            max_output_tokens=model.max_output_tokens or self.defaults.default_output_tokens,
            needed=needed,
        )

    def _cascade(self, name: str, place: int, written: ArmDocument, members: list[ReadyArm]) -> ReadyArm:
        """A cascade of those of its arms that can be used."""
        usable = [member for member in members if member.problem is None]
        arm = Arm(
            name=name,
            strategy=Strategy.CASCADE,
            parameters={"carries": True} if written.carries else {},
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
        problem = self._without_verifier(arm)
        if problem is not None:
            return ReadyArm(arm, place, problem=problem)
        return ReadyArm(
            arm,
            place,
            _needed_once(leg for member in usable for leg in member.legs),
            _needed_once((*(leg for member in usable for leg in member.readers), *self._readers(arm, len(usable)))),
            is_search=True,
            least_output_tokens=max(member.least_output_tokens for member in usable),
            is_output_bounded=all(member.is_output_bounded for member in usable),
        )


def _needed_once(legs: Iterable[Leg]) -> tuple[Leg, ...]:
    """The legs of a cascade, of each model one draw needed: the search itself sees to what the others cost."""
    seen: set[str] = set()
    kept = []
    for leg in legs:
        kept.append(replace(leg, needed=0) if leg.model.name in seen else leg)
        seen.add(leg.model.name)
    return tuple(kept)


def _not_configured(names: tuple[str, ...], what: str) -> str:
    """Told in every record of a decision that misses the arm, so of many names only the first."""
    if len(names) == 1:
        return f"{what} {names[0]} is not configured"
    return f"none of its {len(names)} {what}s is configured ({names[0]}, {names[1]}{', …' if names[2:] else ''})"
