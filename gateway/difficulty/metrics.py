"""How good predictions are: functions from arrays to a number, each stating what it measures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.floating[Any]]
BINS = 10


def macro_f1(labels: Collection[str], truth: Sequence[str], predicted: Sequence[str]) -> float:
    """The mean of F1 over the labels given."""
    return sum(f1(label, truth, predicted) for label in labels) / len(labels)


def f1(label: str, truth: Sequence[str], predicted: Sequence[str]) -> float:
    """The harmonic mean of one label's precision and recall: 2·TP / (2·TP + FP + FN)."""
    pairs = list(zip(truth, predicted, strict=True))
    right = sum(true == guess == label for true, guess in pairs)
    either = sum((true == label) + (guess == label) for true, guess in pairs)
    return 2 * right / either if either else 0.0


def calibration_error(predicted: Numbers, happened: Numbers) -> float:
    """Expected calibration error: |mean prediction - share that happened| in ten bins of equal width, by their size.

    Without a prediction nothing was promised, and the error is 0.
    """
    if not len(predicted):
        return 0.0
    bins = np.minimum((predicted * BINS).astype(int), BINS - 1)
    sizes = np.bincount(bins, minlength=BINS)
    gaps = np.bincount(bins, predicted, minlength=BINS) - np.bincount(bins, happened, minlength=BINS)
    return float(np.abs(gaps).sum() / sizes.sum())


def area_under_roc(score: Numbers, is_positive: NDArray[np.bool_]) -> float:
    """The chance that a positive scores above a negative; ties count half. 0.5 if either is missing."""
    positives, negatives = np.sort(score[is_positive]), np.sort(score[~is_positive])
    if not len(positives) or not len(negatives):
        return 0.5
    below = np.searchsorted(negatives, positives, side="left") + np.searchsorted(negatives, positives, side="right")
    return float(below.sum() / (2 * len(positives) * len(negatives)))


def gap_recovered(weak: Numbers, strong: Numbers, score: Numbers) -> float:
    """APGR: the share of the gap from weak to strong that routing recovers, averaged over all shares of strong calls.

    Prompts go to the strong model from the highest ``score`` down; equal scores share evenly what they
    bring together. Choosing at random gives 0.5; ordering by the true gain is the most that can be had, and
    more than 1, since it never calls the strong one where it does worse. There must be a gap: strong above weak.
    """
    gain = strong - weak
    _, group = np.unique(-score, return_inverse=True)
    shared = (np.bincount(group, gain) / np.bincount(group))[np.sort(group)]
    recovered = np.concatenate(([0.0], np.cumsum(shared))) / gain.sum()
    return float(((recovered[1:] + recovered[:-1]) / 2).mean())
