"""What has been seen of a canary so far, as sums that can be stored and taken up again with the next batch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from calibrator.guarding.contrast import Cell, Claim, Contrast, Group, Tally, contrast
from calibrator.stats.betting import Side

HARM: Final = 0
"""The claim on quality that the new version is worse."""
NO_WORSE: Final = 1
"""The claim on quality that the new version is worse by less than the margin."""
SLOW_SHARE: Final = 0.05
"""Of the old version's answers are slower than its 95th percentile; as many more of the new may be beyond the bound."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a canary must show and may not do; see ``calibrate.guard`` of the policy.

    Where a limit is None, that quantity is not watched.
    """

    margin: float
    risk: float
    timeout_s: float
    min_outcomes: int
    cost_at_most: float | None
    latency_at_most: float | None
    errors_at_most: float | None


@dataclass(frozen=True, slots=True)
class Labelled:
    """A conversation with a score, 0 to 1; ``probability`` is that with which it was chosen to be judged."""

    cell: Cell
    share: float
    is_new: bool
    is_same: bool
    score: float
    weight: float
    probability: float


@dataclass(frozen=True, slots=True)
class Served:
    """A conversation that the two versions answer differently, as it went; the cost is None where it is not known."""

    cell: Cell
    share: float
    is_new: bool
    has_failed: bool
    total_s: float
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Baseline:
    """How the old version's answers went: what the new version's are measured by.

    ``times`` counts them by steps of a twentieth; older ones fade, as the hours differ. ``largest_cost`` is
    what counts as one: a single dearer answer counts no more than that.
    """

    times: Mapping[int, int] = field(default_factory=dict)
    costs: Group = field(default_factory=Group)
    largest_cost: float | None = None

    @property
    def slow_s(self) -> float | None:
        """The 95th percentile of the times; None while there are few."""
        count = sum(self.times.values())
        if count < _FEWEST:
            return None
        passed = 0
        for step in sorted(self.times):
            passed += self.times[step]
            if passed >= (1 - SLOW_SHARE) * count:
                return math.exp((step + 1) * _STEP)
        raise AssertionError("unreachable: all of them are passed at the last step")

    def extended(self, batch: Iterable[Served]) -> Baseline:
        """The baseline with what the old version did in this batch."""
        times: Counter[int] = Counter(self.times)
        costs = self.costs
        for each in batch:
            if each.is_new:
                continue
            times[math.floor(math.log(max(each.total_s, _SHORTEST_S)) / _STEP)] += 1
            if each.cost_usd is not None:
                costs = Group(costs.count + 1, costs.total + each.cost_usd)
        while times.total() > _MOST:
            times = Counter({step: count // 2 for step, count in times.items() if count > 1})
        largest = self.largest_cost
        if largest is None and costs.count >= _FEWEST and costs.total > 0:
            largest = _LARGEST_COST * costs.total / costs.count
        return Baseline(dict(sorted(times.items())), costs, largest)


_FEWEST: Final = 200
"""Answers of the old version before anything is measured by them."""
_MOST: Final = 4_000
"""Times beyond which all that are kept count half."""
_STEP: Final = math.log(1.05)
_SHORTEST_S: Final = 0.001
_LARGEST_COST: Final = 10.0
"""Times the old version's mean cost: what a single answer counts at most."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a canary.

    ``labelled`` counts the new version's conversations with a score by the share that it had as they began, and
    leaves out those that the old one would have answered alike.
    ``rarest`` is the smallest probability of being judged that occurred so far.
    """

    terms: Terms
    quality: Contrast
    errors: Contrast | None
    slowness: Contrast | None
    cost: Contrast | None
    labelled: Mapping[float, int] = field(default_factory=dict)
    rarest: float = 1.0
    baseline: Baseline = field(default_factory=Baseline)

    def with_labels(self, batch: Sequence[Labelled]) -> Evidence:
        """The evidence after these scores.

        A conversation that was judged with a known probability stands for as many as that says, and for less
        where its source is less sure: weights are relative to the rarest kind that was seen before.
        """
        tallies: Counter[Tally] = Counter()
        labelled = Counter(self.labelled)
        for each in batch:
            weight = min(self.rarest / each.probability, 1.0) * each.weight
            tallies[Tally(each.cell, each.share, each.is_new, each.score, weight, each.is_same)] += 1
            if each.is_new and not each.is_same:
                labelled[each.share] += 1
        return replace(
            self,
            quality=self.quality.extended(_counted(tallies)),
            labelled=dict(labelled),
            rarest=min((self.rarest, *(each.probability for each in batch))),
        )

    def with_traffic(self, batch: Sequence[Served]) -> Evidence:
        """The evidence after these answers, measured by the baseline from before them."""
        errors = Counter(Tally(each.cell, each.share, each.is_new, float(each.has_failed)) for each in batch)
        return replace(
            self,
            errors=None if self.errors is None else self.errors.extended(_counted(errors)),
            slowness=self._slowness(batch),
            cost=self._cost(batch),
            baseline=self.baseline.extended(batch),
        )

    def _slowness(self, batch: Sequence[Served]) -> Contrast | None:
        usual_s, factor = self.baseline.slow_s, self.terms.latency_at_most
        if self.slowness is None or usual_s is None or factor is None:
            return self.slowness
        bound_s = factor * usual_s
        slow = Counter(Tally(each.cell, each.share, each.is_new, float(each.total_s > bound_s)) for each in batch)
        return self.slowness.extended(_counted(slow))

    def _cost(self, batch: Sequence[Served]) -> Contrast | None:
        largest = self.baseline.largest_cost
        if self.cost is None or largest is None:
            return self.cost
        spent = Counter(
            Tally(each.cell, each.share, each.is_new, min(each.cost_usd / largest, 1.0))
            for each in batch
            if each.cost_usd is not None
        )
        return self.cost.extended(_counted(spent))


def _counted(tallies: Mapping[Tally, int]) -> list[Tally]:
    return [replace(tally, count=count) for tally, count in tallies.items()]


def begin_evidence(terms: Terms) -> Evidence:
    """The evidence on a canary of which nothing has been seen."""
    failing = terms.errors_at_most
    return Evidence(
        terms,
        quality=contrast((Claim(0.0, Side.UPPER), Claim(-terms.margin, Side.LOWER))),
        errors=None if failing is None else contrast((Claim(failing, Side.LOWER),)),
        slowness=None if terms.latency_at_most is None else contrast((Claim(SLOW_SHARE, Side.LOWER),)),
        cost=None if terms.cost_at_most is None else contrast((Claim(0.0, Side.LOWER),), ratio=terms.cost_at_most),
    )
