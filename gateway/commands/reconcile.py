"""``ponder reconcile``: the ledger beside a provider's cost or usage export, and what the nightly checks found."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from gateway.adapters.cost_exports.reading import open_export, open_file
from gateway.commands.amounts import Dollars
from gateway.commands.comparison import comparison_document, print_comparison
from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.tenancy import ask
from gateway.domain.money import Usd, show
from gateway.domain.reconciliation import Bill, Comparison, LedgerLine
from gateway.errors import ConfigurationError, PonderError
from gateway.model_settings import UpstreamSettings
from gateway.settings import Settings, database_url, load, places
from gateway.store.base import locate
from gateway.store.billing import Billing, UnknownCost, UnknownCosts
from gateway.wiring import with_hosted

_LISTED = 20
"""Requests of unknown cost that are named; all are counted."""
_NIGHTS = 30
_OFFICIAL = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}


class _Assignment(click.ParamType[tuple[str, str]]):
    """``KEY=UPSTREAM``."""

    name = "assignment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The provider's key and our upstream, or a usage error."""
        key, separator, upstream = str(value).rpartition("=")
        if not (key and separator and upstream):
            self.fail(f"{value!r} is not KEY=UPSTREAM, such as production-key=anthropic", param, ctx)
        return key, upstream


_DAY = click.DateTime(formats=["%Y-%m-%d"])


@dataclass(frozen=True, slots=True)
class _Report:
    """What came of one comparison."""

    export: str
    since: str
    until: str
    upstreams: tuple[str, ...]
    comparison: Comparison
    unknown: UnknownCosts
    open_requests: int | None


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--nightly", is_flag=True, help="Show what the nightly checks of ledger and log found; takes no FILE.")
@click.option("--since", type=_DAY, help="The first day compared, UTC; the export's first, if left out.")
@click.option("--until", type=_DAY, help="The last day compared, UTC; the export's last, if left out.")
@click.option("--upstream", "upstreams", multiple=True, metavar="NAME", help="Which of our upstreams the export bills.")
@click.option(
    "--api-key", "keys", multiple=True, type=_Assignment(), metavar="KEY=UPSTREAM",
    help="Compare by key: rows of this key (its name, id, workspace or project) are those of this upstream.",
)  # fmt: skip
@click.option("--tolerance-usd", type=Dollars(), default="0.01", show_default=True, help="Per line, and in total.")
@click.option("--tolerance-tokens", type=click.IntRange(min=0), default=0, show_default=True, help="For usage exports.")
@json_option
def reconcile(*, file: Path | None, nightly: bool, as_json: bool, **options: Any) -> None:
    """Compare a provider's cost or usage export with the ledger, by day and model; exit code 1 if they differ.

    FILE is an export of Anthropic's or OpenAI's console, or a page of their Admin APIs. Rows without a
    difference are counted, and shown with --json.
    """
    if nightly:
        if file is not None:
            raise click.UsageError("--nightly takes no FILE")
        sys.exit(_show_nights(as_json=as_json))
    if file is None:
        raise click.UsageError("name the FILE that was exported, or ask for --nightly")
    sys.exit(_compare_file(file, as_json=as_json, **options))


def _compare_file(
    file: Path,
    *,
    since: datetime | None,
    until: datetime | None,
    upstreams: tuple[str, ...],
    keys: tuple[tuple[str, str], ...],
    tolerance_usd: Usd,
    tolerance_tokens: int,
    as_json: bool,
) -> int:
    where = places(os.environ)
    settings = load(where.config)
    with open_file(file) as text:
        export = open_export(text, file.name)
        bill = Bill(export.shape.measure, dict(keys))
        first, last = _text(since), _text(until)
        for charge in export.charges:
            if (first or charge.day) <= charge.day <= (last or charge.day):
                bill.add(charge)
    if not bill.rows:
        raise ConfigurationError(f"{file.name} has no rows with amounts in the days asked for: nothing can be compared")
    begin, end = first or min(bill.days), last or max(bill.days)
    chosen = tuple(dict(keys).values()) or upstreams or _upstreams_at(export.shape.provider, settings)
    ledger, unknown = asyncio.run(_read_ledger(database_url(where, settings), begin, end, chosen))
    comparison = bill.compare(ledger, tolerance=tolerance_usd, tolerated_tokens=tolerance_tokens)
    report = _Report(export.shape.name, begin, end, chosen, comparison, unknown, _open_requests())
    if as_json:
        print_json(_document(report))
    else:
        click.echo(f"{export.shape.name}: {bill.rows} rows, {begin} to {end}, against {', '.join(chosen)}\n")
        print_comparison(comparison, tolerance_usd, tolerance_tokens)
        _print_unknown(report)
    return int(comparison.differs)


