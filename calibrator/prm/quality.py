"""How good a process reward model is, from chains that it scored: calibration, ranking, and what choosing by it buys.

Pure arithmetic on arrays. What is measured on chains that the model was trained on says nothing; hand in chains
of problems that it never saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.search import verifier_health
from gateway.search.aggregate import Aggregation, aggregate
from gateway.search.equivalence import meaning, same

WAYS: Final = (Aggregation.MIN, Aggregation.PRODUCT, Aggregation.MEAN, Aggregation.LAST)
BINS: Final = 10
_RESAMPLES: Final = 2000
_LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Scored:
    """A chain, the scores of its steps, and what became of it. ``values`` are the labels of its steps."""

    item: str
    scores: tuple[float, ...]
    is_right: bool
    answer: str | None = None
    values: tuple[float | None, ...] = ()
    difficulty: str = ""
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over problems with its 95% interval: percentiles of 2,000 bootstrap samples of the problems."""

    value: float
    low: float
    high: float
    problems: int


@dataclass(frozen=True, slots=True)
class Bin:
    """Steps whose score lies in one tenth of the range."""

    low: float
    high: float
    steps: int
    mean_score: float
    mean_value: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """How one aggregation ranks whole chains.

    ``auc_within`` is the mean over problems that have right and wrong chains: the chance that a right one
    scores above a wrong one of the same problem. Only this one helps to choose between answers. ``auc_pooled``
    compares chains of all problems, and is high for a model that merely knows hard problems from easy ones.
    """

    way: Aggregation
    auc_within: Estimate | None
    auc_pooled: float | None
    best_of_all: Estimate


@dataclass(frozen=True, slots=True)
class Slice:
    """What choosing buys on problems of one difficulty: accuracy of each way to come to one answer."""

    difficulty: str
    problems: int
    chains: float
    one: Estimate
    majority: Estimate
    chosen: Estimate
    weighted: Estimate
    oracle: Estimate
    gain: Estimate
    """What the best scored one is more often right than the majority: the same problems, paired."""


@dataclass(frozen=True, slots=True)
class Quality:
    """All of it. ``best`` is the aggregation whose choices are most often right."""

    problems: int
    chains: int
    steps: int
    bins: tuple[Bin, ...]
    calibration_error: float | None
    rankings: tuple[Ranking, ...]
    best: Aggregation
    by_draws: Mapping[int, float]
    """Accuracy of the chain that scores best of so many, over all ways to draw so many from those that there are."""
    slices: tuple[Slice, ...]


def measure(chains: Sequence[Scored]) -> Quality:
    """Everything there is to say of these chains. The bootstrap is seeded: equal chains give equal figures."""
    problems = list(by_problem(chains).values())
    rankings = tuple(_ranking(problems, way) for way in WAYS)
    best = max(rankings, key=lambda each: (each.best_of_all.value, each.auc_within.value if each.auc_within else 0.0))
    bins, error = calibration(chains)
    names = sorted(
        {problem[0].difficulty for problem in problems}, key=lambda name: (name.isdecimal(), len(name), name)
    )
    slices = [_slice(problems, best.way, "all")]
    if len(names) > 1:
        slices += [_slice([each for each in problems if each[0].difficulty == name], best.way, name) for name in names]
    return Quality(
        problems=len(problems),
        chains=len(chains),
        steps=sum(len(chain.scores) for chain in chains),
        bins=bins,
        calibration_error=error,
        rankings=rankings,
        best=best.way,
        by_draws=_by_draws(problems, best.way),
        slices=tuple(slices),
    )


def by_problem(chains: Sequence[Scored]) -> dict[str, list[Scored]]:
    """Chains by the problem that they answer."""
    problems: dict[str, list[Scored]] = {}
    for chain in chains:
        problems.setdefault(chain.item, []).append(chain)
    return problems


def calibration(chains: Sequence[Scored]) -> tuple[tuple[Bin, ...], float | None]:
    """Labels against scores of steps in ten equal bins, and the expected calibration error (weighted by steps)."""
    pairs = [
        (score, value)
        for chain in chains
        for score, value in zip(chain.scores, chain.values, strict=False)
        if value is not None
    ]
    if not pairs:
        return (), None
    scores, values = np.array(pairs, dtype=np.float64).T
    places = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    bins = tuple(
        Bin(
            place / BINS, (place + 1) / BINS, int(found.sum()), float(scores[found].mean()), float(values[found].mean())
        )
        for place in range(BINS)
        if (found := places == place).any()
    )
    error = sum(each.steps * abs(each.mean_score - each.mean_value) for each in bins) / len(pairs)
    return bins, float(error)


