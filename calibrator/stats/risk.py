"""From tests of single rules to a choice among many that is still certified.

Each rule on a path has a p-value against "its loss is beyond the target". The procedures here say which of
them may be believed together: with the confidence, no rule that they certify loses more than the target.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from calibrator.stats.results import FIXED_SIZE, INDEPENDENT, Floats, bounded, risk_left


@dataclass(frozen=True, slots=True)
class Certified:
    """Which rules are certified: their places in the order given, ascending, and the p-values that were read."""

    places: tuple[int, ...]
    p_values: tuple[float, ...]
    confidence: float
    assumptions: tuple[str, ...]

    @property
    def last(self) -> int | None:
        """The furthest certified rule, if any."""
        return self.places[-1] if self.places else None


_VALID: Final = "each p-value is valid by itself; how they depend on one another does not matter"
_BEFORE: Final = "rules, their order and their weights were set without the outcomes that are tested"


def fixed_sequence(p_values: Iterable[float], confidence: float) -> Certified:
    """Certify rules in their order, each at the full risk, until the first whose p-value is above it.

    Guarantee: the chance that any certified rule is beyond the target is at most 1 - confidence, however
    the p-values depend on one another (fixed-sequence testing, Maurer, Hothorn and Lehmacher 1995; as
    Learn then Test, Angelopoulos et al. 2021, arXiv 2110.01052). The p-values are read one by one, so
    that a generator computes no more than are needed. The order must come from elsewhere (an earlier run,
    a part of the items kept for it, what is known of the arms): put in order by the same outcomes, the
    guarantee is gone. So it is when the walk is made again after more items, unless the p-values are
    anytime-valid. A path through one bad rule ends there; ``fallback`` goes on.
    """
    risk = risk_left(confidence)
    read: list[float] = []
    for p_value in p_values:
        read.append(_checked(p_value))
        if p_value > risk:
            break
    passed = len(read) - bool(read and read[-1] > risk)
    return Certified(tuple(range(passed)), tuple(read), confidence, (_VALID, _BEFORE))


def fallback(p_values: Iterable[float], weights: ArrayLike, confidence: float) -> Certified:
    """Certify rules in their order, each with its own share of the risk and what those certified before it left.

    Guarantee: that of ``fixed_sequence``, for weights that sum to at most 1 (Wiens 2003; Wiens and
    Dmitrienko 2005, J. Biopharm. Stat. 15:929). A rule that fails keeps its own share and what it had been
    left, and the walk goes on with the next share alone: weight on later rules is an insurance against a
    bad rule early on, paid for at each rule before. Order and weights are set before; no second walk.
    """
    risk = risk_left(confidence)
    shares = bounded(weights, "weights", 0, 1)
    if shares.sum() > 1 + _ROUNDING:
        raise ValueError(f"weights share one risk and sum to at most 1; these sum to {shares.sum():g}")
    places: list[int] = []
    read: list[float] = []
    left = 0.0
    for place, (p_value, share) in enumerate(zip(p_values, shares, strict=True)):
        read.append(_checked(p_value))
        level = risk * float(share) + left
        left = level if p_value <= level else 0.0
        if level > 0 and p_value <= level:
            places.append(place)
    return Certified(tuple(places), tuple(read), confidence, (_VALID, _BEFORE))


_ROUNDING: Final = 1e-9


def _checked(p_value: float) -> float:
    if not (0 <= p_value <= 1 and math.isfinite(p_value)):
        raise ValueError(f"a p-value lies from 0 to 1; {p_value} does not")
    return p_value


@dataclass(frozen=True, slots=True)
class ControlledRisk:
    """The threshold that conformal risk control takes: its place, the mean loss seen, and the target it meets.

    ``place`` is None where no threshold meets the target; ``estimate`` and ``bound`` are then those of the
    safest. ``bound`` is the mean loss with one more item of the largest loss added.
    """

    place: int | None
    estimate: float
    bound: float
    target: float
    sample_size: int
    assumptions: tuple[str, ...]


def control_risk(losses: ArrayLike, target: float, *, largest: float = 1.0) -> ControlledRisk:
    """The furthest threshold at which the mean loss of a new item is at most the target.

    ``losses[i, j]`` is the loss of item i, 0 to ``largest``, at threshold j; thresholds go from the safest
    to the boldest. Conformal risk control (Angelopoulos, Bates, Fisch, Lei and Schuster 2022, arXiv
    2208.02814): the theorem wants losses that only grow along the thresholds, so each is first raised to
    the largest before it. Guarantee: for items exchangeable with these, on average over sets of items
    and the new item. That is an expectation and no confidence: a single set may be beyond the target,
    and about as often as not slightly is. Where a confidence is wanted, ``fixed_sequence``. It holds for
    one choice; choosing again on the same items, or after looking, voids it.
    """
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim != _TABLE or not table.size:
        raise ValueError("losses are a table of items by thresholds, with at least one of each")
    bounded(table.ravel(), "losses", 0, largest)
    raised: Floats = np.maximum.accumulate(table, axis=1)
    items = len(raised)
    bounds = (raised.sum(axis=0) + largest) / (items + 1)
    meets = int(np.searchsorted(bounds > target, True))
    place = meets - 1 if meets else None
    shown = max(meets - 1, 0)
    assumed = (INDEPENDENT, FIXED_SIZE, f"losses lie from 0 to {largest:g}")
    return ControlledRisk(place, float(table[:, shown].mean()), float(bounds[shown]), target, items, assumed)


_TABLE: Final = 2
