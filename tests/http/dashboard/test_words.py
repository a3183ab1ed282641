"""How values read: in few characters, and never as 0 where nothing is known."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.http.dashboard import words

NOON = 1_795_348_800.0
"""2026-11-22 12:00:00 UTC."""


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "–"),
        ("0", "$0"),
        ("1234.5", "$1,234.50"),
        ("0.5", "$0.50"),
        ("0.0123456", "$0.012"),
        ("0.00012", "$0.00012"),
        ("0.000000001", "$0.0000000010"),
    ],
)
def test_money(amount: str | None, text: str) -> None:
    """Cents from a dollar on; below, two digits that say something."""
    assert words.money(None if amount is None else Decimal(amount)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.00123, "1.23 ms"),
        (0.4567, "457 ms"),
        (1.5, "1.5 s"),
        (59.99, "60 s"),
        (61, "1 min 1 s"),
        (7300, "2 h 1 min"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    """Each in the unit that people think in."""
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [(None, "–"), (0.0, "0%"), (0.0123, "1.2%"), (0.5, "50%"), (1.0, "100%"), (-0.05, "−5.0%"), (-1e-9, "0%")],
)
def test_shares(part: float | None, text: str) -> None:
    """A tenth of a per cent below ten, whole ones above."""
    assert words.share(part) == text


def test_moments() -> None:
    """Today the time alone, else the day, and the year where it is another."""
    assert words.when(NOON, NOON + 60) == "12:00:00"
    assert words.when(NOON, NOON + 86_400) == "22 Nov 12:00"
    assert words.when(NOON, NOON + 400 * 86_400) == "22 Nov 2026"
    assert words.when(None, NOON) == "–"
    assert words.iso(NOON) == "2026-11-22T12:00:00.000+00:00"
    assert words.ago(NOON, NOON + 90) == "1 min 30 s ago"
    assert words.count(1_234_567) == "1\u202f234\u202f567"
