"""``ponder verifiers``: how far each can be trusted, what searches are capped because of it, and lifting a cap."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from calibrator.commands.stored import ACTOR, day, run
from calibrator.conclude import author
from calibrator.examining import of_traces
from calibrator.running import Runs
from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.search import lines_of
from gateway.commands.tenancy import ask, reference
from gateway.errors import ConfigurationError
from gateway.search.replay import read_items
from gateway.search.verifier_health import Estimate
from gateway.search.verifier_look import Evidence
from gateway.settings import Settings, load, places
from gateway.store.verifier_looks import VerifierStanding

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group(invoke_without_command=True)
@click.pass_context
def verifiers(context: click.Context) -> None:
    """How far verifiers can be trusted, and the caps that follow from it. Without a command: list."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@verifiers.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the verifiers as the running gateway has them, with the last look at each and the cap in force."""
    found = ask("GET", "/verifiers")["data"]
    if as_json:
        print_json(found)
        return
    columns = ("verifier", "within-problem AUC", "pooled", "best of N is right", "cap", "problems", "when", "from")
    print_rows(columns, [_row(each) for each in found])


@verifiers.command()
@click.argument("name")
@click.option("--run", "run_id", metavar="RUN", help="By the searches of a calibration run, whose texts were kept.")
@click.option("--traces", type=_FILE, help="By recorded chains with scores, as `ponder search replay` reads them.")
@json_option
def examine(*, name: str, run_id: str | None, traces: Path | None, as_json: bool) -> None:
    """Examine verifier NAME by answers of which score and truth are known, and keep the look.

    Where more samples lower the accuracy that it gives, searches are capped from then on, in every gateway within two
    seconds. The same answers are looked at once.
    """
    if (run_id is None) == (traces is None):
        raise click.UsageError("give --run, or --traces")
    standing = run(_examined(name, run_id, traces))
    if as_json:
        print_json(_document(standing))
    else:
        _show(standing)


@verifiers.command()
@click.argument("name")
@json_option
def lift(name: str, *, as_json: bool) -> None:
    """Lift the cap of verifier NAME, in every gateway within two seconds. Another look may find one again."""
    done = ask("POST", f"/verifiers/{reference(name)}/lift")
    if as_json:
        print_json(done)
    else:
        click.echo(f"Searches with verifier {name} draw as many samples as their arms say.")


async def _examined(name: str, run_id: str | None, traces: Path | None) -> VerifierStanding:
    where = places(os.environ)
    settings = load(where.config)
    _check_configured(name, settings)
    runs = Runs(where, settings, os.environ, actor=ACTOR)
    try:
        if traces is not None:
            items = await asyncio.to_thread(lambda: read_items(lines_of(traces), traces.name))
            evidence = of_traces(f"file {traces.name}", items)
        else:
            assert run_id is not None  # noqa: S101  there is one or the other
            evidence = _of_run(name, run_id, await runs.evidence(run_id))
        return await runs.examining.keep(name, evidence, author(ACTOR, time.time()))
    finally:
        await runs.close()


def _check_configured(name: str, settings: Settings) -> None:
    if name not in settings.verifiers:
        known = ", ".join(sorted(settings.verifiers)) or "none"
        raise ConfigurationError(f"there is no verifier {name!r}; there are: {known}")


def _of_run(name: str, run_id: str, found: Mapping[str, Evidence]) -> Evidence:
    if name not in found:
        raise ConfigurationError(
            f"run {run_id} tells nothing of verifier {name}: it takes an arm of best-of-N with it whose texts are kept "
            "(retention.store_text, or store_text in the policy), and items with a check that is computed"
        )
    return found[name]


def _show(standing: VerifierStanding) -> None:
    look = standing.look
    health = look.health
    click.echo(
        f"Verifier {look.verifier}, look {look.number}: {look.answers:,} answers to {look.problems:,} problems, "
        f"{look.source}, {day(standing.at)} UTC."
    )
    within = "unknown" if health.within is None else _interval(health.within)
    pooled = "unknown" if health.pooled is None else f"{health.pooled:.3f}"
    click.echo(f"AUC within problems: {within}; pooled over problems: {pooled}.")
    columns = ("best of", "is right", "mean score")
    rows = [
        {"best of": str(each.samples), "is right": _interval(each.truth), "mean score": f"{each.score:.3f}"}
        for each in health.curve
    ]
    if rows:
        click.echo()
        print_rows(columns, rows, title=f"The best scored, over {health.curve[0].truth.problems:,} problems")
        click.echo()
    click.echo(_verdict(standing))


def _verdict(standing: VerifierStanding) -> str:
    found, cap, name = standing.look.health.cap, standing.in_force, standing.look.verifier
    if found is not None:
        said = f"More than {found} samples lower the accuracy"
        return f"{said}: searches are capped at {cap}." if cap is not None else f"{said}; the cap was lifted."
    said = "That more samples lower the accuracy is not shown"
    if cap is not None:
        return f"{said}; the cap at {cap} of an earlier look stays until `ponder verifiers lift {name}`."
    return f"{said}: there is no cap."


def _row(verifier: Mapping[str, Any]) -> dict[str, str]:
    look = verifier["look"]
    name = verifier["name"] if verifier["is_configured"] else f"{verifier['name']} (not configured)"
    if look is None:
        return {"verifier": name, "within-problem AUC": "not examined"}
    within, pooled = look["within_auc"], look["pooled_auc"]
    curve = ", ".join(f"{each['samples']}: {each['accuracy']['value']:.1%}" for each in look["best_of"])
    lifted = "lifted" if look["lifted_at"] is not None else "none"
    return {
        "verifier": name,
        "within-problem AUC": "" if within is None else _interval(Estimate(**within)),
        "pooled": "" if pooled is None else f"{pooled:.3f}",
        "best of N is right": curve,
        "cap": str(verifier["cap"] or lifted),
        "problems": f"{look['problems']:,}",
        "when": look["at"][:16].replace("T", " "),
        "from": look["source"],
    }


def _document(standing: VerifierStanding) -> dict[str, Any]:
    look = standing.look
    return {
        "verifier": look.verifier,
        "number": look.number,
        "source": look.source,
        **look.document,
        "cap_in_force": standing.in_force,
        "at": standing.at,
        "by": standing.by,
    }


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
