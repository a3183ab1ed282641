"""Which asks two versions answer differently, under the policy as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calibrator.guarding.versions import Versions
from gateway.domain.profile import Cell, Certified, ProfileVersion
from tests.policy.world import NOON, policy_of, ready

POLICY = ready()
RULE = next(rule for rule in POLICY.rules if rule.is_calibrated)


def _version(number: int, arms: dict[Cell, str], *, digest: str = RULE.certificate_digest) -> ProfileVersion:
    return ProfileVersion(number, {RULE.name: Certified(digest, arms)}, NOON + 100)


NEW = _version(2, {("math", None): "fast", ("code", "hard"): "think", ("code/python", None): "vote"})
OLD = _version(1, {("math", None): "think", ("code", "hard"): "think"})
BOTH = Versions(POLICY, NEW, OLD)


@pytest.mark.parametrize(
    ("category", "difficulty", "are_alike"),
    [
        ("math", "easy", False),
        ("math/geometry", None, False),
        ("code", "hard", True),
        ("code", "easy", True),
        ("code/python", "easy", False),
        ("chat", None, True),
    ],
)
def test_asks_are_alike_where_their_arm_is(category: str, difficulty: str | None, *, are_alike: bool) -> None:
    """By the narrowest cell of each; what neither certifies has ``until_certified`` with both."""
    assert BOTH.are_alike(RULE.name, category, difficulty, NOON) is are_alike


def test_what_is_certified_beside_nothing_is_compared_with_the_start() -> None:
    """With ``until_certified`` of the rule, also once a version has expired or is of another rule."""
    start = _version(1, {("math", None): "think-hard"})
    assert not Versions(POLICY, NEW, None).are_alike(RULE.name, "math", None, NOON)
    assert Versions(POLICY, start, None).are_alike(RULE.name, "math", None, NOON)
    assert BOTH.are_alike(RULE.name, "math", None, NOON + 100)
    assert Versions(POLICY, _version(2, dict(NEW.rules[RULE.name].arms), digest="other"), None).are_alike(
        RULE.name, "math", None, NOON
    )
    assert not Versions(POLICY, start, _version(1, {("math", None): "gone"})).differ(NOON)


def test_a_rule_that_is_none_of_the_policys_is_alike() -> None:
    """No version says anything of it."""
    assert BOTH.are_alike("talk", "chat", None, NOON)
    assert BOTH.are_alike("gone", "math", None, NOON)


def test_what_predicted_gain_chooses_may_differ() -> None:
    """It is not known here, so it is taken to."""
    gain = ready(policy_of(policy_of().text.replace("until_certified: think-hard", "until_certified: gain")))
    assert not Versions(gain, NEW, None).are_alike(RULE.name, "logic", None, NOON)


def test_versions_differ_if_any_cell_does() -> None:
    """Also where one names a category whole and the other, or the start, by difficulty."""
    assert BOTH.differ(NOON)
    assert not Versions(POLICY, NEW, replace(NEW, number=1)).differ(NOON)
    whole = _version(2, {("math", None): "think"})
    tiers = _version(1, {("math", None): "think", ("math", "easy"): "fast"})
    assert Versions(POLICY, whole, tiers).differ(NOON)
    by_tier = "until_certified: {easy: fast, medium: think, hard: think, very_hard: think-hard, unknown: think}"
    started = ready(policy_of(policy_of().text.replace("until_certified: think-hard", by_tier)))
    digest = next(rule for rule in started.rules if rule.is_calibrated).certificate_digest
    assert Versions(started, _version(2, {("math", None): "think"}, digest=digest), None).differ(NOON)


def test_a_version_of_another_rule_certifies_nothing_any_more() -> None:
    """Targets, arms, models or prices are not those that it was made for."""
    assert BOTH.still_certifies
    assert not Versions(POLICY, _version(2, {}, digest="other"), OLD).still_certifies
