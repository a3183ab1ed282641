"""Success rates of many small cells: lent strength by their families, smoothed only where noise explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, betaln

from calibrator.stats.results import FIXED_SIZE, INDEPENDENT, Floats, Integers, numbers, risk_left


@dataclass(frozen=True, slots=True)
class Shrunken:
    """A rate per cell between the cell's own and its parent's, with the ends of its posterior interval.

    ``concentration`` is how many trials the parent's rate counts as, on geometric average over what the
    cells leave likely.
    """

    estimates: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    parents: tuple[float, ...]
    concentration: float
    confidence: float
    sample_size: int
    assumptions: tuple[str, ...]


_CONCENTRATIONS: Final = np.geomspace(0.5, 2_000.0, 25)
_PRIOR: Final = _CONCENTRATIONS / (1 + _CONCENTRATIONS) ** 2
"""The likeness of two trials of a cell, 1 / (1 + concentration), is uniform beforehand."""
_ASSUMPTIONS: Final = (
    INDEPENDENT,
    FIXED_SIZE,
    "the rates of cells with the same parent are drawn from one Beta distribution around the parent's rate",
)


def shrink(successes: ArrayLike, trials: ArrayLike, parent: ArrayLike, confidence: float) -> Shrunken:
    """Rates of cells, each drawn towards the pooled rate of the cells with the same ``parent`` number.

    Beta-binomial empirical Bayes (Morris 1983, JASA 78:47): the parent's rate is estimated, and the
    concentration averaged over by its likelihood in all cells together, as one estimate of it would make
    intervals too short where cells are few (Kass and Steffey 1989). Guarantee: on average over the cells,
    the squared error is below that of the raw rates where the rates of a family resemble each other, and
    the intervals cover about as promised; not for each cell: one unlike its family is drawn off and may
    be missed. It ranks and guides; it certifies nothing. Reading it while trials come in is harmless to
    the estimates, not to coverage.
    """
    wins, tries, group = _counts(successes, trials, parent)
    return _shrunken(wins, tries, _pooled(wins, tries, group), confidence)


def shrink_chain(
    successes: ArrayLike, trials: ArrayLike, family: ArrayLike, arm: ArrayLike, confidence: float
) -> Shrunken:
    """Rates of cells drawn towards their family's with the same arm, and those towards the arm's own.

    A cell is a category and an arm; ``family`` and ``arm`` number those that it belongs to. What is said
    of ``shrink`` holds at both steps. Cells without a trial get their family's rate, families without one
    their arm's, and an arm without one a half.
    """
    wins, tries, kin = _counts(successes, trials, family)
    _, _, arms = _counts(successes, trials, arm)
    groups, place = np.unique(np.stack((arms, kin)), axis=1, return_inverse=True)
    member = place.ravel()
    above = _counts(np.bincount(member, wins), np.bincount(member, tries), groups[0])
    means, variances, _ = _posterior(above[0], above[1], _pooled(*above))
    own = _Parents(means[member], np.broadcast_to(variances[member], (_CONCENTRATIONS.size, wins.size)))
    return _shrunken(wins, tries, own, confidence)


@dataclass(frozen=True, slots=True)
class _Parents:
    """The rate of each cell's parent, and its variance for each concentration."""

    rates: Floats
    variances: Floats


def _counts(successes: ArrayLike, trials: ArrayLike, group: ArrayLike) -> tuple[Floats, Floats, Integers]:
    wins, tries = numbers(successes, "successes"), numbers(trials, "trials")
    numbered = np.asarray(group, dtype=np.int64)
    if not wins.size == tries.size == numbered.size:
        raise ValueError("every cell has its successes, its trials and its parent")
    if (wins < 0).any() or (wins > tries).any() or (numbered < 0).any():
        raise ValueError("successes lie from 0 to the trials of their cell, and parents are numbered from 0")
    return wins, tries, numbered


def _pooled(wins: Floats, tries: Floats, group: Integers) -> _Parents:
    """Each parent's pooled rate, with half a success and half a failure added; trials of one cell count less."""
    rates = (np.bincount(group, wins) + 0.5) / (np.bincount(group, tries) + 1)
    worth = tries / (1 + np.maximum(tries - 1, 0) / (1 + _CONCENTRATIONS[:, None]))
    sizes = np.array([np.bincount(group, row) for row in worth])
    variances = rates * (1 - rates) / (sizes + 2)
    return _Parents(rates[group], variances[:, group])


