"""Which versions can be gone back to."""

from __future__ import annotations

import pytest

from gateway.domain.rollout import good_versions


@pytest.mark.parametrize(
    ("activated", "trusted"),
    [
        ([], []),
        ([1], [1]),
        ([1, 2, 3], [1, 2, 3]),
        ([1, 2, 1], [1]),
        ([1, 2, 1, 3], [1, 3]),
        ([1, 2, 1, 3, 2], [1, 3, 2]),
        ([1, 2, None], []),
        ([1, None, 2], [2]),
        ([1, 1], [1]),
    ],
)
def test_a_version_that_was_gone_back_from_is_not_trusted(activated: list[int | None], trusted: list[int]) -> None:
    """Until somebody activates it anew; with no profile in force nothing before is."""
    assert good_versions(activated) == trusted
