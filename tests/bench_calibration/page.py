"""The page ``docs/results/calibration.md`` with its charts."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calibrator.comparison import Resplits, Standing
from calibrator.report.charts import Point, accuracy_by_cost, standalone
from calibrator.stats.results import Interval
from calibrator.trial import Question
from tests.bench.__main__ import machine
from tests.bench_calibration.scale import Scale


@dataclass(frozen=True, slots=True)
class Measured:
    """A question, and what came of asking it with labels drawn anew each time."""

    name: str
    question: Question
    found: Resplits
    processor_s: float


_WANTED: Final = {0.02: 0.50, 0.03: 0.40}
"""The mean relative cost that the code table is to stay below, by target."""
_HEAD: Final = """# What certified choices cost and lose

Written by `make bench-calibration`; do not edit. {machine}.
Python {python}, numpy {numpy}, scipy {scipy}.

Each row is {runs} calibrations of one recorded table. Every one of them labels other items, drawn at random,
chooses, and is judged by *all* items of the table: a *violation* is a true loss beyond the target, and at most
{risk:.0%} are promised. Costs are shares of what the reference arm costs. Intervals are 95%.
The tables are recorded answers of real models and no part of this repository; `PONDER_DATA` names their folder.
"""
_NOTES: Final = """## What these figures do not say

- The items of a table are one sample of some traffic. The promise is for traffic like it; a *violation* here is
  measured against the table, whose own mean differs from that of the traffic by chance.
- Labels are drawn without putting them back, which makes the true error smaller than for independent draws.
- A confidence of 0.9 means that one calibration in ten may break the promise. The largest loss that occurred is given.
- Where a static arm costs less than the calibrated rule and loses less than the target, calibrating did not pay on this
  table: whoever knew that beforehand would have chosen that arm. The labels are what it takes to know it.
- The oracle reads every answer before it chooses, and profits from single answers' luck. Nothing can reach it.
- `each cell` promises the loss in every category and difficulty, by a share of the risk each. With few labels in each
  cell that buys little.
