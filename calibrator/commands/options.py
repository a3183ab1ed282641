"""Options that several commands of ``ponder calibrate`` take: which outcomes, and what is promised of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from calibrator.choose import Scope
from calibrator.commands.progress import counted
from calibrator.commands.stored import outcomes
from calibrator.tables.reading import FORMS, read_table
from calibrator.tables.results import Said
from calibrator.tables.table import OutcomeTable
from gateway.errors import ConfigurationError

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _File(click.ParamType[tuple[str | None, Path]]):
    """``FILE``, or ``ARM=FILE`` where the file does not say whose answers it holds."""

    name = "[ARM=]file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, Path]:
        if isinstance(value, tuple):
            return value
        whole = Path(str(value))
        arm, is_named, path = str(value).rpartition("=")
        if whole.is_file() or not is_named:
            found: tuple[str | None, Path] = (None, whole)
        else:
            found = (arm, Path(path))
        if not found[1].is_file():
            self.fail(f"{str(found[1])!r} is no file", param, ctx)
        return found


class _Cost(click.ParamType[tuple[str, float]]):
    """``ARM=NUMBER``."""

    name = "arm=number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        arm, _, given = str(value).rpartition("=")
        try:
            number = float(given)
        except ValueError:
            number = -1.0
        if not arm or not 0 <= number < float("inf"):
            self.fail(f"{value!r} is no cost such as ARM=0.041", param, ctx)
        return arm, number


_TABLE = (
    click.option(
        "--table", "files", type=_File(), multiple=True, metavar="[ARM=]FILE",
        help=f"Outcomes: {FORMS}. May be repeated.",
    ),
    click.option("--arm", "arms", multiple=True, help="Take these arms alone; may be repeated."),
    click.option(
        "--cost", "costs", type=_Cost(), multiple=True, metavar="ARM=NUMBER",
        help="What an answer of an arm costs, instead of what the file says. May be repeated.",
    ),
    click.option("--category", help="For result files that say none."),
    click.option("--difficulty", help="For result files that say none."),
    click.option("--metric", help="Of lm-evaluation-harness, where there are several."),
    click.option("--filter", "filter_", help="Of lm-evaluation-harness, where there are several."),
    click.option("--graded", "is_graded", is_flag=True, help="Scores may lie between 0 and 1, though none here does."),
)  # fmt: skip


def file_options(command: _Command) -> _Command:
    """Add the options that say which files of outcomes are read; the command hands them to :func:`table`."""
    for option in reversed(_TABLE):
        command = option(command)
    return command


def table_options(command: _Command) -> _Command:
    """Add those of :func:`file_options`, and the one for a run in the database."""
    return click.option("--run", help="Take the outcomes of this run: `ponder calibrate runs`.")(file_options(command))


_PROMISE = (
    click.option("--reference", help="The arm that the loss is measured against."),
    click.option("--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Such as 0.9."),
    click.option(
        "--scope", type=click.Choice([each.value for each in Scope]),
        help="What the promise speaks of: all traffic, which is the default, or every cell.",
    ),
)  # fmt: skip


def promise_options(command: _Command) -> _Command:
    """Add the options that say what is promised, but for the loss."""
    for option in reversed(_PROMISE):
        command = option(command)
    return command


def table(given: dict[str, Any], arms: Sequence[str] = ()) -> OutcomeTable:
    """The table that the options ask for, with the ``arms`` if the caller did not name any."""
    wanted = tuple(given["arms"] or arms)
    run_id = given.get("run")
    if bool(given["files"]) == bool(run_id):
        raise click.UsageError("give either files by --table, or --run" if "run" in given else "give files by --table")
    if run_id:
        found = outcomes(run_id, wanted)
        found = found.with_costs(dict(given["costs"])) if given["costs"] else found
    else:
        said = Said(
            category=given["category"],
            difficulty=given["difficulty"],
            costs=dict(given["costs"]),
            metric=given["metric"],
            filter=given["filter_"],
        )
        with counted(None, "outcomes") as advance:
            found = read_table(given["files"], arms=wanted, said=said, advance=advance)
    if found.left_out:
        click.echo(
            f"{found.left_out} of {found.left_out + len(found.items)} items have no outcome of some arm and are "
            "left out; nothing is imputed",
            err=True,
        )
    return found


def needed(value: Any, option: str) -> Any:
    """A value that neither the caller nor a policy gave is refused."""
    if value is None:
        raise ConfigurationError(f"{option} is needed: give it, or --policy and --rule, which say it")
    return value
