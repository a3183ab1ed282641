"""``ponder top``: a running gateway, live in the terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

import click
from rich.console import Console
from rich.live import Live

from gateway.commands.output import json_option, print_json
from gateway.commands.running import administer, health, metrics, url_of
from gateway.commands.tenancy import every
from gateway.commands.top_readings import ArmLine, BudgetLine, Overview, Reading, arms_of, overview, read
from gateway.commands.top_screen import screen
from gateway.domain.limits import Period, period_start
from gateway.errors import PonderError
from gateway.settings import Places, places

_NEWEST: Final = 200
_HOLDERS: Final = 1000
"""Budgets are looked for at so many teams and so many keys."""
_BOOKS_EVERY_S: Final = 15.0
"""Arms and budgets are looked up in the database, which is not to be asked every second."""


@click.command()
@click.option("--interval", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, metavar="SECONDS")
@click.option("--once", is_flag=True, help="Print one interval and end.")
@json_option
def top(interval: float, once: bool, as_json: bool) -> None:
    """Show requests, spending, latency, upstreams and budgets of a running gateway, until Ctrl-C.

    Rates and quantiles are of the last interval. Arms and budgets need the admin key, as other commands do.
    """
    if as_json and not once:
        raise click.UsageError("--json needs --once")
    watch = _Watch(places(os.environ), os.environ)
    if once:
        time.sleep(interval)
        view = watch.look()
        if as_json:
            print_json(asdict(view))
        else:
            Console().print(screen(view, watch.address))
        return
    _follow(watch, interval)


def _follow(watch: _Watch, interval: float) -> None:
    """Draw the screen anew until Ctrl-C, whenever that comes."""
    with suppress(KeyboardInterrupt), Live(console=Console(), screen=True, auto_refresh=False) as live:
        view: Overview | None = None
        while True:
            time.sleep(interval if view is not None else min(interval, 1.0))
            try:
                view = watch.look()
            except PonderError as fault:
                if view is None:
                    raise
                view = replace(view, status="away", degraded=(), note=fault.message)
            live.update(screen(view, watch.address), refresh=True)


@dataclass(frozen=True, slots=True)
class _Books:
    """What the database was last asked for."""

    at: float
    arms: tuple[ArmLine, ...] = ()
    budgets: tuple[BudgetLine, ...] = ()
    note: str | None = None


class _Watch:
    """Reads the gateway again and again; each look covers the time since the one before. Raises PonderError."""

    def __init__(self, where: Places, environment: Mapping[str, str]) -> None:
        self._where = where
        self._environment = environment
        self._before = self._read()
        self._books: _Books | None = None

    @property
    def address(self) -> str:
        """Where the gateway is."""
        return url_of(self._where)

    def look(self) -> Overview:
        """What happened since the last look, and what holds now."""
        now = self._read()
        if self._books is None or now.at - self._books.at >= _BOOKS_EVERY_S:
            self._books = self._read_books(now.at)
        books = self._books
        view = overview(
            self._before,
            now,
            health=health(self._where),
            arms=books.arms,
            budgets=books.budgets,
            note=books.note,
        )
        self._before = now
        return view

    def _read(self) -> Reading:
        return read(metrics(self._where), time.monotonic())

    def _read_books(self, at: float) -> _Books:
        try:
            newest = administer(self._where, self._environment, "GET", f"/requests?limit={_NEWEST}")
            return _Books(at, arms_of(newest["data"]), tuple(self._budgets()))
        except PonderError as fault:
            return _Books(at, note=f"arms and budgets: {fault.message}")

    def _budgets(self) -> list[BudgetLine]:
        spent: dict[tuple[str, str], dict[str, float]] = {}
        lines = []
        for holder, listed in (("team", "teams"), ("key", "keys")):
            for each in islice(every(listed), _HOLDERS):
                for budget in each["budgets"]:
                    place = (holder, budget["period"])
                    if place not in spent:
                        spent[place] = self._spent(*place)
                    known = budget["period"] != Period.TOTAL
                    lines.append(
                        BudgetLine(
                            holder=holder,
                            name=each["name"],
                            period=budget["period"],
                            amount_usd=float(budget["amount_usd"]),
                            spent_usd=spent[place].get(each["id"], 0.0) if known else None,
                        )
                    )
        return lines

    def _spent(self, holder: str, period: str) -> dict[str, float]:
        """Dollars by holder in the present period; of all time none, as that reads every request there is."""
        if period == Period.TOTAL:
            return {}
        since = datetime.fromtimestamp(period_start(Period(period), time.time()), UTC)
        query = urlencode({"by": holder, "since": since.isoformat()})
        answer: Any = administer(self._where, self._environment, "GET", f"/spend?{query}")
        return {group[f"{holder}_id"]: float(group["cost_usd"]) for group in answer["data"]}
