"""``ponder policy diff``: two policies over the same asks, on record or in a file."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.policy_sources import configured, prepare, source
from gateway.domain.money import show, usd
from gateway.errors import ConfigurationError, NotFound
from gateway.policy.diff import Difference, Expectation, RecordedAsk, compare
from gateway.settings import database_url, load, places
from gateway.store.base import locate
from gateway.store.requests import Decided, Filter, Requests

_LATEST = 1000
_MOST = 1_000_000


class _Line(BaseModel):
    """One ask of a file."""

    model_config = ConfigDict(extra="forbid")

    facts: dict[str, Any]
    arm: str | None = None
    cost_usd: str | None = Field(default=None, pattern=r"^\d+(\.\d+)?$")


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option(
    "--last", type=click.IntRange(1, _MOST), help=f"Over the last so many asks on record; {_LATEST} if not said."
)
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Over the asks of a file: one JSON object a line, with facts, and arm and cost_usd where they are known.",
)
@json_option
def diff(*, old: str, new: str, last: int | None, file: Path | None, as_json: bool) -> None:
    """Compare two policies, by name or file: how many decisions change, and what they cost before and after."""
    if last is not None and file is not None:
        raise click.UsageError("give one of --last and --file")
    asks = asyncio.run(_latest(last or _LATEST)) if file is None else list(_of_file(file))
    if not asks:
        raise NotFound("there are no asks to compare by; on record are those that a policy decided or observed")
    _, offered = configured()
    before, after = (prepare(source(each).policy(), offered) for each in (old, new))
    difference = compare(before, after, asks)
    if as_json:
        print_json(_document(difference))
    else:
        _print(difference)


async def _latest(limit: int) -> list[RecordedAsk]:
    where = places(os.environ)
    requests = Requests(locate(database_url(where, load(where.config))))
    try:
        decided = await requests.decided(Filter(), limit=limit)
    finally:
        await requests.close()
    return [_recorded(each) for each in decided if each.plan.facts]


def _recorded(decided: Decided) -> RecordedAsk:
    """An observed ask was answered by another model than the plan's, so its cost says nothing of the arm."""
    plan = decided.plan
    return RecordedAsk(plan.facts) if plan.is_observed else RecordedAsk(plan.facts, plan.arm.name, decided.cost)


def _of_file(file: Path) -> Iterator[RecordedAsk]:
    for number, text in enumerate(file.read_text("utf-8").splitlines(), 1):
        if not text.strip():
            continue
        try:
            line = _Line.model_validate(json.loads(text))
        except (ValueError, ValidationError) as fault:
            raise ConfigurationError(
                f"{file.name}:{number}: must be a JSON object with facts, and arm and cost_usd where they are known"
            ) from fault
        yield RecordedAsk(line.facts, line.arm, None if line.cost_usd is None else usd(line.cost_usd))


def _document(difference: Difference) -> dict[str, Any]:
    return {
        "asks": difference.asks,
        "unreadable": difference.unreadable,
        "changed": difference.changed,
        "changes": [
            {"category": each.category, "before": each.before, "after": each.after, "asks": each.asks}
            for each in difference.changes
        ],
        "before": _expectation(difference.before),
        "after": _expectation(difference.after),
    }


def _expectation(expected: Expectation) -> dict[str, Any]:
    return {"cost_usd": show(expected.cost), "unknown": expected.unknown, "refused": expected.refused}


def _print(difference: Difference) -> None:
    share = difference.changed / difference.asks if difference.asks else 0.0
    click.echo(f"{difference.changed} of {difference.asks} decisions change ({share:.1%})")
    if difference.unreadable:
        click.echo(f"{difference.unreadable} more were recorded in a form that is not known here")
    if difference.changes:
        columns = ("category", "before", "after", "asks")
        print_rows(columns, [{name: str(getattr(each, name)) for name in columns} for each in difference.changes])
    for label, expected in (("before", difference.before), ("after", difference.after)):
        unknown = f", {expected.unknown} of unknown cost" if expected.unknown else ""
        refused = f", {expected.refused} refused" if expected.refused else ""
        click.echo(f"expected cost {label}: ${show(expected.cost)}{unknown}{refused}")
