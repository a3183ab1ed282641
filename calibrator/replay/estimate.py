"""What a policy would have cost, taken and got right, by the log of others: overall and by category.

For each quantity two estimates stand side by side: the weighted mean of what was seen, and the same with a
model of cells that fills in what was not. Where they disagree beyond their intervals, or a doubt is named, the
log cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibrator.replay.chances import Why
from calibrator.replay.log import Log
from calibrator.replay.rewards import Predicted, Rewards, predict_scores, predict_values
from calibrator.stats.off_policy import (
    OffPolicyEstimate,
    doubly_robust,
    doubly_robust_change,
    doubly_robust_saving,
    effective_size,
    self_normalised,
)
from calibrator.stats.results import Floats, Interval

FEWEST: Final = 100
"""Of a smaller effective sample size an accuracy is known to a tenth at best, which ranks no two policies."""
_REACH: Final = 0.01
"""The share of a policy's draws that may go where the log never went."""
_ERRORS: Final = 4.0
_TOLERANCE: Final = 0.02
_SOME: Final = 2


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity under the policies that were logged, and under the new one by two estimates and as a change.

    Estimates are None where nothing could be computed. ``doubts`` say why the log cannot tell; without one it can.
    """

    known: int
    """Decisions of which the value is known."""
    logged: Interval | None
    weighted: OffPolicyEstimate | None
    modelled: OffPolicyEstimate | None
    change: Interval | None
    saved: Interval | None
    """Which share of the new policy's mean the logged one saved; None where that mean is not above 0."""
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A policy on logged decisions: of one category, or of all where ``category`` is None."""

    category: str | None
    decisions: int
    moved: float
    """The share of decisions that would go to another arm, on average over both policies' draws."""
    effective_sample_size: float
    mean_weight: float
    out_of_reach: Mapping[str, float]
    """Arms to which the new policy goes where the log had no chance of them, with the share of its decisions."""
    accuracy: Measure
    cost_usd: Measure
    latency_s: Measure


_Flags: TypeAlias = NDArray[np.bool_]


def replay_log(log: Log, rewards: Rewards, confidence: float) -> tuple[Replayed, ...]:
    """The estimates overall, and then by category, the most frequent first."""
    weight = log.new[log.new_row, log.arm] / log.old[log.old_row, log.arm]
    known = _Known(
        weight,
        (
            _Quantity(rewards.reward, rewards.stands_for, predict_scores(log, rewards)),
            *(_quantity(values, predict_values(log, values)) for values in (log.cost, log.latency_s)),
        ),
    )
    names, category = log.categories
    counts = np.bincount(category, minlength=len(names))
    scopes: list[tuple[str | None, _Flags]] = [(None, np.ones(log.cell.size, bool))]
    scopes += [(names[place], category == place) for place in np.argsort(-counts, kind="stable")]
    return tuple(_replayed(log, known, name, chosen, confidence) for name, chosen in scopes)


@dataclass(frozen=True, slots=True)
class _Quantity:
    """Values, for how many decisions each stands (0 where it is not known), and a model's."""

    values: Floats
    stands_for: Floats
    predicted: Predicted


@dataclass(frozen=True, slots=True)
class _Known:
    """The new policy's weight of every decision; accuracy, cost and latency."""

    weight: Floats
    quantities: Sequence[_Quantity]


def _quantity(values: Floats, predicted: Predicted) -> _Quantity:
    is_known = np.isfinite(values)
    return _Quantity(np.where(is_known, values, 0.0), is_known.astype(np.float64), predicted)


def _replayed(log: Log, known: _Known, category: str | None, chosen: _Flags, confidence: float) -> Replayed:
    weight = known.weight[chosen]
    moved, reach = _moves(log, chosen)
    doubts = _doubts(weight, reach) if weight.size else (_nothing(log),)
    accuracy, cost, latency = (_measure(weight, each, chosen, confidence, doubts) for each in known.quantities)
    return Replayed(
        category=category,
        decisions=weight.size,
        moved=moved,
        effective_sample_size=effective_size(weight) if weight.size else 0.0,
        mean_weight=float(weight.mean()) if weight.size else 0.0,
        out_of_reach=reach,
        accuracy=accuracy,
        cost_usd=cost,
        latency_s=latency,
    )


