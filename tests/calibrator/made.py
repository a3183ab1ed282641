"""Outcome tables made for tests: three arms whose truth is known, since it was written down here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from calibrator.tables.table import Gathering, Outcome, OutcomeTable

ARMS = {"fast": 0.05, "think": 0.3, "think-hard": 1.0}
"""Arm → what an answer costs."""
TIERS = ("easy", "medium", "hard")
LOSSES = {"fast": (0.0, 0.1, 0.3), "think": (0.0, 0.0, 0.02), "think-hard": (0.0, 0.0, 0.0)}
"""Arm → how often it is wrong where the reference is right, by tier."""


def outcomes(items: int = 900, seed: int = 5) -> Iterator[Outcome]:
    """Outcomes of that truth: a third of the items in each tier, half of them of each category."""
    random = np.random.default_rng(seed)
    for number in range(items):
        tier, category = number % 3, ("math", "code")[number // 3 % 2]
        is_known, luck = random.random() < 0.9 - 0.1 * tier, random.random()
        for arm, cost in ARMS.items():
            score = float(is_known and luck >= LOSSES[arm][tier])
            yield Outcome(f"i{number:05}", category, TIERS[tier], arm, score, cost, 1.0 + 9 * cost, 1.7e9 + number)


def table(items: int = 900, seed: int = 5) -> OutcomeTable:
    """The table of those outcomes."""
    gathering = Gathering()
    for each in outcomes(items, seed):
        gathering.add(each, "here")
    return gathering.table(ARMS)


def as_csv(items: int = 900, seed: int = 5) -> str:
    """The same as a file."""
    rows = (
        f"{each.item},{each.category},{each.difficulty},{each.arm},{each.score:g},{each.cost},"
        f"{each.latency_s},{each.observed_at:.0f}"
        for each in outcomes(items, seed)
    )
    return "\n".join(("item,category,difficulty,arm,correct,cost,latency_s,observed_at", *rows, ""))
