"""Means from a few true labels and many cheap ones: predictions that are believed as far as they proved right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from calibrator.stats.results import FIXED_SIZE, Interval, checked_confidence, numbers, paired


@dataclass(frozen=True, slots=True)
class PredictionPowered:
    """The mean with its interval, how far predictions were believed (0 to 1), and what that was worth.

    ``labels_worth`` is how many true labels alone would have given the same width.
    """

    interval: Interval
    trust: float
    labels_worth: float


def predict_mean(
    truth: ArrayLike, predicted: ArrayLike, predicted_only: ArrayLike, confidence: float
) -> PredictionPowered:
    """The mean of the truth over the traffic, from labelled items and ones that are only predicted.

    Prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan and Zrnic 2023, Science 382:669,
    arXiv 2301.09633) with the trust that minimises the variance (PPI++, Angelopoulos, Duchi and Zrnic 2023,
    arXiv 2311.01453). Guarantee: asymptotic in the number of labels, whatever the quality of the predictions;
    useless ones cost nothing, as the trust tends to 0. Both sets of items must come from the same traffic:
    labels that arrive only from some (feedback of the unhappy) bias it, and the labelled share must then be
    drawn at random. A few dozen labels are too few. For one look; labels added until it pleases void it.
    """
    labels, guesses = paired(truth, predicted)
    others = numbers(predicted_only, "predicted_only")
    if min(labels.size, others.size) < _FEWEST:
        raise ValueError("at least two labelled items and two that are only predicted are needed")
    few, many = labels.size, others.size
    everything = np.concatenate((guesses, others))
    spread = float(everything.var(ddof=1))
    shared = float(np.cov(labels, guesses)[0, 1])
    trust = min(max(shared / ((1 + few / many) * spread), 0.0), 1.0) if spread > 0 else 0.0
    mean = trust * float(others.mean()) + float((labels - trust * guesses).mean())
    variance = trust**2 * float(others.var(ddof=1)) / many + float((labels - trust * guesses).var(ddof=1)) / few
    reach = float(ndtri((1 + checked_confidence(confidence)) / 2)) * variance**0.5
    plain = float(labels.var(ddof=1))
    assumed = (
        "labelled items and others are drawn independently from the same traffic",
        FIXED_SIZE,
        "enough labels for their mean to be nearly normal",
    )
    interval = Interval(mean, mean - reach, mean + reach, confidence, few + many, assumed)
    return PredictionPowered(interval, trust, plain / variance if variance > 0 else float(few))


_FEWEST = 2