def auc(right: Sequence[float], wrong: Sequence[float]) -> float | None:
    """The chance that a right one scores above a wrong one, ties counting half; None where there is none of either."""
    return verifier_health.auc(np.array([*right, *wrong]), np.repeat([1.0, 0.0], [len(right), len(wrong)]))


def best_of(scores: Sequence[float], rights: Sequence[bool], draws: int) -> float:
    """The chance that the best scored of ``draws`` of these chains is right, over all ways to draw them.

    Among chains of equal score each is as likely to be chosen.
    """
    chance, taken, total = 0.0, 0, comb(len(scores), draws)
    for score in sorted(set(scores), reverse=True):
        group = [right for each, right in zip(scores, rights, strict=True) if each == score]
        left = len(scores) - taken
        chance += (comb(left, draws) - comb(left - len(group), draws)) / total * (sum(group) / len(group))
        taken += len(group)
    return chance


def _score(chain: Scored, way: Aggregation) -> float:
    score = aggregate(chain.scores, way)
    return float("-inf") if score is None else score


def _ranking(problems: Sequence[Sequence[Scored]], way: Aggregation) -> Ranking:
    within = [each for each in (_auc_of(chains, way) for chains in problems) if each is not None]
    return Ranking(
        way=way,
        auc_within=estimate(within) if within else None,
        auc_pooled=_auc_of([chain for chains in problems for chain in chains], way),
        best_of_all=estimate([_chosen(chains, way, len(chains)) for chains in problems]),
    )


def _auc_of(chains: Sequence[Scored], way: Aggregation) -> float | None:
    scores: dict[bool, list[float]] = {True: [], False: []}
    for chain in chains:
        scores[chain.is_right].append(_score(chain, way))
    return auc(scores[True], scores[False])


def _chosen(chains: Sequence[Scored], way: Aggregation, draws: int) -> float:
    return best_of([_score(chain, way) for chain in chains], [chain.is_right for chain in chains], draws)


def _by_draws(problems: Sequence[Sequence[Scored]], way: Aggregation) -> Mapping[int, float]:
    most = min(map(len, problems))
    sizes = sorted({1 << power for power in range(most.bit_length())} | {most})
    return {size: float(np.mean([_chosen(chains, way, size) for chains in problems])) for size in sizes}


def _slice(problems: Sequence[Sequence[Scored]], way: Aggregation, name: str) -> Slice:
    def over(figure: Callable[[Sequence[Scored]], float]) -> Estimate:
        return estimate([figure(chains) for chains in problems])

    return Slice(
        difficulty=name,
        problems=len(problems),
        chains=float(np.mean([len(chains) for chains in problems])),
        one=over(lambda chains: float(np.mean([chain.is_right for chain in chains]))),
        majority=over(lambda chains: _voted(chains, lambda chain: 1.0)),
        chosen=over(lambda chains: _chosen(chains, way, len(chains))),
        weighted=over(lambda chains: _voted(chains, lambda chain: max(0.0, _score(chain, way)))),
        oracle=over(lambda chains: float(any(chain.is_right for chain in chains))),
        gain=over(lambda chains: _chosen(chains, way, len(chains)) - _voted(chains, lambda chain: 1.0)),
    )


def _voted(chains: Sequence[Scored], weight: Callable[[Scored], float]) -> float:
    """Whether the answer of most weight is right; of several with the same weight, the share that are."""
    ballots: list[list[Scored]] = []
    for chain in chains:
        if chain.answer is None:
            continue
        said = meaning(chain.answer)
        ballot = next((each for each in ballots if same(meaning(each[0].answer or ""), said)), None)
        if ballot is None:
            ballots.append([chain])
        else:
            ballot.append(chain)
    if not ballots:
        return 0.0
    weights = [round(sum(map(weight, ballot)), 9) for ballot in ballots]
    leading = [ballot for ballot, each in zip(ballots, weights, strict=True) if each == max(weights)]
    return float(np.mean([ballot[0].is_right for ballot in leading]))


def estimate(figures: Sequence[float]) -> Estimate:
    """The mean of one figure for each problem, with its interval."""
    values: NDArray[np.float64] = np.asarray(figures, dtype=np.float64)
    chance = np.random.default_rng(len(values))
    means = [values[chance.integers(0, len(values), len(values))].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(float(values.mean()), float(low), float(high), len(values))