async def _read_ledger(
    url: str, begin: str, end: str, upstreams: tuple[str, ...]
) -> tuple[tuple[LedgerLine, ...], UnknownCosts]:
    since = datetime.fromisoformat(begin).replace(tzinfo=UTC).timestamp()
    until = (datetime.fromisoformat(end).replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
    billing = Billing(locate(url))
    try:
        return (
            await billing.calls(since, until, upstreams),
            await billing.unknown_costs(since, until, limit=_LISTED),
        )
    finally:
        await billing.close()


def _upstreams_at(provider: str, settings: Settings) -> tuple[str, ...]:
    """Our upstreams that this provider bills; the one that its key in the environment adds has the provider's name."""
    configured = with_hosted(settings, os.environ, None).upstreams
    return tuple(sorted({provider} | {name for name, each in configured.items() if _is_at(provider, each)}))


def _is_at(provider: str, upstream: UpstreamSettings) -> bool:
    if upstream.provider is not None:
        return upstream.provider == provider
    return upstream.kind == provider and upstream.base_url in {None, _OFFICIAL[provider]}


def _open_requests() -> int | None:
    """Requests under way at the gateway, whose calls are in no ledger yet; None where no gateway says."""
    try:
        open_requests: int = ask("GET", "/reconciliations?limit=1")["open_requests"]
    except PonderError:
        return None
    return open_requests


def _print_unknown(report: _Report) -> None:
    click.echo()
    unknown = report.unknown
    if unknown.count:
        click.echo(f"Requests of unknown cost: {unknown.count}; their budgets were charged ${show(unknown.charged)}.")
        rows = [_unknown_cells(each) for each in unknown.newest]
        print_rows(tuple(rows[0]), rows)
        if unknown.count > len(rows):
            click.echo(f"… and {unknown.count - len(rows)} before these")
    else:
        click.echo("No request of these days has an unknown cost.")
    if report.open_requests is None:
        click.echo("Whether requests are still open is not known: no gateway answers.")
    else:
        click.echo(f"Requests still open: {report.open_requests}; their calls are in no ledger yet.")


def _unknown_cells(each: UnknownCost) -> dict[str, str]:
    return {
        "id": each.id,
        "day": each.day,
        "key_id": each.key_id,
        "model_asked": each.model_asked,
        "result": each.result.value,
        "charged_usd": show(each.charged),
    }


def _document(report: _Report) -> dict[str, Any]:
    return {
        "export": report.export,
        "since": report.since,
        "until": report.until,
        "upstreams": list(report.upstreams),
        **comparison_document(report.comparison),
        "unknown_costs": {
            "count": report.unknown.count,
            "charged_usd": show(report.unknown.charged),
            "newest": [_unknown_cells(each) for each in report.unknown.newest],
        },
        "open_requests": report.open_requests,
    }


def _show_nights(*, as_json: bool) -> int:
    """What the running gateway has stored; 1 if the newest check of any kind found a difference."""
    answer: Mapping[str, Any] = ask("GET", f"/reconciliations?limit={_NIGHTS}")
    found = answer["data"]
    newest = {each["kind"]: each for each in reversed(found)}
    if as_json:
        print_json(found)
    else:
        columns = ("day", "kind", "finished_at", "compared", "differing", "difference_usd")
        print_rows(columns, [{name: _cell(each[name]) for name in columns} for each in found])
        for each in newest.values():
            for detail in each["details"]:
                click.echo(f"{each['day']} {each['kind']}: " + ", ".join(f"{k} {v}" for k, v in detail.items()))
    return int(any(each["differing"] for each in newest.values()))


def _cell(value: object) -> str:
    return "not finished" if value is None else str(value)


def _text(day: datetime | None) -> str | None:
    return None if day is None else day.date().isoformat()
