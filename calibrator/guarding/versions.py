"""Which asks two versions of a profile answer differently: only those can tell the versions apart."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.prediction import Difficulty
from gateway.domain.profile import ProfileVersion
from gateway.policy.choice import certified_arm
from gateway.policy.document import GAIN
from gateway.policy.ready import ReadyPolicy


@dataclass(frozen=True, slots=True)
class Versions:
    """A version that is tried and the one that the others have, under the policy as it is now."""

    policy: ReadyPolicy
    new: ProfileVersion
    old: ProfileVersion | None

    def are_alike(self, rule: str, category: str, difficulty: str | None, now: float) -> bool:
        """Whether both answer such asks by the same arm at this time. What predicted gain chooses is not known here."""
        new, old = (self._arm(version, rule, category, difficulty, now) for version in (self.new, self.old))
        return new == old != GAIN

    def differ(self, now: float) -> bool:
        """Whether there is any kind of ask that they answer differently."""
        return any(
            not self.are_alike(rule, category, tier, now)
            for version in (self.new, self.old)
            if version is not None
            for rule, certified in version.rules.items()
            for category, difficulty in certified.arms
            for tier in ((None, *Difficulty) if difficulty is None else (difficulty,))
        )

    @property
    def still_certifies(self) -> bool:
        """Whether the new version says anything of a rule as the policy has it now."""
        digests = {rule.name: rule.certificate_digest for rule in self.policy.rules if rule.is_calibrated}
        return any(digests.get(name) == certified.rule_digest for name, certified in self.new.rules.items())

    def _arm(
        self, version: ProfileVersion | None, rule: str, category: str, difficulty: str | None, now: float
    ) -> str | None:
        found = next((each for each in self.policy.rules if each.name == rule and each.is_calibrated), None)
        if found is None:
            return None
        arm, _ = certified_arm(version, found, category, difficulty, now=now)
        if arm is not None and arm in self.policy.arms:
            return arm
        return found.start[difficulty or "unknown"]
