"""Policies in force, for tests."""

from __future__ import annotations

from gateway.domain.profile import Profile
from gateway.flow.house import ActivePolicy
from gateway.policy.document import ClassifyDocument
from gateway.policy.ready import ReadyPolicy


def active(policy: ReadyPolicy, profile: Profile | None) -> ActivePolicy:
    """The policy in force, with this profile."""
    return ActivePolicy(
        ready=policy,
        classify=ClassifyDocument(),
        retries_empty=False,
        stores_text=False,
        reads_budget=False,
        label=lambda *_: None,
        profile=profile,
    )
