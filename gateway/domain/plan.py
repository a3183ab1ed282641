"""The decision for one ask, and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from gateway.domain.arm import Arm
from gateway.domain.construction import quick_value
from gateway.domain.money import Usd


@quick_value
class Ceilings:
    """Upper bounds no plan may exceed; None where nothing bounds it.

    ``cost`` is what the hold covers, ``output_tokens`` is per call and includes thinking,
    ``deadline_s`` counts from the request's first byte.
    """

    cost: Usd | None
    output_tokens: int | None
    deadline_s: float


@quick_value
class Dropped:
    """An option that was not taken, and why."""

    option: str
    reason: str


@quick_value
class Plan:
    """How one ask will be answered. Recorded whole, so every past decision can be explained."""

    arm: Arm
    ceilings: Ceilings
    reasons: tuple[str, ...]
    dropped: tuple[Dropped, ...] = ()
    policy: str | None = None
    policy_digest: str | None = None
    profile_version: int | None = None
    category: str | None = None
    difficulty: str | None = None
    propensities: Mapping[str, float] = field(default_factory=dict)
    """Probability with which each arm could have been drawn; the taken arm's is never 0."""
    rule: str | None = None
    """The policy's rule that applied; None where its defaults did."""
    fallbacks: tuple[Arm, ...] = ()
    """What is tried next, in this order; each could have answered within the same cost and time."""
    fallback_output_tokens: Mapping[str, int] = field(default_factory=dict)
    """The output limit with which a fallback stays under the cost ceiling, by its name; none where it needs none."""
    estimated_cost: Usd | None = None
    """What the arm is expected to cost; None until its answers' lengths are known."""
    is_observed: bool = False
    """Only recorded: the ask was answered as if there were no policy."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What was decided from, in the words of the policy's cases; a policy can be tried on it again."""

    def falling_back_to(self, arm: Arm) -> Plan:
        """The plan with the output limit of a fallback: a dearer arm may write less for the same money."""
        limit = self.fallback_output_tokens.get(arm.name)
        return replace(self, ceilings=replace(self.ceilings, output_tokens=limit))
