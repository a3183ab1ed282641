"""Adaptive allocation tuned on the validation split: which arm each difficulty gets.

Best-of-N and repair that stop at a good score are replayed on the draws of one full run of each, whose seeds they
would draw with: so a whole grid of sizes and levels is compared without drawing again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import fsum
from typing import Final

from tests.bench_search.arms import ARMS, Arm, best_of, repair
from tests.bench_search.attempts import Attempt, Draw
from tests.bench_search.figures import totals

SAMPLES: Final = (1, 2, 3, 4, 6, 8, 12, 16)
ROUNDS: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12)
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
    """Whether a search that stops at a score of ``accept`` is right, drawing in turn, and its tokens."""
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
    greedy: Sequence[Attempt], sampled: Sequence[Attempt], repaired: Sequence[Attempt], weights: Sequence[float]
) -> list[Option]:
    """All that is compared for one difficulty: a greedy draw, and what full runs of two searches tell of shorter ones.

    ``weights`` are the shares that each of the problems stands for in the mix.
    """
    plain = [(attempt.is_right, totals(attempt).both) for attempt in greedy]
    found = [_option("greedy", ARMS["greedy"], plain, weights)]
    for samples, accept in product(SAMPLES, LEVELS):
        arm = best_of(samples, accept=accept, schedule="sequential")
        each = [until(attempt.draws, samples, accept) for attempt in sampled]
        found.append(_option(f"best of {samples}, until {accept}", arm, each, weights))
    for rounds, accept in product(ROUNDS, LEVELS):
        each = [until(attempt.draws, 1 + rounds, accept) for attempt in repaired]
        found.append(_option(f"repair, {rounds} rounds, until {accept}", repair(rounds, accept=accept), each, weights))
    return found


def _option(name: str, arm: Arm, did: Sequence[tuple[bool, int]], weights: Sequence[float]) -> Option:
    right = weighted(weights, [is_right for is_right, _ in did])
    return Option(name, arm, right, weighted(weights, [tokens for _, tokens in did]))


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
