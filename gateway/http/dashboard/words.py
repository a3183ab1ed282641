"""How values read on the pages: money, times, shares and counts, each in few characters.

Pure: strings from values. What is not known reads "–", never 0.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

UNKNOWN: Final = "–"
_DAY_S: Final = 86_400
_MINUTE_S: Final = 60
_THOUSAND: Final = 1000


def money(amount: Decimal | None) -> str:
    """Dollars: two places from a dollar on, else two digits that say something: ``$0.00012``."""
    if amount is None:
        return UNKNOWN
    if amount == 0:
        return "$0"
    if abs(amount) >= 1:
        return f"${amount:,.2f}"
    # The place of the second digit that is not 0; at least cents.
    places = max(2, 1 - amount.adjusted())
    text = f"{amount:.{places}f}"
    return f"${text}"


def dollars(amount: float | None) -> str:
    """A mean, which is no sum of money, as ``money`` reads."""
    return money(None if amount is None else Decimal(f"{amount:.9f}"))


def duration(seconds: float | None) -> str:
    """Milliseconds below a second, seconds below a minute, then minutes."""
    if seconds is None:
        return UNKNOWN
    if seconds < 1:
        return f"{seconds * _THOUSAND:.3g} ms" if seconds < _MINUTE_S / _THOUSAND else f"{seconds * _THOUSAND:.0f} ms"
    if seconds < _MINUTE_S:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    hours, minutes = divmod(minutes, _MINUTE_S)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def share(part: float | None, whole: float = 1.0) -> str:
    """A share in per cent, to a tenth below ten of them."""
    if part is None or not whole:
        return UNKNOWN
    percent = round(100 * float(part) / float(whole), 1) or 0.0  # no sign before nothing
    text = f"{percent:.1f}%" if 0 < abs(percent) < 10 else f"{percent:.0f}%"  # noqa: PLR2004 - ten of a hundred
    return text.replace("-", "\N{MINUS SIGN}")


def count(number: int | None) -> str:
    """A count with its thousands apart."""
    return UNKNOWN if number is None else f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def iso(moment: float | None) -> str:
    """Unix seconds as ISO 8601 in UTC, for machines."""
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def when(moment: float | None, now: float) -> str:
    """Unix seconds as people read them, in UTC: today the time alone, else with the day."""
    if moment is None:
        return UNKNOWN
    told = datetime.fromtimestamp(moment, UTC)
    if told.date() == datetime.fromtimestamp(now, UTC).date():
        return told.strftime("%H:%M:%S")
    return told.strftime("%d %b %H:%M" if abs(now - moment) < 300 * _DAY_S else "%d %b %Y")


def ago(moment: float | None, now: float) -> str:
    """How long a moment has passed."""
    return UNKNOWN if moment is None else f"{duration(max(0.0, now - moment))} ago"