- Knowledge questions have no difficulty, so 40% of the labels set the order and are not tested with.
"""


def write(measured: Sequence[Measured], scale: Scale | None, into: Path) -> None:
    """Write the page and its charts."""
    into.mkdir(parents=True, exist_ok=True)
    charts: list[str] = []
    for number, group in enumerate(_tables(measured), 1):
        name = f"calibration-{number}.svg"
        (into / name).write_text(standalone(_chart(group)), "utf-8")
        charts.append(f"![{group[0].name}]({name})\n")
    (into / "calibration.md").write_text(page(measured, scale, charts), "utf-8")


def page(measured: Sequence[Measured], scale: Scale | None, charts: Sequence[str]) -> str:
    """The page; ``charts`` are the lines that show them."""
    first = measured[0]
    head = _HEAD.format(
        machine=machine(),
        python=platform.python_version(),
        numpy=importlib.metadata.version("numpy"),
        scipy=importlib.metadata.version("scipy"),
        runs=first.found.runs,
        risk=1 - first.question.target.confidence,
    )
    parts = [head, "## Targets\n", _targets(measured, scale), "## Calibrated\n", _grid(_COLUMNS, map(_row, measured))]
    for group, chart in zip(_tables(measured), charts, strict=True):
        parts += [f"## Beside what needs no calibration: {group[0].name}\n", chart, _controls(group)]
    if scale is not None:
        parts += ["## Scale\n", _scale(scale)]
    return "\n".join([*parts, _NOTES])


_COLUMNS: Final = (
    "table",
    "loss at most",
    "labels",
    "violations",
    "largest loss",
    "mean loss",
    "relative cost",
    "changed",
)


def _row(one: Measured) -> tuple[str, ...]:
    found = one.found
    return (
        one.name,
        f"{one.question.target.loss_at_most:g}",
        f"{found.mean_labels:,.0f}",
        between(found.violations),
        f"{found.worst_loss:+.4f}",
        f"{found.mean_loss:+.4f}",
        between(found.mean_cost),
        f"{found.changed:.0%}",
    )


def between(found: Interval) -> str:
    """An estimate with its interval."""
    return f"{found.estimate:.3f} ({found.lower:.3f} to {found.upper:.3f})"


def _targets(measured: Sequence[Measured], scale: Scale | None) -> str:
    rows = []
    for one in measured[:2]:
        target = one.question.target
        wanted = _WANTED[target.loss_at_most]
        cost, broken = one.found.mean_cost.estimate, one.found.violations.estimate
        risk = round(1 - target.confidence, 12)
        name = f"{one.name}, loss at most {target.loss_at_most:g}"
        rows.append((f"{name}: relative cost", f"≤ {wanted:g}", f"{cost:.3f}", _met(cost <= wanted)))
        rows.append((f"{name}: violations", f"≤ {risk:g}", f"{broken:.3f}", _met(broken <= risk)))
    if scale is not None:
        name = f"choosing and reporting over {scale.outcomes:,} outcomes"
        rows.append((f"{name}: time", "≤ 60 s", f"{scale.wall_s:.1f} s", _met(scale.wall_s <= 60)))
        rows.append((f"{name}: memory", "≤ 1 GB", f"{scale.peak_mb:.0f} MB", _met(scale.peak_mb <= 1_000)))
    return _grid(("target", "wanted", "measured", ""), rows)


def _met(is_met: bool) -> str:
    return "met" if is_met else "**MISSED**"


def _tables(measured: Sequence[Measured]) -> list[list[Measured]]:
    """The questions whose baselines are shown: those that share a table, with its costs, asked in the plain way."""
    groups: dict[str, list[Measured]] = {}
    for one in measured:
        groups.setdefault(one.question.table.digest, []).append(one)
    return list(groups.values())


def _controls(group: Sequence[Measured]) -> str:
    first = group[0]
    shown = [
        *(_calibrated(one) for one in group if one.name == first.name),
        *first.found.controls,
    ]
    reference = float(first.question.table.scores[:, first.question.reference].mean())
    rows = (
        (each.name, f"{reference - each.loss:.1%}", f"{100 * each.loss:+.2f}", f"{each.relative_cost:.3f}")
        for each in shown
    )
    note = f"\nThe random controls cost as much as the first row's runs: {first.found.mean_cost.estimate:.3f}.\n"
    return _grid(("", "accuracy", "loss, points", "relative cost"), rows) + note


def _calibrated(one: Measured) -> Standing:
    target, found = one.question.target.loss_at_most, one.found
    name = f"calibrated, at most {target:g}, {found.mean_labels:,.0f} labels"
    return Standing(name, found.mean_loss, found.mean_cost.estimate, len(one.question.table.items))


def _chart(group: Sequence[Measured]) -> str:
    first = group[0]
    reference = float(first.question.table.scores[:, first.question.reference].mean())
    calibrated = [_calibrated(one) for one in group if one.name == first.name]
    shown = [*calibrated, *first.found.controls]
    points = [
        Point(
            each.name.partition(":")[0] if each.name.startswith("oracle") else each.name.removeprefix("always "),
            each.relative_cost, *(3 * (reference - each.loss,)),
            is_chosen=each in calibrated, is_reference=not each.loss and each.relative_cost == 1,
        )
        for each in shown
    ]  # fmt: skip
    return accuracy_by_cost(first.name, points, is_curve=False)


def _scale(scale: Scale) -> str:
    rows = [
        ("outcomes, 3 arms in 12 cells, made by chance", f"{scale.outcomes:,}"),
        ("time, from start to the written report", f"{scale.wall_s:.1f} s"),
        ("of a core, which other work may have shared", f"{scale.processor_s:.1f} s"),
        ("memory at its peak", f"{scale.peak_mb:.0f} MB"),
    ]
    note = "\nThe least disturbed of three rounds.\n"
    return _grid(("`ponder calibrate choose --report`", ""), rows) + note


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
