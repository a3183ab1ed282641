"""With which chance a policy draws each arm for an ask on record: decided again, without its exploration's draw.

A decision takes tens of microseconds, so a million of them are shared between processes, and asks with
equal facts are decided once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeAlias

import orjson

from gateway.commands.policy_sources import configured, prepare, source
from gateway.domain.arm import Arm
from gateway.domain.profile import Profile
from gateway.errors import InvalidRequest, PonderError
from gateway.policy.decide import decide
from gateway.policy.ready import ReadyPolicy
from gateway.policy.replay import recall

Chances: TypeAlias = tuple[tuple[str, float], ...]
"""Arms with their chances, which sum to 1."""
_REMEMBERED: Final = 10_000


class Why(StrEnum):
    """Why a decision on record says nothing of another policy."""

    OBSERVED = "observed"
    """A policy only observed it: another model answered than the one decided for."""
    NAMED = "named"
    """The request named its arm."""
    FOLLOWED = "followed"
    """A later turn of a conversation, which keeps the arm of its first."""
    UNREADABLE = "unreadable"
    """Recorded by another release, in a form that is not known here, or without chances."""
    REFUSED = "refused"
    """The new policy would refuse it."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """With which chances a decision on record was drawn, and with which the new policy would draw it.

    ``arm`` is the one that was taken. Where the new policy has another by this name, with another model or effort,
    it is called otherwise here: what came of it says nothing of its namesake.
    """

    arm: str
    old: Chances
    new: Chances


class Decider:
    """One policy, with the profile it would follow."""

    def __init__(self, policy: ReadyPolicy, profile: Profile | None) -> None:
        self._policy = policy
        self._profile = profile
        self._arms = {name: _definition(ready.arm) for name, ready in policy.arms.items()}
        self._decided = lru_cache(maxsize=_REMEMBERED)(self._decide)
        self._known: dict[Drawn, Drawn] = {}
        """Equal ones are one, so that a part of the log goes from process to process as few of them."""

    def draw(self, plan: str) -> Drawn | Why:
        """The chances for a decision, by its plan as JSON; or why there are none."""
        document = orjson.loads(plan)
        facts, chances = document.get("facts") or {}, document.get("propensities") or {}
        if document.get("is_observed"):
            return Why.OBSERVED
        if "sticky_arm" in facts:
            return Why.FOLLOWED
        arm = document["arm"]["name"]
        if not chances.get(arm):
            return Why.UNREADABLE
        if self._is_namesake(document["arm"]):
            arm, chances = f"{arm}{_NAMESAKE}", {**chances, arm: 0.0, f"{arm}{_NAMESAKE}": chances[arm]}
        # Which arm and which version of a profile was drawn then is no fact of the ask.
        new = self._decided(orjson.dumps({name: facts[name] for name in facts if name not in _DRAWS}))
        if isinstance(new, Why):
            return new
        drawn = Drawn(arm, chances_of(chances), new)
        return self._known.setdefault(drawn, drawn)

    def draw_all(self, plans: Sequence[str]) -> list[Drawn | Why]:
        """Those of many decisions."""
        return [self.draw(each) for each in plans]

    def _is_namesake(self, taken: Mapping[str, Any]) -> bool:
        """Whether the new policy has another arm by the name of the one that was taken."""
        own = self._arms.get(taken["name"])
        return own is not None and any(taken.get(name, value) != value for name, value in own.items())

    def _decide(self, facts: bytes) -> Chances | Why:
        try:
            ask = recall(orjson.loads(facts))
        except InvalidRequest:
            return Why.UNREADABLE
        try:
            plan = decide(self._policy, ask.facts, self._profile, ask.snapshots, ask.u)
        except PonderError:
            return Why.REFUSED
        return chances_of(plan.propensities)


_DRAWS: Final = ("u", "canary")
_NAMESAKE: Final = " (as it was)"


def _definition(arm: Arm) -> Mapping[str, Any]:
    """What an arm does, as a record has it; whose success it is taken to resemble is no part of that."""
    known = orjson.loads(
        orjson.dumps(arm, default=lambda value: dict(value) if isinstance(value, Mapping) else str(value))
    )
    return {name: value for name, value in known.items() if name != "like"}


def chances_of(propensities: Mapping[str, float]) -> Chances:
    """Those of a decision on record, in an order of their own; arms without a chance are left out."""
    return tuple(sorted((arm, float(chance)) for arm, chance in propensities.items() if chance > 0))


def decider(name: str, profile: Profile | None) -> Decider:
    """The decider of a policy, by name or file, with the models that are configured."""
    _, offered = configured()
    return Decider(prepare(source(name).policy(), offered), profile)


_deciders: dict[str, Decider] = {}
"""The one of a process that works for another."""


def prepare_process(name: str, profile: Profile | None) -> None:
    """Make a process ready to decide for another."""
    _deciders["own"] = decider(name, profile)


def draw_in_process(plans: Sequence[str]) -> list[Drawn | Why]:
    """What a process that was made ready decides for the other."""
    return _deciders["own"].draw_all(plans)
