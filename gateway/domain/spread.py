"""How durations are spread, kept as counts in buckets that grow by a fifth: sums of them are exact, quantiles nearly.

Pure: everything is computed from the arguments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

STEPS_PER_DOUBLING: Final = 4
SHORTEST_S: Final = 0.001
"""What is shorter is counted with it."""
BUCKETS: Final = 81
"""From a millisecond to 2^20 of them, 17 minutes; what is longer is counted in the last."""

BOUNDS: Final = tuple(SHORTEST_S * 2 ** (number / STEPS_PER_DOUBLING) for number in range(1, BUCKETS))
"""The upper bounds of all buckets but the last, in seconds."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Counts by the number of a bucket."""

    counts: Mapping[int, int]

    @property
    def total(self) -> int:
        """How many durations there were."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float | None:
        """The duration in seconds that this share of all did not exceed, true to a tenth; None for none.

        It is the geometric middle of a bucket, whose ends are 19% apart: at most 9% from the true value.
        """
        total = self.total
        if not total:
            return None
        wanted = max(1, math.ceil(share * total))
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                return SHORTEST_S * math.exp2((bucket + 0.5) / STEPS_PER_DOUBLING)
        raise AssertionError("the counts of all buckets are their total")


def joined(spreads: Iterable[Mapping[str, int]]) -> Spread:
    """One spread of many, as the database holds them: by the buckets' numbers as text."""
    counts: dict[int, int] = {}
    for each in spreads:
        for bucket, count in each.items():
            counts[int(bucket)] = counts.get(int(bucket), 0) + count
    return Spread(counts)