def _posterior(wins: Floats, tries: Floats, parents: _Parents) -> tuple[Floats, Floats, float]:
    """The mean and variance of each cell's rate, and the concentration, over all concentrations by likelihood."""
    concentration = _CONCENTRATIONS[:, None]
    above, below = concentration * parents.rates, concentration * (1 - parents.rates)
    likelihood = (betaln(wins + above, tries - wins + below) - betaln(above, below)).sum(axis=1)
    weight = _PRIOR * np.exp(likelihood - likelihood.max())
    weight /= weight.sum()
    means = (wins + above) / (tries + concentration)
    inner = means * (1 - means) / (tries + concentration + 1)
    inherited = (concentration / (tries + concentration)) ** 2 * parents.variances
    mean = weight @ means
    variance = weight @ (inner + inherited + (means - mean) ** 2)
    return mean, variance, float(np.exp(weight @ np.log(_CONCENTRATIONS)))


def _shrunken(wins: Floats, tries: Floats, parents: _Parents, confidence: float) -> Shrunken:
    half = risk_left(confidence) / 2
    mean, variance, concentration = _posterior(wins, tries, parents)
    size = np.maximum(mean * (1 - mean) / variance - 1, _LEAST)
    ends = (betaincinv(mean * size, (1 - mean) * size, share) for share in (half, 1 - half))
    lower, upper = (tuple(end.tolist()) for end in ends)
    rates, total = tuple(parents.rates.tolist()), int(tries.sum())
    return Shrunken(tuple(mean.tolist()), lower, upper, rates, concentration, confidence, total, _ASSUMPTIONS)


_LEAST: Final = 0.1
"""The least number of trials that a posterior is worth."""


@dataclass(frozen=True, slots=True)
class Smoothed:
    """Means along rising budgets, and which of them were pooled with a neighbour's."""

    estimates: tuple[float, ...]
    is_pooled: tuple[bool, ...]
    assumptions: tuple[str, ...] = (
        "standard errors of neighbours are independent",
        "noise explains one standard error",
    )


def smooth_rising(means: ArrayLike, weights: ArrayLike, errors: ArrayLike) -> Smoothed:
    """Means along rising budgets, with those falls evened out that are within one standard error.

    Isotonic regression by pooling adjacent violators (Ayer et al. 1955), but of violations no larger than
    the standard error of the difference: thinking longer can hurt, and a fall that noise does not explain
    is kept. Guarantee: none of coverage. Pooled neighbours keep their weighted mean, a row that rises is
    returned as it is, and where the truth rises pooling brings the estimates no further from it on
    average. ``weights`` are numbers of items, ``errors`` the standard errors of the means. Looking again
    after more items may pool otherwise.
    """
    levels, sizes, spreads = numbers(means, "means"), numbers(weights, "weights"), numbers(errors, "errors")
    if not levels.size == sizes.size == spreads.size or (sizes <= 0).any() or (spreads < 0).any():
        raise ValueError("every mean has a positive weight and a standard error")
    blocks = [(mean, weight, error, 1) for mean, weight, error in zip(levels, sizes, spreads, strict=True)]
    place = 0
    while place + 1 < len(blocks):
        fall = blocks[place][0] - blocks[place + 1][0]
        if not 0 < fall <= (blocks[place][2] ** 2 + blocks[place + 1][2] ** 2) ** 0.5:
            place += 1
            continue
        blocks[place : place + 2] = [_joined(blocks[place], blocks[place + 1])]
        place = max(place - 1, 0)
    estimates = tuple(float(mean) for mean, _, _, length in blocks for _ in range(length))
    return Smoothed(estimates, tuple(length > 1 for _, _, _, length in blocks for _ in range(length)))


_Block = tuple[float, float, float, int]


def _joined(one: _Block, other: _Block) -> _Block:
    total = one[1] + other[1]
    mean = (one[0] * one[1] + other[0] * other[1]) / total
    error = ((one[2] * one[1]) ** 2 + (other[2] * other[1]) ** 2) ** 0.5 / total
    return mean, total, error, one[3] + other[3]
