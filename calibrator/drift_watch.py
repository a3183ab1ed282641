"""Whether what a profile was certified on still holds: alarms on outcomes and on the mix of categories. Pure.

A certificate takes traffic to be like what was measured, and models to be what they were. Neither can be
proved; an alarm says that it is no longer likely. Alarms are looked for again and again over the same period.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibrator.stats.drift import adaptive_window, page_hinkley, population_stability


@dataclass(frozen=True, slots=True)
class Scored:
    """An answer with its score, 0 to 1, as one source gave it. Those of a source are in the order of time."""

    source: str
    category: str
    arm: str
    score: float


TOLERANCE: Final = 0.05
"""A fall of a success rate by less than this is none."""
THRESHOLD: Final = 25.0
"""Of Page and Hinkley's sum: by simulation, of 50 steady streams fewer than one seems to fall in 20,000 scores."""
RISK: Final = 1e-4
"""Of one look of the adaptive window."""
FEWEST: Final = 200
"""Requests of either period before mixes are compared."""
LARGE_INDEX: Final = 0.25
"""Of the population stability index: by custom a large shift."""
_BY_CHANCE: Final = 1e-4
"""A shift that comes by chance oftener than this is none."""


def falls(scored: Iterable[Scored]) -> list[str]:
    """The streams whose success has fallen, in words.

    Each source is looked at for itself, as another mix of sources is no fall: by Page and Hinkley's test for
    each category and arm, against its own mean so far, and by an adaptive window over all of them. A slow
    slide within a cell is learnt and missed; that is what certificates expire for.
    """
    streams: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    whole: dict[str, list[float]] = defaultdict(list)
    for each in scored:
        streams[each.source, each.category, each.arm].append(each.score)
        whole[each.source].append(each.score)
    said = []
    for (source, category, arm), scores in sorted(streams.items()):
        alarm = page_hinkley(-np.array(scores), tolerance=TOLERANCE, threshold=THRESHOLD)
        if alarm.raised_after is not None:
            said.append(f"{arm} does worse on {category} than it did, {_means(scores)} by {source}")
    for source, scores in sorted(whole.items()):
        window = adaptive_window(scores, RISK)
        if window.changes and window.estimate < float(np.mean(scores[: len(scores) - window.window])):
            said.append(f"answers as a whole are worse than they were, {_means(scores, window.window)} by {source}")
    return said


def _means(scores: Sequence[float], newest: int = 0) -> str:
    """The success before and after: after is the last quarter, unless the newest scores are counted."""
    cut = len(scores) - (newest or max(len(scores) // 4, 1))
    before, after = float(np.mean(scores[:cut] or scores)), float(np.mean(scores[cut:]))
    return f"{before:.1%} of {cut:,} before and {after:.1%} of {len(scores) - cut:,} now,"


def shift(before: Mapping[str, int], now: Mapping[str, int]) -> str | None:
    """What is said of a mix of categories that is another now; None where it is not, or there are too few to tell."""
    names = sorted({*before, *now})
    was, are = ([counts.get(name, 0) for name in names] for counts in (before, now))
    if len(names) < _FEWEST_NAMES or min(sum(was), sum(are)) < FEWEST:
        return None
    found = population_stability(was, are)
    if found.index <= LARGE_INDEX or found.evidence.p_value > _BY_CHANCE:
        return None
    parts = [(share / sum(are) - old / sum(was), name) for name, old, share in zip(names, was, are, strict=True)]
    gap, name = max(parts, key=lambda part: abs(part[0]))
    return (
        f"the mix of categories is another than when the profile came into force (stability index {found.index:.2f}): "
        f"{name} is {abs(gap):.0%} {'more' if gap > 0 else 'less'} of the traffic"
    )


_FEWEST_NAMES: Final = 2
