"""What a replay measured: accuracy, tokens and draws beside the majority of all chains, with 95% intervals."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final, TypeAlias

from gateway.search import Config
from gateway.search.protocol import Verifier
from gateway.search.replay import Item, Outcome, majority, replay
from gateway.search.stopping import Stop, conformal_level
from gateway.search.vote import Vote

_Z: Final = 1.959964
"""The 97.5% quantile of the normal distribution."""

_RESAMPLES: Final = 2000
_LEVELS: Final = tuple(round(0.5 + 0.01 * step, 2) for step in range(50))

Runs: TypeAlias = Sequence[Sequence[Outcome]]
"""For each problem, its outcome in each order."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over problems and orders: the share that is right, and what a problem takes."""

    accuracy: Estimate
    tokens: float
    draws: float
    span: float


@dataclass(frozen=True, slots=True)
class Report:
    """A strategy beside the majority of all. Points are percentage points of accuracy."""

    problems: int
    orders: int
    strategy: Figures
    majority: Figures
    points: Estimate
    token_share: Estimate
    levels: tuple[float, ...] = ()
    """The conformal levels that were calibrated, one on each half of the problems, for the other half."""


def measure(
    items: Sequence[Item], strategy: str, config: Config, seeds: Sequence[int], verifier: Verifier | None
) -> Report:
    """Run a strategy over all problems, in the order of each seed."""
    return _report(_runs(items, strategy, config, seeds, verifier), _baseline(items, seeds), seeds)


def measure_conformal(
    items: Sequence[Item], config: Vote, seeds: Sequence[int], verifier: Verifier | None, target: float
) -> Report:
    """A vote whose level is calibrated for an error target on one half of the problems, and measured on the other.

    The error of a problem is that the full vote would have been right and the stopped one is not.
    """
    halves = (items[0::2], items[1::2])
    levels = tuple(_calibrated(half, config, seeds, verifier, target) for half in halves)
    runs: list[Sequence[Outcome]] = []
    for half, level in zip(halves, reversed(levels), strict=True):
        stopped = replace(config, stop=Stop.CONFORMAL, confidence=level)
        runs.extend(_runs(half, "vote", stopped, seeds, verifier))
    report = _report(runs, _baseline([*halves[0], *halves[1]], seeds), seeds)
    return replace(report, levels=levels)


def _calibrated(
    items: Sequence[Item], config: Vote, seeds: Sequence[int], verifier: Verifier | None, target: float
) -> float:
    full = _runs(items, "vote", replace(config, stop=Stop.NEVER), seeds, verifier)
    losses: list[list[float]] = [[] for _ in items]
    for level in _LEVELS:
        stopped = _runs(items, "vote", replace(config, stop=Stop.CONFORMAL, confidence=level), seeds, verifier)
        for kept, one, other in zip(losses, full, stopped, strict=True):
            pairs = zip(one, other, strict=True)
            kept.append(fmean(whole.is_correct and not cut.is_correct for whole, cut in pairs))
    return conformal_level(_LEVELS, losses, target)


def _runs(
    items: Sequence[Item], strategy: str, config: Config, seeds: Sequence[int], verifier: Verifier | None
) -> Runs:
    return [[replay(item, strategy, config, seed, verifier) for seed in seeds] for item in items]


def _baseline(items: Sequence[Item], seeds: Sequence[int]) -> Runs:
    return [[majority(item, seed) for seed in seeds] for item in items]


def _report(runs: Runs, baseline: Runs, seeds: Sequence[int]) -> Report:
    right, right_of_all = _means(runs, _is_right), _means(baseline, _is_right)
    tokens, tokens_of_all = _means(runs, _tokens), _means(baseline, _tokens)
    gains = [100 * (one - other) for one, other in zip(right, right_of_all, strict=True)]

    def share(chosen: Sequence[int]) -> float:
        return sum(tokens[place] for place in chosen) / max(1.0, sum(tokens_of_all[place] for place in chosen))

    return Report(
        problems=len(runs),
        orders=len(seeds),
        strategy=_figures(runs),
        majority=_figures(baseline),
        points=_bootstrap(lambda chosen: fmean(gains[place] for place in chosen), len(runs)),
        token_share=_bootstrap(share, len(runs)),
    )


def _is_right(outcome: Outcome) -> float:
    return float(outcome.is_correct)


def _tokens(outcome: Outcome) -> float:
    return float(outcome.tokens)


def _means(runs: Runs, figure: Callable[[Outcome], float]) -> list[float]:
    """A figure of each problem, averaged over its orders."""
    return [fmean(figure(outcome) for outcome in outcomes) for outcomes in runs]


def _figures(runs: Runs) -> Figures:
    outcomes = [outcome for each in runs for outcome in each]
    return Figures(
        accuracy=wilson(fmean(_means(runs, _is_right)), len(runs)),
        tokens=fmean(outcome.tokens for outcome in outcomes),
        draws=fmean(outcome.draws for outcome in outcomes),
        span=fmean(outcome.span for outcome in outcomes),
    )


def wilson(share: float, trials: int) -> Estimate:
    """Wilson's 95% interval of a share of independent trials.

    Wilson 1927, JASA 22. Problems are the trials: orders of the same problem are averaged first, as
    they are not independent. It speaks of problems like these, and of one look.
    """
    middle = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half = _Z / (1 + _Z**2 / trials) * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))


def _bootstrap(figure: Callable[[Sequence[int]], float], problems: int) -> Estimate:
    """A figure of the problems, with the percentile interval of a paired bootstrap over problems, of fixed seed.

    Efron 1979. Both ways are resampled together, so what makes a problem hard cancels out. With few
    problems the interval is too short.
    """
    source = random.Random(0)  # noqa: S311 - a resampling, not a secret
    everyone = range(problems)
    drawn = sorted(figure(source.choices(everyone, k=problems)) for _ in range(_RESAMPLES))
    edge = round(0.025 * _RESAMPLES)
    return Estimate(figure(everyone), drawn[edge], drawn[-edge - 1])


def document(report: Report) -> Mapping[str, object]:
    """The report as the command prints it."""

    def estimate(each: Estimate) -> dict[str, float]:
        return {"value": round(each.value, 4), "low": round(each.low, 4), "high": round(each.high, 4)}

    def figures(each: Figures) -> dict[str, object]:
        return {
            "accuracy": estimate(each.accuracy),
            "tokens": round(each.tokens, 1),
            "draws": round(each.draws, 3),
            "span_tokens": round(each.span, 1),
        }

    shown: dict[str, object] = {
        "problems": report.problems,
        "orders": report.orders,
        **figures(report.strategy),
        "majority": figures(report.majority),
        "accuracy_difference_points": estimate(report.points),
        "token_share": estimate(report.token_share),
    }
    if report.levels:
        shown["conformal_levels"] = list(report.levels)
    return shown
