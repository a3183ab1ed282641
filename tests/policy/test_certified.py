"""What a profile certifies, which version of it a conversation has, and when a certificate is void."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.model import Model
from gateway.domain.profile import Canary, Certified, Profile, ProfileVersion
from tests.policy.world import MODELS, NOON, NOW, SONNET, ask, model, plan, policy_of, predicted, ready


def _profile(arm: str = "vote", **changes: Any) -> Profile:
    digest = ready().rules[2].certificate_digest
    version = ProfileVersion(7, {"checkable": Certified(digest, {("math", "hard"): arm})}, NOON + 1)
    return Profile("work", replace(version, **changes))


def test_a_certified_cell_names_the_arm() -> None:
    """Until the profile expires, for the cells that it certifies, of the rule as it was certified."""
    decided = plan(profile=_profile())
    assert (decided.arm.name, decided.profile_version) == ("vote", 7)
    for profile, facts, why in (
        (_profile(expires_at=NOON), ask(), "has expired"),
        (_profile(), ask(predicted("code")), "certifies nothing for code, hard"),
        (_profile("gone"), ask(), "certifies nothing for math, hard"),
        (_profile(rules={}), ask(), "does not certify this rule"),
        (_profile(rules={"checkable": Certified("other", {("math", None): "vote"})}), ask(), "as it is now"),
    ):
        until = plan(profile=profile, facts=facts)
        assert (until.arm.name, until.profile_version) == ("think-hard", None)
        assert any(why in reason for reason in until.reasons)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss_at_most: 0.03", "loss_at_most: 0.01"),
        ("confidence: 0.9", "confidence: 0.95"),
        ("effort: medium", "effort: low"),
        ("reference: think-hard", "reference: think"),
        ("[math, code]", "[math]"),
    ],
)
def test_a_certificate_is_void_once_what_it_rests_on_changes(old: str, new: str) -> None:
    """Targets, arms, reference and conditions: a certificate for other ones guarantees nothing."""
    changed = policy_of(policy_of().text.replace(old, new))
    assert plan(changed, profile=_profile()).profile_version is None


@pytest.mark.parametrize(
    "other",
    [
        replace(SONNET, upstream_name="sonnet-6"),
        replace(SONNET, upstream="elsewhere"),
        model("sonnet", "anthropic", "3", "14.99"),
        replace(SONNET, price=None),
    ],
    ids=["version", "upstream", "price", "no price"],
)
def test_a_certificate_is_void_once_a_model_or_its_price_changes(other: Model) -> None:
    """It speaks of the models as they were; and at another price another arm may be the cheapest."""
    assert plan(ready(models={**MODELS, "sonnet": other}), profile=_profile()).profile_version is None
    written_otherwise = model("sonnet", "anthropic", "3.00", "15.0", context_tokens=2_000_000)
    assert plan(ready(models={**MODELS, "sonnet": written_otherwise}), profile=_profile()).profile_version == 7


def test_a_canary_is_tried_on_its_share_of_conversations() -> None:
    """The place of the conversation decides, so it stays on one side."""
    current, new = _profile().current, _profile("fast", number=8).current
    assert new is not None
    profile = Profile("work", current, Canary(new, 0.25))
    assert plan(profile=profile, snapshots=replace(NOW, canary_bucket=0.24)).profile_version == 8
    assert plan(profile=profile, snapshots=replace(NOW, canary_bucket=0.25)).profile_version == 7


def test_which_version_was_drawn_is_recorded() -> None:
    """With its chance and the conversation's place, wherever the profile chose; who keeps an arm drew none."""
    current, new = _profile().current, _profile("fast", number=8).current
    assert new is not None
    profile = Profile("work", current, Canary(new, 0.25))
    for bucket in (0.1, 0.7):
        there = replace(NOW, canary_bucket=bucket)
        assert plan(profile=profile, snapshots=there).facts["canary"] == {"version": 8, "share": 0.25, "bucket": bucket}
    for undrawn in (
        plan(profile=profile),
        plan(profile=profile, snapshots=replace(NOW, canary_bucket=0.1, sticky_arm="fast")),
        plan(profile=profile, snapshots=replace(NOW, canary_bucket=0.1), facts=ask(predicted("chat"))),
        plan(profile=profile, snapshots=replace(NOW, canary_bucket=0.1), facts=ask(predicted("math", 0.1))),
        plan(profile=Profile("work", current), snapshots=replace(NOW, canary_bucket=0.1)),
    ):
        assert "canary" not in undrawn.facts
