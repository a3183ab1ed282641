"""Parts of ``ponder calibrate`` that speak with the database: importing outcomes, listing runs, publishing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calibrator.binding import bound_rules
from calibrator.commands.options import file_options, table
from calibrator.commands.progress import counted
from calibrator.commands.stored import answers, day, keep, publish, recent, run
from gateway.commands.output import json_option, print_json, print_rows
from gateway.domain.experiment import ExperimentStanding
from gateway.domain.money import show
from gateway.domain.profile_document import read_document
from gateway.errors import ConfigurationError

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("import")
@file_options
@click.option("--policy", required=True, help="The policy whose arms they are.")
@json_option
def import_(*, policy: str, as_json: bool, **given: Any) -> None:
    """Keep outcomes in the database, as a run that has ended: choose from it with --run."""
    bound = bound_rules(policy)
    if not bound:
        raise ConfigurationError(f"policy {policy} has no calibrated rule, so no outcomes are of use to it")
    ready = bound[0].policy
    found = table(given)
    strangers = [name for name in found.arms if name not in ready.arms]
    if strangers:
        raise ConfigurationError(
            f"policy {policy} has no arm {strangers[0]!r}; it has {', '.join(ready.arms)}. Take some with --arm"
        )
    with counted(len(found.items) * len(found.arms), "outcomes") as advance:
        run_id = run(keep(found, ready.name, ready.digest, advance))
    figures = {"run": run_id, "items": len(found.items), "outcomes": len(found.items) * len(found.arms)}
    if as_json:
        print_json({**figures, "items_left_out": found.left_out, "data_digest": found.digest})
    else:
        click.echo(f"Run {run_id}: {figures['outcomes']:,} outcomes of {figures['items']:,} items.")


@click.command("runs")
@click.option("--policy", help="Of this policy alone.")
@click.option("--last", type=click.IntRange(1, 1_000), default=20, show_default=True)
@json_option
def runs(*, policy: str | None, last: int, as_json: bool) -> None:
    """List calibration runs, the newest first: how far they are, and what they spent."""
    found = run(recent(last, policy))
    kept = run(answers(each.experiment.id for each in found))
    if as_json:
        print_json([_document(each, kept[each.experiment.id]) for each in found])
        return
    columns = ("run", "policy", "state", "answers", "spent", "cap", "began", "note")
    print_rows(columns, [_row(each, kept[each.experiment.id]) for each in found])


def _document(standing: ExperimentStanding, answers_kept: int) -> dict[str, Any]:
    about = standing.experiment
    return {
        "run": about.id,
        "policy": about.policy,
        "policy_digest": about.policy_digest,
        "data_digest": about.digest,
        "state": standing.state.value,
        "note": standing.note,
        "answers": answers_kept,
        "spent_usd": show(standing.spent),
        "held_usd": show(standing.held),
        "cap_usd": show(about.cap),
        "seed": about.seed,
        "target": dict(about.target),
        "created_at": about.created_at,
        "created_by": about.created_by,
        "finished_at": standing.finished_at,
    }


def _row(standing: ExperimentStanding, answers_kept: int) -> dict[str, str]:
    about = standing.experiment
    return {
        "run": about.id,
        "policy": about.policy,
        "state": standing.state.value,
        "answers": f"{answers_kept:,}",
        "spent": f"${show(standing.spent)}",
        "cap": f"${show(about.cap)}",
        "began": day(about.created_at),
        "note": standing.note or "",
    }


@click.command("publish")
@click.argument("profile", type=_FILE)
@click.option(
    "--expires-after-days", "days", type=click.FloatRange(0, min_open=True), required=True,
    help="How long the certificate is believed; then the rule's until_certified answers again.",
)  # fmt: skip
@click.option("--report", type=_FILE, help="The page that goes with it.")
@json_option
def publish_(*, profile: Path, days: float, report: Path | None, as_json: bool) -> None:
    """Publish PROFILE, a file of `choose --out`, as the next version. It is in force nowhere by that alone."""
    document = read_document(profile.read_text("utf-8"))
    known = {bound.rule.name: bound.rule.certificate_digest for bound in bound_rules(document.policy)}
    for name, rule in document.rules.items():
        if known.get(name) != rule.rule_digest:
            raise ConfigurationError(
                f"{profile.name} certifies rule {name!r} of policy {document.policy} as it was, and the rule, its arms "
                "or its models are others now; choose again"
            )
    kept = run(publish(document, days=days, report=None if report is None else str(report.resolve())))
    if as_json:
        print_json({"policy": kept.policy, "number": kept.number, "digest": kept.digest, "expires_at": kept.expires_at})
    else:
        click.echo(
            f"Profile {kept.policy}, version {kept.number}, is published; it expires {day(kept.expires_at)} UTC."
        )
