"""Intervals for a share of successes, for one number of trials set before."""

from __future__ import annotations

from typing import Final

from scipy.special import betainc, betaincinv, ndtri

from calibrator.stats.results import FIXED_SIZE, INDEPENDENT, Interval, checked_confidence

_ASSUMPTIONS: Final = (INDEPENDENT, FIXED_SIZE, "every trial succeeds or fails")


def wilson(successes: int, trials: int, confidence: float) -> Interval:
    """The score interval of Wilson (1927, JASA 22:209) for a share.

    Guarantee: asymptotic only. Its coverage, averaged over shares, is close to the level from ten
    trials on (Brown, Cai and DasGupta 2001); at single shares near 0 or 1 it falls a few points short,
    and where a promise is made of it ``exact`` is to be taken. Not for repeated looking: an interval read
    after every trial misses sooner or later. Without a trial it is the whole range.
    """
    _check(successes, trials, confidence)
    if not trials:
        return Interval(0.5, 0.0, 1.0, confidence, 0, _ASSUMPTIONS)
    deviate = float(ndtri((1 + confidence) / 2))
    share, square = successes / trials, deviate * deviate
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    spread = deviate / (1 + square / trials) * (share * (1 - share) / trials + square / (4 * trials * trials)) ** 0.5
    lower = 0.0 if not successes else max(0.0, centre - spread)
    upper = 1.0 if successes == trials else min(1.0, centre + spread)
    return Interval(share, lower, upper, confidence, trials, _ASSUMPTIONS)


def exact(successes: int, trials: int, confidence: float) -> Interval:
    """The interval of Clopper and Pearson (1934, Biometrika 26:404) for a share, from quantiles of Beta.

    Guarantee: covers the share with at least the confidence at every number of trials and every share.
    The price is width: it covers more than it promises, most of all near 0 and 1. Not for repeated
    looking, for which ``betting.sequence`` is made.
    """
    _check(successes, trials, confidence)
    half = (1 - confidence) / 2
    lower = float(betaincinv(successes, trials - successes + 1, half)) if successes else 0.0
    upper = float(betaincinv(successes + 1, trials - successes, 1 - half)) if successes < trials else 1.0
    return Interval(successes / trials if trials else 0.5, lower, upper, confidence, trials, _ASSUMPTIONS)


def beta(successes: int, trials: int, confidence: float, prior: tuple[float, float] = (0.5, 0.5)) -> Interval:
    """The equal-tailed interval of the Beta posterior of a share; by default from the prior of Jeffreys.

    Guarantee: Bayesian. Where shares do come from the prior, the share lies inside with the confidence,
    whenever one looks. For one fixed share Jeffreys' prior covers about as promised from ten trials on
    (Brown, Cai and DasGupta 2001), other priors as well as they fit; read after every trial, neither
    covers at all looks together. At no success the lower end is 0, at no failure the upper end 1.
    """
    _check(successes, trials, confidence)
    if min(prior) <= 0:
        raise ValueError(f"a Beta prior has two positive parameters, not {prior}")
    above, below = prior[0] + successes, prior[1] + trials - successes
    half = (1 - confidence) / 2
    lower = float(betaincinv(above, below, half)) if successes or not trials else 0.0
    upper = float(betaincinv(above, below, 1 - half)) if successes < trials or not trials else 1.0
    assumed = (*_ASSUMPTIONS, f"shares follow Beta({prior[0]:g}, {prior[1]:g}) beforehand")
    return Interval(above / (above + below), lower, upper, confidence, trials, assumed)


def chance_above(share: float, successes: int, trials: int, prior: tuple[float, float] = (0.5, 0.5)) -> float:
    """The posterior chance that the share is above this one; what ``beta`` says of guarantees holds here."""
    return float(1 - betainc(prior[0] + successes, prior[1] + trials - successes, share))


def _check(successes: int, trials: int, confidence: float) -> None:
    checked_confidence(confidence)
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials cannot be")
