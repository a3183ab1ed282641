"""Choosing and reporting over a large table that is made for it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
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
        with table.open("w", encoding="utf-8") as lines:
            lines.writelines(rows(outcomes))
        command = [
            sys.executable, "-m", "gateway.cli", "calibrate", "choose", "--table", str(table), "--reference", "high",
            "--loss-at-most", "0.02", "--confidence", "0.9", "--report", str(Path(folder) / "report.html"), "--json",
        ]  # fmt: skip
        begun = time.monotonic()
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(started.pid, 0)
        wall_s = time.monotonic() - begun
        started.returncode = os.waitstatus_to_exitcode(status)
        if started.returncode:
            raise RuntimeError(f"ponder calibrate choose ended with {started.returncode}")
    return Scale(outcomes, wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / _MEGABYTE)
