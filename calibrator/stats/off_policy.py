"""What a policy would have got, from the log of another that sometimes drew its arm at random.

Both estimators weigh each request by how much likelier the new policy draws the logged arm than the old did.
The effective sample size says how many requests are left of the log by then: where it is small, the log
cannot tell, whatever the interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from calibrator.stats.results import FIXED_SIZE, INDEPENDENT, Floats, Interval, checked_confidence, nonempty, numbers


@dataclass(frozen=True, slots=True)
class OffPolicyEstimate:
    """A policy's mean outcome with its interval, and how much of the log speaks to it.

    ``effective_sample_size`` is (sum of weights)² ÷ sum of squared weights (Kish 1965); ``mean_weight`` is
    near 1 where the logged chances are the true ones and reach every arm of the new policy.
    """

    estimate: float
    lower: float
    upper: float
    confidence: float
    sample_size: int
    effective_sample_size: float
    mean_weight: float
    largest_weight: float
    assumptions: tuple[str, ...]


_LOGGED: Final = "the logged chances are those the arms were drawn with, and never 0 where the new policy draws"


def self_normalised(rewards: ArrayLike, weights: ArrayLike, confidence: float) -> OffPolicyEstimate:
    """The weighted mean of the rewards (SNIPS), with an interval by the delta method.

    ``weights`` are the new policy's chance of the logged arm over the old one's. Guarantee: consistent, and
    the interval asymptotic in the effective sample size (Swaminathan and Joachims 2015, NeurIPS). The bias
    is of the order of 1 over that size, and the estimate stays within the rewards seen. Plain inverse
    weighting with clipped weights is not offered: clipping takes off what it cuts (on coding outcomes, half
    the accuracy). Where the new policy draws arms that the log never did, no weight can say so but the mean
    weight, which then is below 1. For one look: a log that is read daily until it pleases will please.
    """
    reward, weight = _logged(rewards, weights)
    total = float(weight.sum())
    estimate = float((weight * reward).sum()) / total if total > 0 else float("nan")
    if total <= 0:
        raise ValueError("the new policy draws none of the logged arms; the log says nothing of it")
    error = float(np.sqrt((weight**2 * (reward - estimate) ** 2).sum())) / total
    return _estimate(estimate, error, weight, confidence, "the effective sample size is large")


def doubly_robust(
    rewards: ArrayLike,
    weights: ArrayLike,
    predicted: ArrayLike,
    expected: ArrayLike,
    confidence: float,
    *,
    weight_at_most: float = np.inf,
) -> OffPolicyEstimate:
    """A model's mean under the new policy, corrected by the weighted errors that it made on the log.

    ``predicted`` is the model's reward of the logged arm, ``expected`` its mean over the new policy's arms.
    Guarantee: unbiased where the logged chances are true, whatever the model, and consistent where the
    model is true, whatever the chances; the interval is asymptotic (Dudík, Langford and Li 2011, ICML,
    arXiv 1103.4601). The model must not have been fitted on these requests: fit it on other ones, or by
    folds. ``weight_at_most`` clips the weights of the corrections alone, which trades variance for a
    bias of at most the model's error where it cuts. For one look, as ``self_normalised``.
    """
    reward, weight = _logged(rewards, weights)
    guess, mean = numbers(predicted, "predicted"), numbers(expected, "expected")
    if not reward.size == guess.size == mean.size:
        raise ValueError("every request has its reward, its weight and both predictions")
    parts = mean + np.minimum(weight, weight_at_most) * (reward - guess)
    error = float(parts.std(ddof=1)) / parts.size**0.5 if parts.size > 1 else float("inf")
    return _estimate(float(parts.mean()), error, weight, confidence, "the model was fitted on other requests")


def doubly_robust_change(
    rewards: ArrayLike,
    weights: ArrayLike,
    weights_before: ArrayLike,
    predicted: ArrayLike,
    expected_change: ArrayLike,
    *,
    confidence: float,
) -> Interval:
    """By how much the new policy's mean outcome differs from the logged one's, on the same requests.

    ``expected_change`` is the model's mean over the new policy's arms less that over the old one's, and
    ``weights_before`` what each request stands for under the old one: 1, where every outcome is known.
    Guarantee: that of ``doubly_robust``, of whose two estimates this is the difference; where the policies
    mostly draw the same arm, it is known far better than either. For one look, as ``self_normalised``.
    """
    reward, weight = _logged(rewards, weights)
    _, before = _logged(rewards, weights_before)
    guess, change = numbers(predicted, "predicted"), numbers(expected_change, "expected_change")
    if not reward.size == guess.size == change.size:
        raise ValueError("every request has its reward, its weights and both predictions")
    parts = change + (weight - before) * (reward - guess)
    error = float(parts.std(ddof=1)) / parts.size**0.5 if parts.size > 1 else float("inf")
    mean, reach = float(parts.mean()), _quantile(confidence, weight) * error
    assumed = (INDEPENDENT, FIXED_SIZE, _LOGGED, "the model was fitted on other requests")
    return Interval(mean, mean - reach, mean + reach, confidence, weight.size, assumed)


def doubly_robust_saving(
    costs: ArrayLike,
    weights: ArrayLike,
    weights_before: ArrayLike,
    predicted: ArrayLike,
    *,
    expected: ArrayLike,
    expected_before: ArrayLike,
    confidence: float,
) -> Interval:
    """Which share of the new policy's mean cost the logged one saved, on the same requests: negative if it cost more.

    One less the ratio of the two means of ``doubly_robust``, whose arguments these are; ``expected_before`` and
    ``weights_before`` are those of the logged policy. Guarantee: consistent as they are, and the interval, by the
    delta method (Fieller's is the same to this order), asymptotic in the effective sample size. The bias of a ratio
    is of the order of 1 over that size. Raises ValueError where the new policy's mean is not above 0. For one look,
    as ``self_normalised``.
    """
    cost, weight = _logged(costs, weights)
    _, before = _logged(costs, weights_before)
    guess, new, old = numbers(predicted, "predicted"), numbers(expected, "expected"), numbers(expected_before, "before")
    if not cost.size == guess.size == new.size == old.size:
        raise ValueError("every request has its cost, its weights and its three predictions")
    others, own = new + weight * (cost - guess), old + before * (cost - guess)
    whole = float(others.mean())
    if whole <= 0:
        raise ValueError("what costs nothing leaves nothing to save")
    ratio = float(own.mean()) / whole
    rests = own - ratio * others
    error = float(rests.std(ddof=1)) / rests.size**0.5 / whole if rests.size > 1 else float("inf")
    reach = _quantile(confidence, weight) * error
    assumed = (INDEPENDENT, FIXED_SIZE, _LOGGED, "the model was fitted on other requests")
    return Interval(1 - ratio, 1 - ratio - reach, 1 - ratio + reach, confidence, weight.size, assumed)


def _logged(rewards: ArrayLike, weights: ArrayLike) -> tuple[Floats, Floats]:
    reward, weight = nonempty(numbers(rewards, "rewards"), "rewards"), numbers(weights, "weights")
    if reward.size != weight.size:
        raise ValueError(f"every reward has a weight; there are {reward.size} and {weight.size}")
    if (weight < 0).any():
        raise ValueError("weights are ratios of chances and never negative")
    return reward, weight


def effective_size(weights: ArrayLike) -> float:
    """How many requests of equal weight would tell as much: (sum of weights)² ÷ sum of squared weights (Kish 1965)."""
    weight = numbers(weights, "weights")
    # Not by BLAS, whose threads wait for one another where processors are busy: six times as long beside a gateway.
    squares = float(np.square(weight).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0


def _quantile(confidence: float, weight: Floats) -> float:
    """Student's, by the effective sample size: few requests that speak for many make a wide interval."""
    return float(stdtrit(max(effective_size(weight) - 1, 1.0), (1 + checked_confidence(confidence)) / 2))


def _estimate(mean: float, error: float, weight: Floats, confidence: float, assumed: str) -> OffPolicyEstimate:
    reach = _quantile(confidence, weight) * error
    return OffPolicyEstimate(
        mean,
        mean - reach,
        mean + reach,
        confidence,
        weight.size,
        effective_size(weight),
        float(weight.mean()),
        float(weight.max()),
        (INDEPENDENT, FIXED_SIZE, _LOGGED, assumed),
    )
