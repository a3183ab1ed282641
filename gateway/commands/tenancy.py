"""What the commands about keys, teams and budgets share: their options, and how a list reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import click

from gateway.commands.running import administer
from gateway.settings import places

_PAGE = 500
_DIGITS = 6
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_Command = TypeVar("_Command", bound=Callable[..., Any])

_LIMIT_NAMES = ("requests_per_minute", "tokens_per_minute", "concurrency")
_OPTIONS = (
    click.option(
        "--model", "models", multiple=True, metavar="PATTERN", help="May be asked for; * stands for any text."
    ),
    click.option("--arm", "arms", multiple=True, metavar="PATTERN", help="May answer."),
    click.option("--allow-policy", "policies", multiple=True, metavar="PATTERN", help="May be asked for."),
    click.option("--policy", metavar="NAME", help="Decides for `model: auto`."),
    click.option("--requests-per-minute", type=click.IntRange(min=1)),
    click.option("--tokens-per-minute", type=click.IntRange(min=1)),
    click.option("--concurrency", type=click.IntRange(min=1), help="Requests at once."),
)


class Duration(click.ParamType[timedelta]):
    """A length of time: ``90s``, ``15m``, ``12h`` or ``30d``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The duration, or a usage error that says how one is written."""
        if isinstance(value, timedelta):
            return value
        text = str(value)
        count, unit = text[:-1], _UNITS.get(text[-1:])
        if unit is None or not count.isdecimal() or len(count) > _DIGITS:
            self.fail(f"{text!r} is not a duration such as 90s, 15m, 12h or 30d", param, ctx)
        return timedelta(**{unit: int(count)})


def terms_options(command: _Command) -> _Command:
    """Add what keys and teams have in common: what may be asked for, and limits."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def terms_body(given: Mapping[str, Any]) -> dict[str, Any]:
    """The body's part that :func:`terms_options` speaks of; what was not given stays out."""
    body: dict[str, Any] = {name: list(given[name]) for name in ("models", "arms", "policies") if given[name]}
    if given["policy"] is not None:
        body["policy"] = given["policy"]
    limits = {name: given[name] for name in _LIMIT_NAMES if given[name] is not None}
    return {**body, "limits": limits} if limits else body


def ask(method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """What the running gateway's admin API answers. Raises PonderError."""
    return administer(places(os.environ), os.environ, method, path, body)


def reference(text: str) -> str:
    """An id or a name as one piece of a path."""
    return quote(text, safe="")


def every(kind: str, **query: str) -> Iterator[dict[str, Any]]:
    """All items of a list, page by page."""
    after: str | None = None
    while True:
        asked = {"limit": _PAGE, **query, **({"after": after} if after else {})}
        page = ask("GET", f"/{kind}?{urlencode(asked)}")
        yield from page["data"]
        after = page["next"]
        if after is None:
            return


def from_now(duration: timedelta) -> str:
    """The moment that lies this far ahead, as the API takes it."""
    return (datetime.now(UTC) + duration).isoformat(timespec="seconds")


def limits_words(holder: Mapping[str, Any]) -> str:
    """Limits in a table's cell."""
    limits = holder["limits"]
    words = ("requests/min", "tokens/min", "at once")
    pairs = zip(words, _LIMIT_NAMES, strict=True)
    return ", ".join(f"{limits[name]} {word}" for word, name in pairs if limits[name] is not None)


def budgets_words(holder: Mapping[str, Any]) -> str:
    """Budgets in a table's cell."""
    return ", ".join(f"${budget['amount_usd']}/{budget['period']}" for budget in holder["budgets"])


def patterns_words(patterns: Sequence[str] | None) -> str:
    """What may be asked for, in a table's cell."""
    return "all" if patterns is None else ", ".join(patterns) or "none"
