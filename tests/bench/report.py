"""From measurements to verdicts: medians of rounds, ratios within a round, and the page that tells them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.measures import DIRECT, JournalFigures, Memory, StreamTurn, Turn

_MIB_PER_MB = 1.048576


@dataclass(frozen=True, slots=True)
class Round:
    """Every row in turn, on one stretch of the machine's time."""

    turns: Mapping[str, Turn]
    streams: Mapping[str, StreamTurn]


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one run measured. ``absent`` tells for each row left out why."""

    machine: str
    setting: str
    versions: Mapping[str, str]
    rounds: Sequence[Round]
    memory: Memory | None = None
    journal: JournalFigures | None = None
    stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: what it is measured against, what was measured, and whether that is enough."""

    name: str
    baseline: str
    measured: float
    target: float
    unit: str
    is_lower_better: bool

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self.measured <= self.target if self.is_lower_better else self.measured >= self.target


@dataclass(frozen=True, slots=True)
class _Aim:
    name: str
    row: str
    against: str
    target: float
    unit: str
    is_lower_better: bool
    of: Callable[[Turn, Turn], float]


def _throughput(row: Turn, other: Turn) -> float:
    return row.crowd.requests_per_s / other.crowd.requests_per_s


def _added_p50(row: Turn, other: Turn) -> float:
    return row.alone.p50_ms - other.alone.p50_ms


def _added_p99(row: Turn, other: Turn) -> float:
    return row.alone.p99_ms - other.alone.p99_ms


_CROWD, _P50, _P99 = "throughput, 32 connections", "added latency p50, 1 connection", "added latency p99, 1 connection"
_AIMS = (
    _Aim(_CROWD, "gateway", "floor", 0.70, "×", False, _throughput),
    _Aim(_CROWD, "gateway", "litellm", 40, "×", False, _throughput),
    _Aim(_CROWD, "gateway", "portkey", 3, "×", False, _throughput),
    _Aim(_P50, "gateway", DIRECT, 0.6, "ms", True, _added_p50),
    _Aim(_P99, "gateway", DIRECT, 3, "ms", True, _added_p99),
    _Aim(_CROWD, "limits", "floor", 0.60, "×", False, _throughput),
    _Aim(_CROWD, "limits", "litellm", 40, "×", False, _throughput),
    _Aim(_P50, "limits", DIRECT, 0.7, "ms", True, _added_p50),
    _Aim(_CROWD, "redis", "floor", 0.35, "×", False, _throughput),
    _Aim(_P50, "redis", DIRECT, 1.2, "ms", True, _added_p50),
    _Aim(_CROWD, "auto", "floor", 0.30, "×", False, _throughput),
)


def median_over(rounds: Sequence[Round], row: str, against: str, of: Callable[[Turn, Turn], float]) -> float | None:
    """The median of a comparison made within each round; None where no round has both rows."""
    pairs = [(part.turns[row], part.turns[against]) for part in rounds if row in part.turns and against in part.turns]
    return statistics.median(of(one, other) for one, other in pairs) if pairs else None


def verdicts(findings: Findings) -> list[Verdict]:
    """Every target that this run measured."""
    judged = []
    for aim in _AIMS:
        measured = median_over(findings.rounds, aim.row, aim.against, aim.of)
        if measured is not None:
            name = aim.name if aim.row == "gateway" else f"{aim.row}: {aim.name}"
            judged.append(Verdict(name, aim.against, measured, aim.target, aim.unit, aim.is_lower_better))
    judged += _stream_verdicts(findings.rounds)
    if findings.memory is not None:
        judged += _memory_verdicts(findings.memory)
    if findings.journal is not None:
        judged += _journal_verdicts(findings.journal)
    starts = [part.turns["gateway"].start_s for part in findings.rounds if "gateway" in part.turns]
    if starts:
        judged.append(Verdict("start to first answer", "fresh home", statistics.median(starts), 2.5, "s", True))
    return judged


