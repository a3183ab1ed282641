"""Values in the rows of an export: days, amounts and counts, each refused by its column's name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]
"""Text by column, as a CSV file has it, or a JSON object's members."""

_DAY_S = 86_400
_MOST = Decimal(10) ** 15
"""No amount and no count is larger; with more digits than that sums would no longer be exact."""


class Malformed(ValueError):
    """A row that the header does not lead one to expect; the reader of the file says which one it was."""


@lru_cache(maxsize=1024)
def day_of_text(text: str) -> str:
    """The day of an ISO date or time, which providers write in UTC. Raises Malformed."""
    try:
        if len(text) <= len("2026-11-22"):
            return date.fromisoformat(text).isoformat()
        moment = datetime.fromisoformat(text)
    except ValueError as fault:
        raise Malformed("the day is no date such as 2026-11-22") from fault
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date().isoformat()


@lru_cache(maxsize=1024)
def day_of_bucket(start: str, end: str) -> str:
    """The day of a bucket of Unix seconds, one day long at most. Raises Malformed."""
    begins, ends = number("start_time", start), number("end_time", end or start)
    if ends - begins > _DAY_S:
        raise Malformed("a row covers more than a day; export with buckets of one day (bucket_width 1d)")
    try:
        return datetime.fromtimestamp(int(begins), UTC).date().isoformat()
    except (ValueError, OverflowError, OSError) as fault:
        raise Malformed("start_time is no time in Unix seconds") from fault


def text_of(row: Row, name: str) -> str:
    """The column's text; empty where the row has none."""
    value = row.get(name)
    return "" if value is None else str(value).strip()


def number(name: str, value: object) -> Decimal:
    """A number; nothing at all is zero. Raises Malformed."""
    if value is None or value == "":
        return Decimal(0)
    try:
        found = Decimal(str(value))
    except InvalidOperation as fault:
        raise Malformed(f"{name} is not a number") from fault
    if not found.is_finite() or abs(found) >= _MOST:
        raise Malformed(f"{name} is not a number that can be counted")
    return found


def count(row: Row, name: str) -> int:
    """A whole number; exports write some as ``59200.0``. Raises Malformed."""
    found = number(name, row.get(name))
    if found < 0 or found != found.to_integral_value():
        raise Malformed(f"{name} is not a count")
    return int(found)


def names(row: Row, *columns: str) -> tuple[str, ...]:
    """What the row says under these columns, in their order, without gaps and repeats."""
    return tuple(dict.fromkeys(text for column in columns if (text := text_of(row, column))))


def check_dollars(currency: str) -> None:
    """Raises Malformed for money that is not US dollars."""
    if currency.lower() != "usd":
        raise Malformed("an amount is not in US dollars, in which all costs are kept here")
