"""Rules that are not what a profile in force certified."""

from __future__ import annotations

import pytest

from gateway.domain.notice import ProfileEvent, ProfileTurn
from gateway.domain.profile import Profile
from gateway.flow.house import ActivePolicy
from gateway.flow.lapses import LASTING_S, Lapses
from tests.flow.active import active
from tests.policy.world import ready
from tests.store.profiles import document
from tests.store.records import NOON

POLICY = ready()
RULE = next(rule for rule in POLICY.rules if rule.is_calibrated)
LATER = NOON + LASTING_S


def _in_force(
    rule: str = RULE.name, digest: str = RULE.certificate_digest, *, expires_at: float = NOON + 1_000
) -> dict[str, ActivePolicy]:
    """The policy, with version 3 that certifies a rule."""
    version = document("work", rule=rule, rule_digest=digest).version(3, expires_at=expires_at)
    return {"work": active(POLICY, Profile("work", version))}


def _found(*looks: tuple[dict[str, ActivePolicy], float]) -> list[ProfileTurn]:
    """What the last of some looks finds."""
    lapses = Lapses()
    return [lapses.find(policies, at) for policies, at in looks][-1]


def test_a_changed_rule_has_lapsed_once_that_lasts() -> None:
    """Not at first sight, and since when it was seen."""
    changed = _in_force(digest="other")
    assert _found((changed, NOON)) == []
    [found] = _found((changed, NOON), (changed, LATER))
    assert (found.event, found.policy, found.version, found.rule) == (ProfileEvent.LAPSED, "work", 3, RULE.name)
    assert (found.at, found.in_force) == (NOON, 3)
    assert "are not those that were certified" in found.reason
    assert found == _found((changed, NOON), (changed, LATER), (changed, LATER + 5))[0]


def test_what_is_mended_in_time_has_not_lapsed() -> None:
    """A policy and its profile change one after the other; seen again, the time begins anew."""
    changed, mended = _in_force(digest="other"), _in_force()
    assert _found((changed, NOON), (mended, NOON + 5), (changed, LATER)) == []


@pytest.mark.parametrize("rule", ["gone", "talk"])
def test_a_rule_that_is_not_calibrated_any_more_has_lapsed(rule: str) -> None:
    """It is no rule of the policy, or one that names its arm."""
    [found] = _found((_in_force(rule), NOON), (_in_force(rule), LATER))
    assert "no such calibrated rule" in found.reason


@pytest.mark.parametrize(
    "policies",
    [{}, {"work": active(POLICY, None)}, {"work": active(POLICY, Profile("work"))}, _in_force()],
)
def test_without_a_certificate_or_with_one_that_holds_nothing_lapses(policies: dict[str, ActivePolicy]) -> None:
    """No policy, no profile, no version in force, or the rule as it was certified."""
    assert _found((policies, NOON), (policies, LATER)) == []


def test_what_has_expired_does_not_lapse_too() -> None:
    """Its time is over, whatever the rule is now."""
    expired = _in_force(digest="other", expires_at=LATER)
    assert _found((expired, NOON), (expired, LATER)) == []
