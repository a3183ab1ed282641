"""With which chance a policy draws each arm for an ask on record: decided again, without its exploration's draw.

A decision takes tens of microseconds, so asks with equal facts are decided once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeAlias

import orjson

from gateway.commands.policy_sources import configured, prepare, source
from gateway.domain.arm import Arm
from gateway.domain.construction import quick_value
from gateway.domain.profile import Profile
from gateway.errors import InvalidRequest, PonderError
from gateway.policy.conditions import View
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


@quick_value
class Drawn:
    """With which chances a decision on record was drawn, and with which the new policy would draw it.

    ``arm`` is the one that was taken. Where the new policy has another by this name, with another model or effort,
    it is called otherwise here: what came of it says nothing of its namesake.
    """

    arm: str
    old: Chances
    new: Chances


@quick_value
class Recalled:
    """What a decision on record drew, and with which chances."""

    arm: str
    chances: Mapping[str, float]
    facts: Mapping[str, Any]


class Memory:
    """Decisions on record, told in the arms that a policy has now."""

    def __init__(self, policy: ReadyPolicy) -> None:
        self._arms = {name: _definition(ready.arm) for name, ready in policy.arms.items()}

    def recall(self, plan: str) -> Recalled | Why:
        """A decision by its plan as JSON; or why it says nothing."""
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
        return Recalled(arm, chances, facts)

    def _is_namesake(self, taken: Mapping[str, Any]) -> bool:
        """Whether the policy has another arm by the name of the one that was taken."""
        own = self._arms.get(taken["name"])
        return own is not None and any(taken.get(name, value) != value for name, value in own.items())


class Constant:
    """One arm of a policy, for whatever is asked."""

    def __init__(self, policy: ReadyPolicy, arm: str) -> None:
        self._memory = Memory(policy)
        self._new: Chances = ((arm, 1.0),)

    def draw_all(self, plans: Sequence[str]) -> list[Drawn | Why]:
        """The chances for decisions, by their plans as JSON; or why there are none."""
        recalled = (self._memory.recall(each) for each in plans)
        return [
            each if isinstance(each, Why) else Drawn(each.arm, chances_of(each.chances), self._new) for each in recalled
        ]


class Decider:
    """One policy, with the profile it would follow."""

    def __init__(self, policy: ReadyPolicy, profile: Profile | None) -> None:
        self._policy = policy
        self._profile = profile
        self._memory = Memory(policy)
        self._decided: dict[bytes, Chances | Why] = {}

    def draw(self, plan: str) -> Drawn | Why:
        """The chances for a decision, by its plan as JSON; or why there are none."""
        recalled = self._memory.recall(plan)
        if isinstance(recalled, Why):
            return recalled
        # Which arm and which version of a profile was drawn then is no fact of the ask.
        facts = {name: value for name, value in recalled.facts.items() if name not in _DRAWS}
        known = orjson.dumps(facts)
        new = self._decided.get(known)
        if new is None:
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            new = self._decided[known] = self._decide(facts)
        return new if isinstance(new, Why) else Drawn(recalled.arm, chances_of(recalled.chances), new)

    def draw_all(self, plans: Sequence[str]) -> list[Drawn | Why]:
        """Those of many decisions."""
        return [self.draw(each) for each in plans]

    def _decide(self, facts: View) -> Chances | Why:
        try:
            ask = recall(facts)
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
