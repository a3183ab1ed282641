"""``samples: auto``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.search.allocation import LEAST_GAIN, samples_for
from gateway.search.protocol import MAIN, Ceilings, Task, Terms
from tests.search.contract import TASK

PRICED = Task(Ceilings(draws=100), {MAIN: Terms(10, input_rate=1, output_rate=9)}, prompt_tokens=10)
"""A draw costs 100."""


@pytest.mark.parametrize("p_success", [0.03, 0.1, 0.35, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("value", [None, 150, 2_000, 10_000])
def test_the_last_draw_is_worth_it_and_one_more_is_not(p_success: float, value: int | None) -> None:
    """By the definition: p(1 − p)^n · value is at least the cost for the last draw, and not for the next."""
    samples = samples_for(replace(PRICED, p_success=p_success, value=value), 4096 // 64)
    least = LEAST_GAIN if value is None else 100 / value
    if samples < 64 and p_success >= least:
        assert p_success * (1 - p_success) ** samples < least
        assert p_success * (1 - p_success) ** (samples - 1) >= least * (1 - 1e-9)


def test_edges() -> None:
    """Certain success and certain failure take one draw, an unknown one as many as may be."""
    assert samples_for(replace(PRICED, p_success=1.0), 8) == 1
    assert samples_for(replace(PRICED, p_success=0.0), 8) == 1
    assert samples_for(PRICED, 8) == 8


def test_ceilings_bind() -> None:
    """No more than fit under the cost or the number of draws, and at least one."""
    assert samples_for(replace(PRICED, ceilings=Ceilings(draws=100, cost=350)), 8) == 3
    assert samples_for(replace(PRICED, ceilings=Ceilings(draws=2)), 8) == 2
    assert samples_for(replace(PRICED, ceilings=Ceilings(draws=100, cost=5)), 8) == 1
    assert samples_for(replace(TASK, p_success=0.3), 4) == 4
