"""Rules that a profile in force certified and that are something else by now, as the catalog that serves has them.

No row in the database says so: a policy, a model or a price was changed in a file, or came with another release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from gateway.domain.notice import ProfileEvent, ProfileTurn
from gateway.flow.house import ActivePolicy

LASTING_S: Final = 60.0
"""A policy and the profile for it are not changed in one step: what is mended within this time is not told."""
_NONE: Final = "none"
_CHANGED: Final = (
    "the rule's conditions, targets or arms, or a model or a price behind them, are not those that were certified"
)
_GONE: Final = "the policy has no such calibrated rule any more"
_Lapse: TypeAlias = tuple[str, int, str, str]
"""Policy, version, rule, and the digest of what the rule is now."""


class Lapses:
    """What has lapsed, and since when this process has seen it."""

    def __init__(self) -> None:
        self._since: Mapping[_Lapse, float] = {}

    def find(self, policies: Mapping[str, ActivePolicy], now: float) -> list[ProfileTurn]:
        """What has lapsed for some time and still has."""
        self._since = {each: self._since.get(each, now) for each in _lapsed(policies, now)}
        return [_turn(each, since) for each, since in self._since.items() if now - since >= LASTING_S]


def _lapsed(policies: Mapping[str, ActivePolicy], now: float) -> Iterator[_Lapse]:
    for name, policy in policies.items():
        version = None if policy.profile is None else policy.profile.current
        if version is None or now >= version.expires_at:
            continue
        digests = {rule.name: rule.certificate_digest for rule in policy.ready.rules if rule.is_calibrated}
        for rule, certified in version.rules.items():
            digest = digests.get(rule, _NONE)
            if digest != certified.rule_digest:
                yield name, version.number, rule, digest


def _turn(lapse: _Lapse, since: float) -> ProfileTurn:
    policy, version, rule, digest = lapse
    return ProfileTurn(
        event=ProfileEvent.LAPSED,
        policy=policy,
        version=version,
        reason=_GONE if digest == _NONE else _CHANGED,
        at=since,
        rule=rule,
        rule_digest=digest,
        in_force=version,
    )
