"""Moments as a command line gives them."""

from __future__ import annotations

import time

import click
import pytest

from calibrator.commands.moments import Moment


def _moment(text: str) -> float:
    return Moment().convert(text, None, None)


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1_800), ("6h", 21_600), ("7d", 604_800), ("2w", 1_209_600)])
def test_a_time_ago_counts_from_now(text: str, seconds: int) -> None:
    """In minutes, hours, days and weeks."""
    before = time.time()
    assert before - seconds <= _moment(text) <= time.time() - seconds


@pytest.mark.parametrize(
    "text", ["2026-11-22", "2026-11-22T00:00", "2026-11-22T01:00:00+01:00", "2026-11-21T19:00:00-05:00"]
)
def test_a_date_is_in_utc_unless_it_says_otherwise(text: str) -> None:
    """With or without a time of day."""
    assert _moment(text) == 1_795_305_600


@pytest.mark.parametrize("text", ["yesterday", "7", "7y", "0d", "-1d", ""])
def test_anything_else_is_refused(text: str) -> None:
    """With what would be accepted."""
    with pytest.raises(click.BadParameter, match="neither a time ago"):
        _moment(text)


def test_a_moment_stays_as_it_is() -> None:
    """Click converts a default that was converted before."""
    assert Moment().convert(5.0, None, None) == 5.0
