"""The page ``docs/results/calibration.md`` with its charts."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calibrator.comparison import Resplits, Standing
from calibrator.guard import Action
from calibrator.stats.results import Interval
from calibrator.trial import Question
from gateway.http.dashboard.charts import Point, accuracy_by_cost, standalone
from tests.bench.__main__ import machine
from tests.bench_calibration.replaying import Replays
from tests.bench_calibration.scale import Scale
from tests.bench_calibration.stored import Stored
from tests.bench_calibration.temporal import NOTE, Fate


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


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the page tells. What was not measured is empty."""

    measured: Sequence[Measured]
    scale: Scale | None = None
    stored: Sequence[Stored] = ()
    replays: Sequence[Replays] = ()
    fates: Sequence[Fate] = ()


def write(findings: Findings, into: Path) -> None:
    """Write the page and its charts."""
    measured = findings.measured
    into.mkdir(parents=True, exist_ok=True)
    charts: list[str] = []
    for number, group in enumerate(_tables(measured), 1):
        name = f"calibration-{number}.svg"
        (into / name).write_text(standalone(_chart(group)), "utf-8")
        charts.append(f"![{group[0].name}]({name})\n")
    (into / "calibration.md").write_text(page(findings, charts), "utf-8")


def page(findings: Findings, charts: Sequence[str]) -> str:
    """The page; ``charts`` are the lines that show them."""
    measured, scale = findings.measured, findings.scale
    first = measured[0]
    head = _HEAD.format(
        machine=machine(),
        python=platform.python_version(),
        numpy=importlib.metadata.version("numpy"),
        scipy=importlib.metadata.version("scipy"),
        runs=first.found.runs,
        risk=1 - first.question.target.confidence,
    )
    parts = [head, "## Targets\n", _targets(findings), "## Calibrated\n", _grid(_COLUMNS, map(_row, measured))]
    for group, chart in zip(_tables(measured), charts, strict=True):
        parts += [f"## Beside what needs no calibration: {group[0].name}\n", chart, _controls(group)]
    if findings.replays:
        parts += ["## Replays\n", _REPLAYS.format(runs=findings.replays[0].runs), _replays(findings.replays)]
    if findings.fates:
        parts += ["## Deployed later, under the guard\n", NOTE, _grid(_FATES, map(_fate, findings.fates))]
    if scale is not None:
        parts += ["## Scale\n", _scale(scale)]
    if findings.stored:
        parts += ["### From databases\n", _stored(findings.stored)]
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


_FATES: Final = (
    "table",
    "loss at most",
    "loss on the newer half",
    "rules",
    "mean loss: older half",
    "newer half",
    "withdrawn",
    "promoted",
    "undecided",
    "requests until then",
)


def _fate(one: Fate) -> tuple[str, ...]:
    ended = (f"{one.ended.get(action, 0)}" for action in (Action.WITHDRAW, Action.PROMOTE, Action.WAIT))
    losses = f"{one.older_loss:+.4f}", f"{one.newer_loss:+.4f}"
    return (one.name, f"{one.target:g}", one.span, f"{one.count}", *losses, *ended, f"{one.requests:,.0f}")


def between(found: Interval) -> str:
    """An estimate with its interval."""
    return f"{found.estimate:.3f} ({found.lower:.3f} to {found.upper:.3f})"


def _targets(findings: Findings) -> str:
    scale = findings.scale
    rows: list[tuple[str, ...]] = []
    for one in findings.measured[:2]:
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
    for stored in findings.stored:
        rows += _within(f"choosing and reporting from {stored.database}", stored.choosing)
        rows += _within(f"replaying from {stored.database}", stored.replaying)
    told = [each for each in findings.replays if not each.is_doubted]
    if told:
        error = max(each.modelled for each in told)
        rows.append(("replay, largest error where the log can tell", "≤ 0.04", f"{error:.4f}", _met(error <= 0.04)))
    if findings.fates:
        beyond = [each for each in findings.fates if each.is_beyond]
        count, promoted = sum(each.count for each in beyond), sum(each.ended.get(Action.PROMOTE, 0) for each in beyond)
        name = f"rules that lose more than the target on later items ({count}): promoted by the guard"
        rows.append((name, "0", f"{promoted}", _met(not promoted)))
    return _grid(("target", "wanted", "measured", ""), rows)


def _within(name: str, scale: Scale) -> list[tuple[str, ...]]:
    return [
        (f"{name}, {scale.outcomes:,}: time", "≤ 60 s", f"{scale.wall_s:.1f} s", _met(scale.wall_s <= 60)),
        (f"{name}: memory", "≤ 1 GB", f"{scale.peak_mb:.0f} MB", _met(scale.peak_mb <= 1_000)),
    ]


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


_REPLAYS: Final = """Requests drawn from the code table, answered under a policy that explores, and replayed under \
another, {runs} times each. Both name the arms for easy, medium and hard problems (`low`, `medium`, `high` effort).
*Error* is the root mean squared error of the accuracy against the whole table; *covered*, how often the 90% interval
of the modelled estimate held the truth; *doubted*, how often the replay itself said that the log cannot tell.
"""


def _replays(replays: Sequence[Replays]) -> str:
    head = (
        "logged", "replayed", "explored", "requests", "truth", "effective", "error, weighted", "error, modelled",
        "bias", "covered", "doubted",
    )  # fmt: skip
    rows = (
        (
            " ".join(each.contest.logged),
            " ".join(each.contest.replayed),
            f"{each.contest.explore:.0%}",
            f"{each.contest.requests:,}",
            f"{each.truth:.3f}",
            f"{each.effective_sample_size:.0f}",
            f"{each.weighted:.4f}",
            f"{each.modelled:.4f}",
            f"{each.bias:+.4f}",
            f"{each.covered:.0%}",
            f"{each.doubted:.0%}",
        )
        for each in replays
    )
    return _grid(head, rows)


def _stored(stored: Sequence[Stored]) -> str:
    rows = (
        (
            command,
            each.database,
            f"{scale.outcomes:,}",
            f"{scale.wall_s:.1f} s",
            f"{scale.processor_s:.1f} s",
            f"{scale.peak_mb:.0f} MB",
        )
        for each in stored
        for command, scale in (
            ("`ponder calibrate choose --run --report`, of outcomes", each.choosing),
            ("`ponder policy replay`, of decisions that are all unlike", each.replaying),
        )
    )
    note = "\nMemory is that of all processes of the command. One round each, with whatever else the machine did.\n"
    return _grid(("command", "database", "rows", "time", "of the cores", "memory"), rows) + note


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
