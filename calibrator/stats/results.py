"""What the methods return, and the checks of what they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

INDEPENDENT: Final = "items are drawn independently from the traffic that the estimate is for"
FIXED_SIZE: Final = "the number of items was set before any outcome was seen"
ANY_SIZE: Final = "holds at all sample sizes at once, however often one looks"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate between two bounds. A one-sided bound has minus or plus infinity, or the range's end, on the other.

    ``confidence`` is the chance, before the data are seen, that the bounds hold, where ``assumptions`` do.
    """

    estimate: float
    lower: float
    upper: float
    confidence: float
    sample_size: int
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks against a null: a ``p_value`` of at most p comes with a chance of at most p where the null is true.

    ``null`` is the value of the estimated quantity at the edge of what is to be refuted.
    """

    estimate: float
    null: float
    p_value: float
    sample_size: int
    assumptions: tuple[str, ...]


def checked_confidence(confidence: float) -> float:
    """The confidence as given, if it lies between 0 and 1; raises ValueError otherwise."""
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence} is none; give a number between 0 and 1, such as 0.9")
    return confidence


def risk_left(confidence: float) -> float:
    """One less the confidence, rounded so that 0.9 leaves 0.1; raises ValueError for what is no confidence."""
    return round(1 - checked_confidence(confidence), 12)


def numbers(values: ArrayLike, name: str) -> Floats:
    """The values as a flat array of finite floats; raises ValueError for anything else."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one row of numbers; it has {array.ndim} dimensions")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers; some are not")
    return array


def bounded(values: ArrayLike, name: str, low: float, high: float) -> Floats:
    """The values as a flat array of floats from ``low`` to ``high``; raises ValueError for anything else."""
    array = numbers(values, name)
    if array.size and (array.min() < low or array.max() > high):
        raise ValueError(f"{name} must lie from {low:g} to {high:g}; they span {array.min():g} to {array.max():g}")
    return array


def paired(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    """Two rows of finite numbers of the same length; raises ValueError for anything else."""
    one, other = numbers(first, "the first of the pairs"), numbers(second, "the second of the pairs")
    if one.size != other.size:
        raise ValueError(f"pairs need as many of one as of the other; there are {one.size} and {other.size}")
    return one, other


def nonempty(values: Floats, name: str) -> Floats:
    """The values as given, if there are any; raises ValueError otherwise."""
    if not values.size:
        raise ValueError(f"{name} must hold at least one number")
    return values
