"""When the draws of a vote are launched: one after another, in stages that double, or all at once.

Measured on recorded traces of 8 models: stages of 2, 4 and 8 reach the full vote at about half of
its tokens; one after another costs the same and takes over twice as long; all at once, with the rest
cancelled once it is decided, takes half as long and costs three quarters.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Schedule(StrEnum):
    """How many draws are out before the vote is looked at again."""

    SEQUENTIAL = "sequential"
    STAGED = "staged"
    CONCURRENT = "concurrent"


def stage(schedule: Schedule, done: int, samples: int, needed: int, *, one_decides: bool = False) -> int:
    """How many draws may be launched in all, once ``done`` have come back and ``needed`` more could decide.

    No rule ends a vote after one draw, so unless ``one_decides`` the first two go together; and no stage
    holds more draws than could decide it if they agree.
    """
    if schedule is Schedule.CONCURRENT:
        return samples
    if schedule is Schedule.SEQUENTIAL:
        return min(samples, max(1 if one_decides else 2, done + 1))
    size = 2
    while size <= done:
        size *= 2
    return min(samples, size, max(2, done + needed))


_BUSY_CACHE: Final = 0.9
"""A server whose cache is this full begins to throw out what it has begun."""
_TIGHT: Final = 0.5
"""A search that usually takes more than this share of the time left cannot afford stages."""


def schedule_for(*, waiting: float, cache_use: float, left_s: float, usual_s: float | None) -> Schedule:
    """When to launch, by how busy the server is and how much time is left.

    ``waiting`` are the requests in the server's queue, ``cache_use`` the share of its cache in use;
    ``usual_s`` is how long the search usually takes at most, None where nobody knows.
    """
    if usual_s is not None and usual_s > _TIGHT * left_s:
        return Schedule.CONCURRENT
    is_busy = waiting > 0 or cache_use >= _BUSY_CACHE
    return Schedule.SEQUENTIAL if is_busy and usual_s is not None else Schedule.STAGED
