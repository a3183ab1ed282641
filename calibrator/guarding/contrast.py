"""How a quantity differs between the conversations of the new version and those of the old, looked at all the time.

Which version a conversation has is drawn by the gateway with a known chance. So each conversation gives one
score whose mean is the difference, whatever the chance was (:func:`calibrator.stats.sequences.difference_scores`
in a form for sums), and bets on these scores are evidence for or against a claim about the difference.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np

from calibrator.stats.betting import Side
from calibrator.stats.results import Floats, Interval
from calibrator.stats.sequences import EProcess, Moments, asymptotic_interval, begin

Cell: TypeAlias = str
"""A rule, a category and a difficulty, as one word."""


@dataclass(frozen=True, slots=True)
class Tally:
    """So many conversations of one cell that had the same value, from 0 to 1, of the same version.

    ``share`` was the chance of the new version when they began, and ``weight``, above 0 and up to 1, is how
    much each counts. ``is_same`` is set where both versions give the same answer: such a conversation
    differs by nothing, whatever came of it.
    """

    cell: Cell
    share: float
    is_new: bool
    value: float
    weight: float = 1.0
    is_same: bool = False
    count: int = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """That the difference lies beyond ``null``: above it for LOWER, below it for UPPER."""

    null: float
    side: Side


@dataclass(frozen=True, slots=True)
class Group:
    """How many conversations one version had, and the sum of their values."""

    count: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float | None:
        """The mean value; None before the first."""
        return self.total / self.count if self.count else None


@dataclass(frozen=True, slots=True)
class Sums:
    """What the interval of the difference is read from: powers of the weights and of the weighted scores."""

    weights: float = 0.0
    squared_weights: float = 0.0
    scores: float = 0.0
    crossed: float = 0.0
    squared_scores: float = 0.0


@dataclass(frozen=True, slots=True)
class Contrast:
    """What is known so far of "the mean of the new, less ``ratio`` times that of the old". Resumed with every batch.

    Each claim has an e-process. Its bets are shares of the largest that no value could ruin, which depends
    on the share of traffic that the new version had when the conversation began; so one process runs on
    through all stages, and conversations of an earlier stage may be judged late.

    Guarantee: where a claim is false, the chance that its evidence ever reaches 1/risk is at most the risk,
    however often one looks and whatever is decided on the way (Ville 1939). It rests on this: which
    version a conversation has was drawn with the stated chance, independently of all that was counted
    before; each conversation is counted once; and whether it is counted does not depend on its version.
    It fails where labels come rather from one version than from the other.
    """

    ratio: float
    claims: tuple[Claim, ...]
    processes: tuple[EProcess, ...]
    centres: Mapping[Cell, Group] = field(default_factory=dict)
    new: Group = field(default_factory=Group)
    old: Group = field(default_factory=Group)
    sums: Sums = field(default_factory=Sums)

    def shown(self, number: int, risk: float) -> bool:
        """Whether the claim of this number has been shown at the risk, now or at any look before."""
        return self.processes[number].refutes(risk)

    @property
    def count(self) -> int:
        """How many conversations were counted, of both versions."""
        return self.processes[0].sample_size

    def extended(self, batch: Sequence[Tally]) -> Contrast:
        """The contrast after these conversations, in whatever order."""
        if not batch:
            return self
        guesses = self._guesses({each.cell for each in batch})
        columns = _columns(batch, guesses)
        scores = _scores(columns, self.ratio)
        ranges = _ranges(columns.shares, np.array(sorted(set(guesses.values()))), self.ratio)
        processes = tuple(
            process.tallied(_gains(claim, columns, scores, ranges), columns.counts)
            for claim, process in zip(self.claims, self.processes, strict=True)
        )
        return replace(
            self,
            processes=processes,
            centres=_centred(self.centres, batch),
            new=_added(self.new, batch, is_new=True),
            old=_added(self.old, batch, is_new=False),
            sums=_summed(self.sums, columns, scores),
        )

    def interval(self, confidence: float) -> Interval:
        """The difference between bounds that hold at any time, asymptotically; for people to read.

        Nothing is decided by it: that is what the e-processes are for. The conversations of each stage
        count by how much they tell, which is known beforehand.
        """
        known = self.sums
        if not known.weights:
            return asymptotic_interval(Moments(0, 0.0, 0.0), confidence, narrowest_at=_NARROWEST_AT)
        estimate = known.scores / known.weights
        spread = known.squared_scores - 2 * estimate * known.crossed + estimate**2 * known.squared_weights
        variance = max(spread / self.count, 0.0) * (self.count / known.weights) ** 2
        return asymptotic_interval(Moments(self.count, estimate, variance), confidence, narrowest_at=_NARROWEST_AT)

    def _guesses(self, cells: Collection[Cell]) -> Mapping[Cell, float]:
        """A guess of the mean in these cells, and all that are known, from before the batch.

        The better they are, the less the scores vary; bad ones do no harm. ``_NOWHERE`` has that of a new cell.
        """
        count = sum(group.count for group in self.centres.values())
        overall = (sum(group.total for group in self.centres.values()) + _PRIOR / 2) / (count + _PRIOR)
        known = {
            cell: (group.total + _PRIOR * overall) / (group.count + _PRIOR) for cell, group in self.centres.items()
        }
        return {**dict.fromkeys((*cells, _NOWHERE), overall), **known}


def contrast(claims: Sequence[Claim], *, ratio: float = 1.0) -> Contrast:
    """A contrast before its first conversation."""
    processes = tuple(_before(claim.side) for claim in claims)
    return Contrast(ratio, tuple(claims), processes)


def _before(side: Side) -> EProcess:
    if side is Side.LOWER:
        return begin(0.0, side, low=-1.0, high=math.inf)
    return begin(0.0, side, low=-math.inf, high=1.0)


_NOWHERE: Final = ""
_PRIOR: Final = 20.0
"""Conversations that a guess from all cells is worth in a cell, and that one half is worth before there are any."""
_NARROWEST_AT: Final = 5_000
_ROUNDING: Final = 1 + 1e-9
"""So that the largest loss is never, by a last digit, larger than what was set aside for it."""


@dataclass(frozen=True, slots=True)
class _Columns:
    shares: Floats
    are_new: Floats
    values: Floats
    weights: Floats
    are_same: Floats
    counts: Floats
    centres: Floats


def _columns(batch: Sequence[Tally], centre: Mapping[Cell, float]) -> _Columns:
    return _Columns(
        shares=np.array([each.share for each in batch]),
        are_new=np.array([each.is_new for each in batch], dtype=float),
        values=np.array([each.value for each in batch], dtype=float),
        weights=np.array([each.weight for each in batch], dtype=float),
        are_same=np.array([each.is_same for each in batch], dtype=float),
        counts=np.array([each.count for each in batch], dtype=float),
        centres=np.array([centre[each.cell] for each in batch]),
    )


def _scores(columns: _Columns, ratio: float) -> Floats:
    """One score a row, whose mean given the cell is the difference there."""
    gaps = columns.values - columns.centres
    drawn = np.where(columns.are_new > 0, gaps / columns.shares, -ratio * gaps / (1 - columns.shares))
    scores: Floats = np.where(columns.are_same > 0, 0.0, drawn + (1 - ratio) * columns.centres)
    return scores


def _ranges(shares: Floats, guesses: Floats, ratio: float) -> tuple[Floats, Floats]:
    """The least and the largest score of each row, whatever its cell."""
    by_share: dict[float, tuple[float, float]] = {}
    for share in set(shares.tolist()):
        fixed = (1 - ratio) * guesses
        least = np.minimum(-guesses / share, -ratio * (1 - guesses) / (1 - share)) + fixed
        most = np.maximum((1 - guesses) / share, ratio * guesses / (1 - share)) + fixed
        by_share[share] = min(float(least.min()), 0.0), max(float(most.max()), 0.0)
    pairs = np.array([by_share[share] for share in shares.tolist()])
    return pairs[:, 0], pairs[:, 1]


def _gains(claim: Claim, columns: _Columns, scores: Floats, ranges: tuple[Floats, Floats]) -> Floats:
    """The scores beside the claim's null, in units of the largest loss that a bet on it could make.

    The unit may depend on the share and on what was known before, and not on the cell: else the cells would
    count by other weights than the traffic gives them.
    """
    low, high = ranges
    units = _ROUNDING * (claim.null - low if claim.side is Side.LOWER else high - claim.null)
    gains: Floats = columns.weights * (scores - claim.null) / units
    return gains


def _centred(centres: Mapping[Cell, Group], batch: Sequence[Tally]) -> Mapping[Cell, Group]:
    after = dict(centres)
    for each in batch:
        if each.is_same:
            continue
        seen = after.get(each.cell, Group())
        after[each.cell] = Group(seen.count + each.count, seen.total + each.value * each.count)
    return after


def _added(group: Group, batch: Sequence[Tally], *, is_new: bool) -> Group:
    chosen = [each for each in batch if each.is_new == is_new and not each.is_same]
    count = sum(each.count for each in chosen)
    return Group(group.count + count, group.total + sum(each.value * each.count for each in chosen))


def _summed(sums: Sums, columns: _Columns, scores: Floats) -> Sums:
    weights = columns.weights * columns.shares * (1 - columns.shares)
    times = columns.counts
    return Sums(
        sums.weights + float(weights @ times),
        sums.squared_weights + float(weights**2 @ times),
        sums.scores + float((weights * scores) @ times),
        sums.crossed + float((weights**2 * scores) @ times),
        sums.squared_scores + float(((weights * scores) ** 2) @ times),
    )
