"""When draws are launched: one after another, in stages, or all at once.

Measured on recorded traces of 8 models: stages reach the full vote at about half of its tokens; one after
another costs the same and takes over twice as long; all at once, with the rest cancelled once it is decided,
takes half as long and costs three quarters.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Schedule(StrEnum):
    """How many draws are out before the vote is looked at again."""

    SEQUENTIAL = "sequential"
    STAGED = "staged"
    CONCURRENT = "concurrent"


def stage(schedule: Schedule, done: int, samples: int, needed: int | None) -> int:
    """How many draws may be launched in all, once ``done`` have come back.

    ``needed`` are the fewest more that can decide it; None where any single one may. Draws none of which can be
    spared go out together: so stages of a vote cost no more than one after another, and a vote that hears
    every draw has a single stage.
    """
    if schedule is Schedule.CONCURRENT:
        return samples
    if schedule is Schedule.SEQUENTIAL:
        return min(samples, done + (1 if done or needed is None else min(2, needed)))
    return min(samples, _doubled(done) if needed is None else done + needed)


def _doubled(done: int) -> int:
    """The end of the stage that comes after so many draws: 2, 4, 8 and so on."""
    size = 2
    while size <= done:
        size *= 2
    return size


_BUSY_CACHE: Final = 0.9
"""A server whose cache is this full begins to throw out what it has begun."""
_TIGHT: Final = 0.5
"""A search that usually takes more than this share of the time left cannot afford stages."""


def schedule_for(
    *, waiting: float, cache_use: float, left_s: float, usual_s: float | None, may_spare: bool
) -> Schedule:
    """When to launch, by how busy the server is and how much time is left.

    ``waiting`` are the requests in the server's queue, ``cache_use`` the share of its cache in use;
    ``usual_s`` is how long the search usually takes at most, None where nobody knows. ``may_spare`` tells
    whether a stage may hold draws that were not needed: on a busy server these are worth waiting for.
    """
    if usual_s is not None and usual_s > _TIGHT * left_s:
        return Schedule.CONCURRENT
    is_busy = waiting > 0 or cache_use >= _BUSY_CACHE
    return Schedule.SEQUENTIAL if may_spare and is_busy and usual_s is not None else Schedule.STAGED
