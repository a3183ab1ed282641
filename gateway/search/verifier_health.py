"""How far a verifier can be trusted, from answers of which both score and truth are known.

A verifier chooses between answers to the same problem, so only how well it orders those counts; scores
that tell easy problems from hard ones help nobody. And as more answers are drawn, the best score is more
and more often that of an answer which deceives the verifier: past some number, more answers mean fewer
right ones (Gao et al., arXiv 2210.10760).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Numbers: TypeAlias = NDArray[np.float64]
_Point: TypeAlias = tuple[float, float]
"""How often the best scored answer is right, and its mean score."""

LEVEL: Final = 0.95
RISK: Final = 0.05
"""The chance, at most, that a cap is ever found that there need not be: of all looks at a verifier together."""
FEWEST: Final = 10
"""With fewer problems an interval over problems says nothing."""
FEWEST_FOR_CAP: Final = 30
"""With fewer, the mean of their losses is no normal number so far out."""
_RESAMPLES: Final = 2000


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


def risk_of(look: int) -> float:
    """The part of :data:`RISK` that the look of this number has, the first being 1; all parts together make it up."""
    return RISK / (look * (look + 1))


def examine(
    samples: Iterable[Sample], sizes: Sequence[int], *, seed: int, look: int = 1, decided: Collection[str] = ()
) -> VerifierHealth:
    """The health that these samples show, with best-of-N at each of ``sizes``.

    Assumes that problems are independent, and answers to one problem exchangeable; those of a problem in ``decided``
    stand in the order in which they were drawn, and more would not have been drawn, as one of them was accepted.
    Intervals are percentile bootstraps over problems, and hold for one look. A cap is found by Student's t for paired
    losses, at a level that is split by Bonferroni over all pairs of sizes, as the one with the most truth is chosen by
    the samples; and over looks, of which this is number ``look``: one may look again and again at samples of its own
    each time, and the chance that any look finds a cap where more answers do no harm is at most :data:`RISK`.
    """
    by_problem: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_problem[sample.problem].append(sample)
    answers = {name: _arrays(each) for name, each in by_problem.items()}
    scored, wanted = list(answers.values()), sorted(set(sizes))
    generator = np.random.default_rng(seed)
    found = [_points(each, wanted, is_decided=name in decided) for name, each in answers.items()]
    curve, cap = _curve([each for each in found if each is not None], wanted, risk_of(look), generator)
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


def _points(answers: tuple[_Numbers, _Numbers], sizes: Sequence[int], *, is_decided: bool) -> list[_Point] | None:
    """Best-of-N of one problem at every size; None where it has too few answers for the largest.

    A decided search is followed as it went: it would have ended the same way at any size that it did not fill.
    """
    scores, correct = answers
    total = len(scores)
    if not sizes or (total < sizes[-1] and not is_decided):
        return None
    if not is_decided:
        return [best_of(scores, correct, size) for size in sizes]
    return [best_of(scores[:size], correct[:size], min(size, total)) for size in sizes]


def _curve(
    found: Sequence[Sequence[_Point]], sizes: Sequence[int], risk: float, generator: np.random.Generator
) -> tuple[tuple[BestOf, ...], int | None]:
    """Best-of-N over the problems that tell of every size, so that sizes can be compared."""
    if not found:
        return (), None
    points = np.array(found)
    truth, score = points[..., 0], points[..., 1]
    curve = tuple(
        BestOf(size, _estimate(truth[:, place], generator), float(score[:, place].mean()))
        for place, size in enumerate(sizes)
    )
    return curve, _cap(truth, sizes, risk)


def _cap(truth: _Numbers, sizes: Sequence[int], risk: float) -> int | None:
    """The size with the most truth, if some larger one has certainly less."""
    peak, pairs = int(truth.mean(axis=0).argmax()), comb(len(sizes), 2)
    if len(truth) < FEWEST_FOR_CAP:
        return None
    for larger in range(peak + 1, len(sizes)):
        if _is_loss(truth[:, peak] - truth[:, larger], risk / pairs):
            return sizes[peak]
    return None


def _is_loss(losses: _Numbers, risk: float) -> bool:
    """Whether the mean is above nothing, wrongly so with this chance at most."""
    mean, spread = float(losses.mean()), float(losses.std(ddof=1))
    return mean > 0 and mean > _student(risk, len(losses) - 1) * spread / sqrt(len(losses))


def _student(risk: float, freedom: int) -> float:
    """What Student's t exceeds with this chance: Cornish and Fisher's expansion, good to a percent for 29 and more."""
    z = -NormalDist().inv_cdf(risk)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _estimate(values: _Numbers, generator: np.random.Generator) -> Estimate:
    mean, count = float(values.mean()), len(values)
    if count < FEWEST:
        return Estimate(mean, min(0.0, mean), max(1.0, mean), count)
    means = generator.choice(values, (_RESAMPLES, count)).mean(axis=1)
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(mean, float(low), float(high), count)
