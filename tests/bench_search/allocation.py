"""Adaptive allocation tuned on the validation split: which arm each difficulty gets.

Best-of-N that stops at a good score is replayed on the draws of one full run (``uniform 16``), whose seeds it would
draw with: so a whole grid of sizes and levels is compared without drawing again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import fsum
from typing import Final

from tests.bench_search.arms import ARMS, Arm, best_of
from tests.bench_search.attempts import Attempt, Draw
from tests.bench_search.figures import totals

SAMPLES: Final = (1, 2, 3, 4, 6, 8, 12, 16)
LEVELS: Final = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True, slots=True)
class Option:
    """A way to answer, with what it did on the validation problems of one difficulty.

    ``right`` and ``tokens`` are these problems' part of the mix's mean.
    """

    name: str
    arm: Arm
    right: float
    tokens: float


def until(draws: Sequence[Draw], samples: int, accept: float) -> tuple[bool, int]:
    """Whether best-of-N that stops at a score of ``accept`` is right, drawing in turn, and its tokens."""
    tokens = 0
    seen: list[Draw] = []
    for draw in draws[:samples]:
        tokens += draw.tokens + draw.read
        seen.append(draw)
        if draw.score is not None and draw.score >= accept:
            break
    scored = [draw for draw in seen if draw.score is not None]
    return bool(scored and max(scored, key=lambda draw: draw.score or 0.0).is_right), tokens


def options(
    measured: Mapping[str, Sequence[Attempt]], full: Sequence[Attempt], weights: Sequence[float]
) -> list[Option]:
    """All that is compared for one difficulty: arms that were measured, and what full runs of them tell.

    ``weights`` are the shares that each of the problems stands for in the mix.
    """
    found = [
        Option(
            arm,
            ARMS[arm],
            weighted(weights, [attempt.is_right for attempt in attempts]),
            weighted(weights, [totals(attempt).both for attempt in attempts]),
        )
        for arm, attempts in measured.items()
    ]
    for samples, accept in product(SAMPLES, LEVELS):
        each = [until(attempt.draws, samples, accept) for attempt in full]
        found.append(
            Option(
                f"best of {samples}, until {accept}",
                best_of(samples, accept=accept, schedule="sequential"),
                weighted(weights, [right for right, _ in each]),
                weighted(weights, [tokens for _, tokens in each]),
            )
        )
    return found


def weighted(weights: Sequence[float], values: Sequence[float]) -> float:
    """The weighted sum."""
    return fsum(weight * value for weight, value in zip(weights, values, strict=True))


def allocate(by_difficulty: Mapping[str, Sequence[Option]], least: float) -> dict[str, Option]:
    """The options with the fewest tokens for the mix that are right so often on it; else those most often right."""
    useful = [_frontier(each) for each in by_difficulty.values()]

    def of_mix(chosen: tuple[Option, ...]) -> tuple[float, float]:
        return sum(option.right for option in chosen), sum(option.tokens for option in chosen)

    ranked = [(of_mix(chosen), chosen) for chosen in product(*useful)]
    enough = [each for each in ranked if each[0][0] >= least]
    _, best = min(enough, key=lambda each: each[0][1]) if enough else max(ranked, key=lambda each: each[0][0])
    return dict(zip(by_difficulty, best, strict=True))


def _frontier(found: Sequence[Option]) -> list[Option]:
    """The options than which none is at once cheaper and better."""
    kept: list[Option] = []
    for option in sorted(found, key=lambda each: (each.tokens, -each.right)):
        if not kept or option.right > kept[-1].right:
            kept.append(option)
    return kept