def _stream_verdicts(rounds: Sequence[Round]) -> list[Verdict]:
    pairs = [
        (part.streams["gateway"].steady, part.streams[DIRECT].steady)
        for part in rounds
        if "gateway" in part.streams and DIRECT in part.streams
    ]
    if not pairs:
        return []
    lateness = statistics.median(through.lateness.p99_ms for through, _ in pairs)
    added = statistics.median(through.first_byte.p50_ms - direct.first_byte.p50_ms for through, direct in pairs)
    broken = sum(through.broken for through, _ in pairs)
    return [
        Verdict("256 streams, chunk lateness p99", "the mock's schedule", lateness, 50, "ms", True),
        Verdict("256 streams, first byte added p50", DIRECT, added, 3, "ms", True),
        Verdict("256 streams, broken", "none", broken, 0, "", True),
    ]


def _memory_verdicts(memory: Memory) -> list[Verdict]:
    after = f"after {memory.first_requests:,} requests"
    growth = 100 * (memory.second_mib / memory.first_mib - 1)
    return [
        Verdict(
            "resident memory of one worker, with its classifier", after, memory.first_mib * _MIB_PER_MB, 190, "MB", True
        ),
        Verdict("its growth", f"{after} to {memory.second_requests:,}", growth, 5, "%", True),
        Verdict(
            "requests missing from the log",
            f"{memory.second_requests:,} answered",
            max(0, memory.second_requests - memory.logged),
            0,
            "",
            True,
        ),
    ]


def _journal_verdicts(journal: JournalFigures) -> list[Verdict]:
    size = f"{journal.bytes_per_request:.0f} bytes per request"
    return [
        Verdict("journal, entries written per second", size, journal.entries_per_s, 20_000, "", False),
        Verdict("journal, requests moved per second", "SQLite", journal.sqlite_rows_per_s, 5_000, "", False),
        Verdict("journal, requests moved per second", "PostgreSQL", journal.postgresql_rows_per_s, 5_000, "", False),
    ]


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns after the first are aligned to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if position == 0 else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * width if position == 0 else "-" * (width - 1) + ":" for position, width in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, lines)])