def _moves(log: Log, chosen: _Flags) -> tuple[float, Mapping[str, float]]:
    """The share of decisions that the new policy takes to other arms, and the part that the log never went, by arm."""
    among = len(log.new)
    pairs = np.bincount(log.old_row[chosen] * among + log.new_row[chosen])
    occurring = np.flatnonzero(pairs)
    if not occurring.size:
        return 0.0, {}
    share = pairs[occurring] / pairs.sum()
    old, new = log.old[occurring // among], log.new[occurring % among]
    moved = float(share @ np.maximum(new - old, 0).sum(axis=1))
    beyond = share @ np.where(old == 0, new, 0.0)
    return moved, {log.arms[place]: float(beyond[place]) for place in np.argsort(-beyond) if beyond[place] > 0}


def _nothing(log: Log) -> str:
    observed = log.left_out.get(Why.OBSERVED, 0)
    why = f": {observed:,} were only observed, and another arm answered" if observed else ""
    return f"no decision is left that says anything of it{why}"


def _doubts(weight: Floats, reach: Mapping[str, float]) -> tuple[str, ...]:
    """Why the log cannot tell of this policy, whatever is asked of it."""
    doubts = []
    missing = sum(reach.values())
    if missing > _REACH:
        arms = ", ".join(f"{arm} ({share:.1%})" for arm, share in reach.items() if share > _REACH / len(reach))
        doubts.append(
            f"{missing:.1%} of its decisions go to arms that were never drawn for such asks: {arms}; the mean weight "
            f"is {weight.mean():.2f} and not 1"
        )
    size = effective_size(weight)
    if size < FEWEST:
        doubts.append(f"the effective sample size is {size:.0f}, and {FEWEST} are the fewest that tell")
    expected, error = 1 - missing, float(weight.std()) / weight.size**0.5
    off = float(weight.mean()) - expected
    if abs(off) > max(_ERRORS * error, _TOLERANCE):
        doubts.append(
            f"the mean weight is {weight.mean():.2f} where the logged chances make it {expected:.2f}: the arms were "
            "not drawn with those chances"
        )
    return tuple(doubts)


def _measure(
    weight: Floats, quantity: _Quantity, chosen: _Flags, confidence: float, doubts: tuple[str, ...]
) -> Measure:
    values, stands_for = quantity.values[chosen], quantity.stands_for[chosen]
    known = int((stands_for > 0).sum())
    if known < _SOME:
        return Measure(known, None, None, None, None, None, (*doubts, "what came of its decisions is not known"))
    stands_for = stands_for / stands_for.mean()
    weights = weight * stands_for
    predicted = quantity.predicted
    own, new, old = predicted.own[chosen], predicted.new[chosen], predicted.old[chosen]
    logged = self_normalised(values, stands_for, confidence)
    size = effective_size(weights)
    if known < weight.size and 0 < size < FEWEST <= effective_size(weight):
        doubts = (*doubts, f"of the decisions whose value is known {size:.0f} are left as an effective sample size")
    weighted = self_normalised(values, weights, confidence) if weights.any() else None
    modelled = doubly_robust(values, weights, own, new, confidence)
    if weighted is None:
        doubts = (*doubts, "none of its arms was ever drawn where the value is known")
    elif modelled.lower > weighted.upper or weighted.lower > modelled.upper:
        doubts = (*doubts, f"the estimates contradict each other: {modelled.estimate:.4g} and {weighted.estimate:.4g}")
    return Measure(
        known=known,
        logged=Interval(
            logged.estimate, logged.lower, logged.upper, confidence, logged.sample_size, logged.assumptions
        ),
        weighted=weighted,
        modelled=modelled,
        change=doubly_robust_change(values, weights, stands_for, own, new - old, confidence=confidence),
        saved=doubly_robust_saving(
            values, weights, stands_for, own, expected=new, expected_before=old, confidence=confidence
        )
        if modelled.estimate > 0
        else None,
        doubts=doubts,
    )
