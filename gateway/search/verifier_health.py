"""How far a verifier can be trusted, from answers of which both score and truth are known.

A verifier chooses between answers to the same problem, so only how well it orders those counts; scores
that tell easy problems from hard ones help nobody. And as more answers are drawn, the best score is more
and more often that of an answer which deceives the verifier: past some number, more answers mean fewer
right ones (Gao et al., arXiv 2210.10760).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Numbers: TypeAlias = NDArray[np.float64]

LEVEL: Final = 0.95
_RESAMPLES: Final = 2000
_MANY: Final = 10
"""With fewer problems an interval over problems says nothing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One scored answer to a problem, and whether it is right."""

    problem: str
    score: float
    is_correct: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over so many problems, with its interval at :data:`LEVEL`; the whole range where there are too few."""

    value: float
    low: float
    high: float
    problems: int


@dataclass(frozen=True, slots=True)
class BestOf:
    """What comes of taking the best scored of ``samples`` answers: how often it is right, and its mean score."""

    samples: int
    truth: Estimate
    score: float


@dataclass(frozen=True, slots=True)
class VerifierHealth:
    """What is known of a verifier.

    ``within`` is how often, of a right and a wrong answer to the same problem, the right one has the higher
    score (0.5: it might as well toss a coin), averaged over problems; ``pooled`` the same over pairs of
    different problems too, which flatters. None where no problem has both. ``cap`` is the number of answers
    beyond which more of them lower the truth; None where that has not been seen.
    """

    within: Estimate | None
    pooled: float | None
    curve: tuple[BestOf, ...]
    cap: int | None


def examine(samples: Iterable[Sample], sizes: Sequence[int], *, seed: int) -> VerifierHealth:
    """The health that these samples show, with best-of-N at each of ``sizes``.

    Assumes that problems are independent, and answers to one problem exchangeable. Intervals are
    percentile bootstraps over problems. They hold for one look at samples that were not chosen by it:
    whoever looks again and again until a cap shows will see one.
    """
    by_problem: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_problem[sample.problem].append(sample)
    scored = [_arrays(each) for each in by_problem.values()]
    generator = np.random.default_rng(seed)
    curve, cap = _curve(scored, sorted(set(sizes)), generator)
    return VerifierHealth(_within(scored, generator), _pooled(scored), curve, cap)


def auc(scores: _Numbers, correct: _Numbers) -> float | None:
    """How often a right answer's score is above a wrong one's, ties counting half; None without one of each."""
    right = int(correct.sum())
    wrong = len(correct) - right
    if not right or not wrong:
        return None
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[correct > 0].sum() - right * (right + 1) / 2) / (right * wrong))


def best_of(scores: _Numbers, correct: _Numbers, size: int) -> tuple[float, float]:
    """How often the best scored of ``size`` of these answers is right, and its mean score: over all choices, exactly.

    Among equal scores the winner is drawn by lot.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, total = scores[order], len(scores)
    _, place, count = np.unique(-ranked, return_inverse=True, return_counts=True)
    truth = (np.bincount(place, weights=correct[order]) / count)[place]
    chosen = comb(total, size)
    chance = np.array([comb(total - 1 - rank, size - 1) / chosen for rank in range(total)])
    return float(chance @ truth), float(chance @ ranked)


def _arrays(samples: Sequence[Sample]) -> tuple[_Numbers, _Numbers]:
    return np.array([each.score for each in samples]), np.array([float(each.is_correct) for each in samples])


def _within(scored: Sequence[tuple[_Numbers, _Numbers]], generator: np.random.Generator) -> Estimate | None:
    values = [value for each in scored if (value := auc(*each)) is not None]
    return _estimate(np.array(values), generator) if values else None


def _pooled(scored: Sequence[tuple[_Numbers, _Numbers]]) -> float | None:
    if not scored:
        return None
    return auc(np.concatenate([scores for scores, _ in scored]), np.concatenate([correct for _, correct in scored]))


def _curve(
    scored: Sequence[tuple[_Numbers, _Numbers]], sizes: Sequence[int], generator: np.random.Generator
) -> tuple[tuple[BestOf, ...], int | None]:
    """Best-of-N over the problems that have enough answers for every size, so that sizes can be compared."""
    deep = [each for each in scored if sizes and len(each[0]) >= sizes[-1]]
    if not deep:
        return (), None
    found = np.array([[best_of(*each, size) for size in sizes] for each in deep])
    truth, score = found[..., 0], found[..., 1]
    curve = tuple(
        BestOf(size, _estimate(truth[:, place], generator), float(score[:, place].mean()))
        for place, size in enumerate(sizes)
    )
    return curve, _cap(truth, sizes, generator)


def _cap(truth: _Numbers, sizes: Sequence[int], generator: np.random.Generator) -> int | None:
    """The size with the most truth, if some larger one has certainly less: by a paired bootstrap, at :data:`LEVEL`."""
    peak = int(truth.mean(axis=0).argmax())
    for larger in range(peak + 1, len(sizes)):
        loss = _estimate(truth[:, peak] - truth[:, larger], generator)
        if loss.low > 0 and loss.problems >= _MANY:
            return sizes[peak]
    return None


def _estimate(values: _Numbers, generator: np.random.Generator) -> Estimate:
    mean, count = float(values.mean()), len(values)
    if count < _MANY:
        return Estimate(mean, min(0.0, mean), max(1.0, mean), count)
    means = generator.choice(values, (_RESAMPLES, count)).mean(axis=1)
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(mean, float(low), float(high), count)
