"""``ponder calibrate run``, ``cancel`` and ``rollback``: measure, publish what is certified, and take it back."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click

from calibrator.commands.progress import measuring
from calibrator.commands.shown import show_choice, show_measured
from calibrator.commands.stored import ACTOR, cancel_run, roll_back, run
from calibrator.conclude import ALL, Conclusion
from calibrator.experiment import RunPlan
from calibrator.measure import Standstill
from calibrator.run_document import in_words
from calibrator.running import Runs, Wish
from gateway.commands.output import json_option, print_json
from gateway.domain.experiment import ExperimentStanding
from gateway.domain.money import show
from gateway.errors import ConfigurationError, Conflict
from gateway.settings import load, places

_PATIENCE_S: Final = 180.0
_PAUSE_S: Final = 1.0
_NEW = click.Path(path_type=Path, dir_okay=False)


class _Dollars(click.ParamType[Decimal]):
    """An amount above zero."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            amount = Decimal(str(value))
        except ArithmeticError:
            amount = Decimal(0)
        if not (amount.is_finite() and 0 < amount < 10**9):
            self.fail(f"{value!r} is no amount of dollars such as 2.50", param, ctx)
        return amount


@click.command("run")
@click.option("--policy", help="Its name. Needed, but for --resume.")
@click.option(
    "--rule", "rules", multiple=True, help="For this rule alone; may be repeated. All calibrated ones if not."
)
@click.option("--items", "most_items", type=click.IntRange(1), help="Draw at most so many items for a rule.")
@click.option("--spend-at-most-usd", "cap", type=_Dollars(), help="In the place of what the policy says.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the order items are drawn in.")
@click.option("--concurrency", type=click.IntRange(1, 1024), help="Ask so many items at a time.")
@click.option("--resume", metavar="RUN", help="Go on with a run that was interrupted.")
@click.option("--activate", "activates", is_flag=True, help="Put what is published in force at once, without a canary.")
@click.option("--report", type=_NEW, help="Write the page here too.")
@json_option
def run_(
    *,
    policy: str | None,
    resume: str | None,
    concurrency: int | None,
    activates: bool,
    report: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure the arms of a policy on its items, and publish the cheapest whose loss is certified.

    Items are asked of the gateway, which has to be running, within the spending cap. Too little evidence changes
    nothing, and is explained. A run that is interrupted goes on with --resume.
    """
    if (policy is None) == (resume is None):
        raise click.UsageError("give --policy, or --resume")
    wish = (
        None
        if policy is None
        else Wish(policy, tuple(given["rules"]), given["most_items"], given["cap"], given["seed"])
    )
    concluded, standing = run(_run(wish, resume, concurrency=concurrency, activates=activates, is_quiet=as_json))
    if report is not None:
        if len(concluded.reports) != 1:
            raise ConfigurationError(
                f"--report takes the page of one rule, and there are {len(concluded.reports)}: "
                f"{', '.join(map(str, concluded.reports))}"
            )
        shutil.copyfile(concluded.reports[0], report)
    if as_json:
        print_json(_document(concluded, standing))
    else:
        _show(concluded, standing)


async def _run(
    wish: Wish | None, resume: str | None, *, concurrency: int | None, activates: bool, is_quiet: bool
) -> tuple[Conclusion, ExperimentStanding]:
    where = places(os.environ)
    runs = Runs(where, load(where.config), os.environ, actor=ACTOR)
    try:
        if resume is not None:
            standing = await runs.find(resume)
            if standing.state.is_end:
                raise Conflict(f"run {resume} has ended: {standing.state}. {standing.note or ''}".strip())
            planned = await runs.plan_again(standing)
        else:
            assert wish is not None  # noqa: S101  there is one or the other
            planned = await runs.plan(wish)
            await _check_free(runs, planned)
        async with runs.means(planned, concurrency=concurrency, patience_s=_PATIENCE_S) as means:
            run_id = resume or (await runs.begin(planned)).experiment.id
            if not is_quiet:
                click.echo(_announced(run_id, planned), err=True)
            with measuring() as report, _interruptible(run_id):
                while True:
                    done = await runs.go_on(
                        planned, run_id, means, until=None, is_patient=True, activates=activates, report=report
                    )
                    if isinstance(done, Conclusion):
                        return done, await runs.find(run_id)
                    if done is Standstill.ENDED or (await runs.find(run_id)).state.is_end:
                        ended = await runs.find(run_id)
                        raise Conflict(f"run {run_id} was ended by another process: {ended.state}. {ended.note or ''}")
                    await asyncio.sleep(_PAUSE_S)
    finally:
        await runs.close()


@contextmanager
def _interruptible(run_id: str) -> Iterator[None]:
    """Say how to go on, where the work is broken off."""
    try:
        yield
    except asyncio.CancelledError:
        click.echo(f"What is measured stays; go on with `ponder calibrate run --resume {run_id}`.", err=True)
        raise


async def _check_free(runs: Runs, planned: RunPlan) -> None:
    """One run of a policy at a time. Raises Conflict, which says how to go on."""
    found = await runs.experiments.open_run(planned.name)
    if found is not None:
        name = found.experiment.id
        raise Conflict(
            f"policy {planned.name} is being calibrated by {name}. Go on with it by `ponder calibrate run --resume "
            f"{name}`, or end it by `ponder calibrate cancel {name}`"
        )


def _announced(run_id: str, planned: RunPlan) -> str:
    parts = (
        f"{len(each.items)} items of rule {each.bound.rule.name!r}, arms {', '.join(each.arms)}"
        for each in planned.rules
    )
    notes = "".join(f"\nNote: {note}." for note in planned.policy.ready.notes)
    return f"Run {run_id}: {'; '.join(parts)}. At most ${show(planned.cap)}.{notes}"


def _document(concluded: Conclusion, standing: ExperimentStanding) -> dict[str, Any]:
    return {
        "run": concluded.run_id,
        "policy": standing.experiment.policy,
        "state": concluded.state.value,
        "note": concluded.note,
        "spent_usd": show(standing.spent),
        "cap_usd": show(standing.experiment.cap),
        "answers_in_batches": sum(rule["answers_in_batches"] for rule in concluded.rules),
        "profile": concluded.number,
        "share": concluded.share,
        "reports": [str(file) for file in concluded.reports],
        "rules": list(concluded.rules),
    }


def _show(concluded: Conclusion, standing: ExperimentStanding) -> None:
    for said in concluded.rules:
        show_measured(said)
        if said["certified"]:
            click.echo()
            show_choice(said)
        click.echo(f"\n{in_words(said)[0].upper()}{in_words(said)[1:]}.\n")
    name = standing.experiment.policy
    click.echo(f"Spent: ${show(standing.spent)} of ${show(standing.experiment.cap)}.")
    for file in concluded.reports:
        click.echo(f"Report: {file.as_uri()}")
    if concluded.number is None:
        click.echo(f"Nothing changes for policy {name}. {'' if concluded.rules else concluded.note}".rstrip())
    elif concluded.share is not None and concluded.share < ALL:
        click.echo(
            f"Profile {name}, version {concluded.number}, is published, and tried on {concluded.share:.0%} of the "
            f"conversations. Take it back with `ponder calibrate rollback --policy {name}`."
        )
    else:
        click.echo(f"Profile {name}, version {concluded.number}, is published and in force.")


@click.command("cancel")
@click.argument("run_id", metavar="RUN")
@click.option("--reason", default="by hand", show_default=True)
def cancel(*, run_id: str, reason: str) -> None:
    """End a run that has not ended; what it measured stays, and nothing is published."""
    if not run(cancel_run(run_id, reason, now=time.time())):
        raise Conflict(f"there is no open run {run_id!r}; `ponder calibrate runs` lists those that there are")
    click.echo(f"Run {run_id} is cancelled.")


@click.command("rollback")
@click.option("--policy", required=True, help="The policy whose profile is taken back.")
@click.option("--reason", default="by hand", show_default=True, help="Stands in the audit log.")
@json_option
def rollback(*, policy: str, reason: str, as_json: bool) -> None:
    """Take back a canary, or else the profile in force: every gateway follows within two seconds."""
    now = run(roll_back(policy, reason, now=time.time()))
    if as_json:
        print_json({"policy": policy, "number": now.number, "reason": reason})
    elif now.number is None:
        click.echo(f"No profile of policy {policy} is in force now: until_certified holds.")
    else:
        click.echo(f"Profile {policy}, version {now.number}, is in force for all.")
