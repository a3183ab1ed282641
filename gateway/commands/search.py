"""``ponder search``: strategies on recorded chains."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gateway.commands.output import json_option, print_json, print_rows
from gateway.errors import ConfigurationError
from gateway.search import configure
from gateway.search.parameters import AUTO
from gateway.search.replay import check, check_strategy, read_items, verifier_of
from gateway.search.replay_report import Estimate, Report, document, measure, measure_conformal
from gateway.search.schedule import Schedule
from gateway.search.stopping import Stop
from gateway.search.vote import Vote


class _Samples(click.ParamType[int | str]):
    """A number of draws, or ``auto``."""

    name = "samples"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if str(value) == AUTO:
            return AUTO
        if not str(value).isdecimal():
            self.fail(f"{value!r} is neither a whole number nor {AUTO}", param, ctx)
        return int(value)


@click.group()
def search() -> None:
    """Searches over several answers of a model."""


@search.command()
@click.argument("traces", metavar="TRACES", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--strategy", default="vote", show_default=True, help="greedy, vote or best_of_n.")
@click.option("--samples", type=_Samples(), help="How many chains of each problem may be drawn.")
@click.option("--schedule", type=click.Choice([each.value for each in Schedule]), help="When they are launched.")
@click.option("--stop", type=click.Choice([each.value for each in Stop]), help="When a vote is decided.")
@click.option("--confidence", type=float, help="The level of the stopping rule.")
@click.option("--error", type=float, help="The error target of --stop conformal; its level is calibrated for it.")
@click.option("--weighted", is_flag=True, default=None, help="Count each chain by its recorded score.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first order of the chains.")
@click.option("--orders", type=click.IntRange(1, 1000), default=20, show_default=True, help="Orders to average over.")
@json_option
def replay(
    *, traces: Path, strategy: str, error: float | None, seed: int, orders: int, as_json: bool, **given: Any
) -> None:
    """Run a strategy on recorded chains: accuracy and tokens beside the majority of all of them.

    Each line of TRACES (.gz too) is a JSON object with `id`, `gold` and `traces`, a list of objects with
    `answer` or `text`, `tokens`, `correct` and, where a verifier scored it, `prm_score`.
    """
    known = {name: value for name, value in given.items() if value is not None}
    check_strategy(strategy)
    config = configure(strategy, known)
    items = read_items(lines_of(traces), traces.name)
    check(strategy, config, items)
    verifier, seeds = verifier_of(items), range(seed, seed + orders)
    is_conformal = isinstance(config, Vote) and config.stop is Stop.CONFORMAL
    if is_conformal != (error is not None):
        raise ConfigurationError("--stop conformal and --error belong together, for a vote")
    if isinstance(config, Vote) and error is not None:
        report = measure_conformal(items, config, seeds, verifier, error)
    else:
        report = measure(items, strategy, config, seeds, verifier)
    if as_json:
        print_json({"strategy": strategy, "parameters": known, "seed": seed, **document(report)})
    else:
        _print(report, strategy)


def lines_of(file: Path) -> Iterator[str]:
    """The lines of a file of traces, compressed if its name ends in .gz. Raises ConfigurationError."""
    try:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
            yield from lines
    except (OSError, EOFError, UnicodeDecodeError) as fault:
        raise ConfigurationError(f"{file.name} cannot be read: JSON lines in UTF-8 are expected") from fault


def _print(report: Report, strategy: str) -> None:
    columns = ("", "accuracy", "tokens", "draws", "tokens in a row")
    rows = [
        {
            "": name,
            "accuracy": _share(figures.accuracy),
            "tokens": f"{figures.tokens:.0f}",
            "draws": f"{figures.draws:.2f}",
            "tokens in a row": f"{figures.span:.0f}",
        }
        for name, figures in ((strategy, report.strategy), ("majority of all", report.majority))
    ]
    print_rows(columns, rows, title=f"{report.problems} problems, {report.orders} orders of each")
    points, share = report.points, report.token_share
    click.echo(f"accuracy {points.value:+.2f} points ({points.low:+.2f} to {points.high:+.2f})")
    click.echo(f"tokens ×{share.value:.3f} ({share.low:.3f} to {share.high:.3f})")
    if report.levels:
        click.echo(f"levels calibrated on each half: {', '.join(f'{level:.2f}' for level in report.levels)}")


def _share(each: Estimate) -> str:
    return f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%})"
