"""``ponder calibrate judges``: how far each verifier can be believed on each arm."""

from __future__ import annotations

import os
import time
from typing import Any, Final

import click

from calibrator.commands.moments import Moment
from calibrator.commands.progress import counted
from calibrator.commands.stored import database, run
from calibrator.judges import JudgeBook, JudgeOnArm
from calibrator.stats.results import Interval
from gateway.commands.output import json_option, print_json, print_rows
from gateway.settings import load, places
from gateway.store.connections import Connections
from gateway.store.judgements import Judgements

_AT_RANDOM: Final = (
    "The known answers must have been chosen without regard to how good they are. An audit of a random sample does "
    "that; complaints do not."
)


@click.command("judges")
@click.option("--policy", help="Whose traffic; by default that of the policy that ponder.yaml names.")
@click.option("--since", type=Moment(), default="30d", show_default=True, help="From when on: a time ago, or a date.")
@click.option(
    "--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.9, show_default=True,
    help="Of the intervals.",
)  # fmt: skip
@json_option
def judges(*, policy: str | None, since: float, confidence: float, as_json: bool) -> None:
    """Show how often verifiers err on each arm, by answers that were judged by people or graders too."""
    name = policy or load(places(os.environ).config).policy
    found = run(_read(name, since)).judges(confidence)
    if as_json:
        print_json([_document(each) for each in found])
    elif not found:
        click.echo(f"No answer of policy {name} was verified since then; see `calibrate.verify` in its policy.yaml.")
    else:
        columns = ("verifier", "arm", "judged", "known", "sensitivity", "specificity", "yes", "success", "usable")
        print_rows(columns, [_row(each) for each in found])
        click.echo(f"\n{_AT_RANDOM}")


async def _read(policy: str, since: float) -> JudgeBook:
    book, connections = JudgeBook(), Connections(database(), most=1)
    read = 0
    try:
        with counted(None, "verdicts") as advance:
            async for part in Judgements(connections).read(policy, since=since, until=time.time()):
                book.add(part)
                read += len(part)
                advance(read)
    finally:
        await connections.close()
    return book


def _row(each: JudgeOnArm) -> dict[str, str]:
    return {
        "verifier": each.verifier,
        "arm": each.arm,
        "judged": f"{each.judged:,}",
        "known": f"{each.record.right + each.record.wrong:,}",
        "sensitivity": _between(each.sensitivity),
        "specificity": _between(each.specificity),
        "yes": f"{each.accepted / each.judged:.3f}",
        "success": _between(each.corrected),
        "usable": "yes" if each.refusal is None else f"no: {each.refusal}",
    }


def _between(found: Interval | None) -> str:
    if found is None or not found.sample_size:
        return ""
    return f"{found.estimate:.3f} ({found.lower:.3f} to {found.upper:.3f})"


def _document(each: JudgeOnArm) -> dict[str, Any]:
    record = each.record
    return {
        "verifier": each.verifier,
        "arm": each.arm,
        "judged": each.judged,
        "accepted": each.accepted,
        "known_right": record.right,
        "known_right_accepted": record.right_accepted,
        "known_wrong": record.wrong,
        "known_wrong_refused": record.wrong_refused,
        "sensitivity": _interval(each.sensitivity),
        "specificity": _interval(each.specificity),
        "usable": each.refusal is None,
        "why_not": each.refusal,
        "success_corrected": _interval(each.corrected),
        "success_prediction_powered": None if each.powered is None else _interval(each.powered.interval),
        "labels_worth": None if each.powered is None else each.powered.labels_worth,
    }


def _interval(found: Interval | None) -> dict[str, float] | None:
    if found is None or not found.sample_size:
        return None
    return {"estimate": found.estimate, "lower": found.lower, "upper": found.upper, "confidence": found.confidence}
