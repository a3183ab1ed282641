"""Choosing and reporting over a large table that is made for it, in processes of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

_ARMS: Final = (("low", 0.041, 0.03), ("medium", 0.15, 0.01), ("high", 0.406, 0.0))
"""The arms, what they cost, and how much more seldom they are right on each step of difficulty."""
_TIERS: Final = ("easy", "medium", "hard")
_CATEGORIES: Final = ("math", "code", "logic", "knowledge")
_MEGABYTE: Final = 1_024
"""In the kilobytes that Linux counts."""
_LOOK_S: Final = 0.1
PROMISE: Final = ("--reference", "high", "--loss-at-most", "0.02", "--confidence", "0.9")


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how much memory one run took; ``processor_s`` is what it had of the machine."""

    outcomes: int
    wall_s: float
    processor_s: float
    peak_mb: float


def rows(outcomes: int, seed: int = 1) -> Iterator[str]:
    """The lines of a table of so many outcomes: made by chance, and only good for measuring time and memory."""
    random = np.random.default_rng(seed)
    yield "item,category,difficulty,arm,correct,cost,latency_s,observed_at\n"
    for item in range(outcomes // len(_ARMS)):
        tier = int(random.integers(len(_TIERS)))
        luck = float(random.random())
        category = _CATEGORIES[item % len(_CATEGORIES)]
        for arm, cost, worse in _ARMS:
            is_right = luck < 0.95 - 0.2 * tier - worse * tier
            yield f"item-{item},{category},{_TIERS[tier]},{arm},{is_right:d},{cost},1.5,2026-01-01T00:00:00Z\n"


def measure_scale(outcomes: int, rounds: int = 3) -> Scale:
    """Choose and report over so many outcomes, as a user would: the round that other work disturbed least."""
    found = [_round(outcomes) for _ in range(rounds)]
    return max(found, key=lambda each: each.processor_s / each.wall_s)


def _round(outcomes: int) -> Scale:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "outcomes.csv"
        write_table(table, outcomes)
        found, _ = timed(
            ["calibrate", "choose", "--table", str(table), *PROMISE, "--report", str(Path(folder) / "report.html")],
            outcomes,
            os.environ,
        )
    return found


def write_table(file: Path, outcomes: int) -> None:
    """A table of so many outcomes."""
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(rows(outcomes))


def timed(arguments: Sequence[str], size: int, environment: Mapping[str, str]) -> tuple[Scale, str]:
    """Run ``ponder`` with ``--json``: how long it took, with how much memory of all its processes, and its words."""
    command = [sys.executable, "-m", "gateway.cli", *arguments, "--json"]
    with tempfile.TemporaryFile() as printed:
        begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        started = subprocess.Popen(command, stdout=printed, env=environment)
        peak = 0
        while started.poll() is None:
            peak = max(peak, _memory(started.pid))
            time.sleep(_LOOK_S)
        wall_s, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        if started.returncode:
            raise RuntimeError(f"ponder {' '.join(arguments[:2])} ended with {started.returncode}")
        printed.seek(0)
        said = printed.read().decode()
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Scale(size, wall_s, used, peak / _MEGABYTE), said


def _memory(process: int) -> int:
    """What a process and those it started hold of memory, in kilobytes; shared pages count for each."""
    folder = Path("/proc") / str(process)
    try:
        status = (folder / "status").read_text()
        children = (folder / "task" / str(process) / "children").read_text().split()
    except OSError:
        return 0  # it has ended
    own = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
    return own + sum(_memory(int(child)) for child in children)
