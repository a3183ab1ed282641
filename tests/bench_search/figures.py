"""The arithmetic of the report: shares, ratios and differences with their 95% intervals; what draws come to.

Problems are the trials, and every comparison is paired by problem.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, TypeAlias

import numpy as np

from calibrator.stats.intervals import wilson
from tests.bench_search.attempts import Attempt, Draw

CONFIDENCE: Final = 0.95
VERIFIER: Final = "prm"
"""The model whose tokens are read, not written."""
_RESAMPLES: Final = 4000
_Means: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Tokens of one problem, or their mean over problems: written by the models, read by the verifier."""

    written: float
    read: float

    @property
    def both(self) -> float:
        """All that was computed for the answer, but for its prompt."""
        return self.written + self.read


def share(hits: Sequence[bool]) -> Estimate:
    """A share of problems, with Wilson's interval."""
    found = wilson(sum(hits), len(hits), CONFIDENCE)
    return Estimate(found.estimate, found.lower, found.upper)


def totals(attempt: Attempt) -> Totals:
    """The tokens of one attempt."""
    written = sum(use.written for model, use in attempt.uses.items() if model != VERIFIER)
    return Totals(written, attempt.uses[VERIFIER].prompt if VERIFIER in attempt.uses else 0)


def mean_totals(attempts: Sequence[Attempt]) -> Totals:
    """The tokens of a problem on average."""
    each = [totals(attempt) for attempt in attempts]
    return Totals(fmean(one.written for one in each), fmean(one.read for one in each))


def work(attempt: Attempt, weights: Mapping[str, int]) -> float:
    """Multiply-adds of an attempt, at one for each weight and token written or read by the verifier."""
    return sum(
        weights[model] * (use.prompt if model == VERIFIER else use.written) for model, use in attempt.uses.items()
    )


def work_with_prompts(attempt: Attempt, weights: Mapping[str, int]) -> float:
    """The same with every prompt token that was not read from the cache."""
    return sum(weights[model] * (use.prompt - use.cached + use.written) for model, use in attempt.uses.items())


def ratio(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """The ratio of two sums over the same problems."""
    return _bootstrap(one, other, lambda first, second: first / second)


def difference(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """The mean of one less that of the other, over the same problems."""
    return _bootstrap(one, other, lambda first, second: first - second)


def _bootstrap(one: Sequence[float], other: Sequence[float], figure: Callable[[_Means, _Means], _Means]) -> Estimate:
    """A figure of two means with the percentile interval of a paired bootstrap over problems, of fixed seed."""
    if len(one) != len(other) or not one:
        raise ValueError("both sides have the same problems, and at least one")
    pairs = np.array([one, other], dtype=np.float64)
    chosen = np.random.default_rng(0).integers(0, len(one), (_RESAMPLES, len(one)))
    means = pairs[:, chosen].mean(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.nanquantile(figure(means[0], means[1]), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        value = figure(pairs[0].mean(keepdims=True), pairs[1].mean(keepdims=True))[0]
    return Estimate(float(value), float(low), float(high))


def oracle(attempts: Sequence[Attempt]) -> float:
    """The share of problems of which any draw was right; of an arm without draws, of which the answer was."""
    return fmean(any(draw.is_right for draw in each.whole) or each.is_right for each in attempts)


def at_random(attempts: Sequence[Attempt]) -> float:
    """The share that would be right if a whole draw of each problem were taken by lot."""
    return fmean(
        fmean(bool(draw.is_right) for draw in each.whole) if each.whole else each.is_right for each in attempts
    )


def best_of(draws: Sequence[Draw], count: int) -> bool:
    """Whether the best scored of the first draws is right."""
    first = [draw for draw in draws[:count] if draw.is_right is not None]
    return bool(first and max(first, key=lambda draw: -math.inf if draw.score is None else draw.score).is_right)


def majority_of(draws: Sequence[Draw], count: int) -> bool:
    """Whether the most common answer of the first draws is right; of equally common ones the first to appear."""
    first = [draw for draw in draws[:count] if draw.answer is not None]
    if not first:
        return False
    leader, _ = Counter(draw.answer for draw in first).most_common(1)[0]
    return bool(next(draw for draw in first if draw.answer == leader).is_right)


def plateau(accuracies: Mapping[int, float], within: float = 0.01) -> int:
    """The smallest number of draws whose accuracy is within a point of the best."""
    best = max(accuracies.values())
    return min(count for count, accuracy in accuracies.items() if accuracy >= best - within)


def matched_multiplier(size_ratio: float, inference_share: float) -> float:
    """How often a small model may answer for the work of a large one, its training counted.

    Snell et al. 2024 (arXiv 2408.03314, section 7): training a token costs three times what writing one
    does, and ``inference_share`` is R, the tokens of inference for each token of training.
    """
    return size_ratio + 3 / inference_share * (size_ratio - 1)


def pick_on_halves(right: Mapping[str, Sequence[bool]]) -> tuple[tuple[str, ...], list[bool]]:
    """The best arm of each half of the problems, and its hits on the other: no choice is judged by its own luck."""
    halves = (slice(0, None, 2), slice(1, None, 2))
    picked = tuple(max(right, key=lambda arm: sum(right[arm][half])) for half in halves)
    hits = list(right[picked[1]])
    hits[halves[1]] = right[picked[0]][halves[1]]
    return picked, hits
