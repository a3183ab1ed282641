"""Which cell of a certificate speaks for an ask, and which version for a conversation."""

from __future__ import annotations

import pytest

from gateway.domain.profile import Canary, Certified, Profile, ProfileVersion

CERTIFIED = Certified(
    "digest",
    {("code", None): "think", ("code", "easy"): "fast", ("code/python", None): "vote", ("code/python", "hard"): "tree"},
)


@pytest.mark.parametrize(
    ("category", "difficulty", "arm"),
    [
        ("code/python", "hard", "tree"),
        ("code/python", "easy", "vote"),
        ("code/python", None, "vote"),
        ("code/rust", "easy", "fast"),
        ("code", "hard", "think"),
        ("code", None, "think"),
        ("math", "easy", None),
    ],
)
def test_the_narrowest_cell_speaks(category: str, difficulty: str | None, arm: str | None) -> None:
    """A path goes before its category, a difficulty before all difficulties."""
    assert CERTIFIED.arm_for(category, difficulty) == arm


def test_a_canary_takes_its_share_of_conversations() -> None:
    """Conversations below the share get the new version, the one at the share does not."""
    old, new = ProfileVersion(1, {}, 2e9), ProfileVersion(2, {}, 2e9)
    profile = Profile("work", old, Canary(new, 0.05))
    assert profile.version_for(0.0499) is new
    assert profile.version_for(0.05) is old
    assert profile.version_for(1.0) is old
    assert Profile("work").version_for(0.0) is None
