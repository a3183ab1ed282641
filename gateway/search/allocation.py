"""``samples: auto``: how many independent draws an ask deserves, from what is predicted of it.

With a success of p a draw, the n-th more raises the chance that one is right by p(1 − p)^n. Draws are
added while that gain is worth what they cost, and the ceiling allows them.
"""

from __future__ import annotations

import math
from typing import Final

from gateway.search.protocol import MAIN, Task

LEAST_GAIN: Final = 0.01
"""Where nobody has put a price on correctness, a draw must add a point to the chance that one is right."""


def samples_for(task: Task, most: int, role: str = MAIN) -> int:
    """The number of draws: at least 1, at most ``most``, and ``most`` where no success is predicted."""
    affordable = min(most, task.ceilings.draws, _affordable(task, role, most))
    if task.p_success is None:
        return max(1, affordable)
    return max(1, min(affordable, _worthwhile(task.p_success, _least_gain(task, role))))


def _worthwhile(p_success: float, least_gain: float) -> int:
    """The largest n whose last draw still gains as much: p(1 − p)^(n − 1) ≥ the least gain."""
    if p_success < least_gain or p_success <= 0:
        return 0
    if p_success >= 1:
        return 1
    if least_gain <= 0:
        return _ENDLESS
    return 1 + math.floor(math.log(least_gain / p_success) / math.log1p(-p_success) + _ROUNDING)


_ENDLESS: Final = 2**31
_ROUNDING: Final = 1e-9


def _least_gain(task: Task, role: str) -> float:
    if task.value is None or task.value <= 0:
        return LEAST_GAIN
    return _draw_cost(task, role) / task.value


def _draw_cost(task: Task, role: str) -> int:
    terms = task.terms[role]
    return terms.input_rate * task.prompt_tokens + terms.output_rate * terms.max_tokens


def _affordable(task: Task, role: str, most: int) -> int:
    cost = _draw_cost(task, role)
    if task.ceilings.cost is None or cost == 0:
        return most
    return task.ceilings.cost // cost
