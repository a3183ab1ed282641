"""One gateway per home, unless all of them share their limits."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.adapters.home_lock import serving_from
from gateway.errors import ConfigurationError


@pytest.mark.parametrize(("first", "second"), [(False, False), (False, True), (True, False)])
def test_one_that_counts_for_itself_serves_alone(tmp_path: Path, first: bool, second: bool) -> None:
    """Where either of two gateways keeps limits of its own the second is refused, and told what would help."""
    with (
        serving_from(tmp_path, shares_limits=first),
        pytest.raises(ConfigurationError, match="PONDER_REDIS_URL"),
        serving_from(tmp_path, shares_limits=second),
    ):
        raise AssertionError("both serve")


def test_those_that_share_limits_serve_together(tmp_path: Path) -> None:
    """Any number of gateways with one Redis serve from one home."""
    with serving_from(tmp_path, shares_limits=True), serving_from(tmp_path, shares_limits=True):
        assert stat.S_IMODE((tmp_path / "gateway.lock").stat().st_mode) == 0o600


def test_the_next_one_may_serve_when_the_first_has_ended(tmp_path: Path) -> None:
    """The lock ends with its gateway; the file that is left means nothing."""
    for _ in range(2):
        with serving_from(tmp_path, shares_limits=False):
            assert (tmp_path / "gateway.lock").exists()


def test_a_folder_that_is_not_ours_is_a_wrong_configuration(tmp_path: Path) -> None:
    """What cannot be opened is said, with its remedy."""
    with (
        pytest.raises(ConfigurationError, match=r"gateway\.lock cannot be opened"),
        serving_from(tmp_path / "absent", shares_limits=False),
    ):
        raise AssertionError("it serves")