def _figure(value: float) -> str:
    """Three significant digits, or every digit of a number above a thousand."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _verdict_table(judged: Sequence[Verdict]) -> str:
    lines = [
        [
            verdict.name,
            verdict.baseline,
            f"{_figure(verdict.measured)} {verdict.unit}".strip(),
            f"{'≤' if verdict.is_lower_better else '≥'} {verdict.target:g} {verdict.unit}".strip(),
            "met" if verdict.is_met else "MISSED",
        ]
        for verdict in judged
    ]
    return table(["target", "against", "measured", "wanted", "verdict"], lines)


def _row_table(rounds: Sequence[Round]) -> str:
    names = list(dict.fromkeys(name for part in rounds for name in part.turns))

    def middle(name: str, of: Callable[[Turn], float], form: str) -> str:
        return format(statistics.median(of(part.turns[name]) for part in rounds if name in part.turns), form)

    lines = []
    for name in names:
        to_floor = median_over(rounds, name, "floor", _throughput)
        lines.append(
            [
                name,
                middle(name, lambda turn: turn.crowd.requests_per_s, ",.0f"),
                "" if to_floor is None else f"{to_floor:.3g}",
                middle(name, lambda turn: turn.crowd.p50_ms, ".2f"),
                middle(name, lambda turn: turn.crowd.p99_ms, ".2f"),
                middle(name, lambda turn: turn.alone.p50_ms, ".3f"),
                middle(name, lambda turn: turn.alone.p99_ms, ".3f"),
                middle(name, lambda turn: turn.cpu_us, ",.0f"),
                middle(name, lambda turn: 100 * turn.core_share, ".0f"),
                middle(name, lambda turn: turn.resident_mib * _MIB_PER_MB, ".0f"),
                middle(name, lambda turn: turn.start_s, ".2f"),
            ]
        )
    head = (
        "row,req/s at 32,× floor,p50 ms at 32,p99 ms at 32,p50 ms at 1,p99 ms at 1,CPU µs/req,% of core,RSS MB,start s"
    )
    return table(head.split(","), lines)


def _stream_table(rounds: Sequence[Round]) -> str:
    names = list(dict.fromkeys(name for part in rounds for name in part.streams))
    lines = []
    for name in names:
        for shape in ("steady", "burst"):
            runs = [getattr(part.streams[name], shape) for part in rounds if name in part.streams]
            cells = [
                statistics.median(getattr(getattr(run, part), figure) for run in runs)
                for part, figure in (
                    ("lateness", "p50_ms"),
                    ("lateness", "p99_ms"),
                    ("lateness", "max_ms"),
                    ("mock_lag", "p99_ms"),
                    ("first_byte", "p50_ms"),
                    ("first_byte", "p99_ms"),
                )
            ]
            counts = [f"{sum(run.streams for run in runs):,}", str(sum(run.broken for run in runs))]
            lines.append([f"{name}, {shape}", *counts, *(f"{cell:.2f}" for cell in cells)])
    head = (
        "row,streams,broken,late p50 ms,late p99 ms,late max ms,the mock's part p99 ms,"
        "first byte p50 ms,first byte p99 ms"
    )
    return table(head.split(","), lines)


def _stage_table(stages: Mapping[str, Mapping[str, float]]) -> str:
    """One column per server, the stages in the order of what they cost the last one."""
    *_, last = stages.values()
    names = sorted({stage for costs in stages.values() for stage in costs}, key=lambda stage: -last.get(stage, 0.0))
    lines = [[name, *(f"{costs[name]:.1f}" if name in costs else "" for costs in stages.values())] for name in names]
    total = ["total", *(f"{sum(costs.values()):.1f}" for costs in stages.values())]
    return table(["stage, CPU µs per request", *stages], [*lines, total])


def page(findings: Findings) -> str:
    """The whole report in Markdown."""
    parts = ["# What the gateway itself costs", findings.machine, findings.setting]
    judged = verdicts(findings)
    if judged:
        parts += ["## Targets", _verdict_table(judged)]
    if any(part.turns for part in findings.rounds):
        parts += [
            "## Rows",
            _ROW_NOTE,
            _row_table(findings.rounds),
        ]
    if any(part.streams for part in findings.rounds):
        parts += ["## Streams", _STREAM_NOTE, _stream_table(findings.rounds)]
    if findings.memory is not None:
        parts += ["## Memory of one worker", _memory_line(findings.memory)]
    if findings.stages:
        parts += ["## CPU of one request by stage", _STAGE_NOTE, _stage_table(findings.stages)]
    parts += ["## Versions", "\n".join(f"- {row}: {version}" for row, version in findings.versions.items())]
    if findings.absent:
        parts += ["## Not measured", "\n".join(f"- {row}: {reason}" for row, reason in findings.absent.items())]
    return "\n\n".join(parts) + "\n"


_ROW_NOTE = (
    "Medians over the rounds; ratios are taken within a round first. *% of core* is how much of its core the server "
    "got at 32 connections: a saturated server that got much less than 100 was disturbed by other work on the machine."
)
_STREAM_NOTE = (
    "256 connections, each asking for the next stream when one ends; 50 chunks 20 ms apart. *steady*: the first ones "
    "begin spread over one second; *burst*: all at the same instant. Lateness is arrival at the client behind the "
    "mock's schedule, over every chunk."
)
_STAGE_NOTE = (
    "Sampled inside the servers under the load of 32 connections; the sum is the process's whole CPU time, the "
    "sampler's own included. Work in C counts for the Python code that called it, or that runs next. *bare* is what "
    "the same HTTP server and client cost with nothing between them."
)


def _memory_line(memory: Memory) -> str:
    return (
        f"{memory.idle_mib * _MIB_PER_MB:.1f} MB after its first answer, "
        f"{memory.first_mib * _MIB_PER_MB:.1f} MB after {memory.first_requests:,} requests, "
        f"{memory.second_mib * _MIB_PER_MB:.1f} MB after {memory.second_requests:,}, "
        f"when the database held {memory.logged:,} records."
    )
