"""What strategies take in a policy, and the most calls that they can lead to."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.arm import Arm, Strategy
from gateway.policy.strategies import PARAMETERS, TAKEN, calls_at_most


@pytest.mark.parametrize(
    ("strategy", "parameters", "calls"),
    [
        (Strategy.GREEDY, {}, 1),
        (Strategy.VOTE, {}, 8),
        (Strategy.VOTE, {"samples": "auto", "max_samples": 5}, 5),
        (Strategy.VOTE, {"samples": 3, "max_samples": 5}, 3),
        (Strategy.BEST_OF_N, {"samples": 4}, 4),
        (Strategy.BEST_OF_N, {"samples": 4, "redraws": 3}, 7),
        (Strategy.BEAM, {"beams": 4, "expand": 2, "depth": 3}, 24),
        (Strategy.BEAM, {"beams": 4, "expand": 2, "depth": 3, "lookahead": 5}, 48),
        (Strategy.DVTS, {"beams": 16, "groups": 4}, 128),
        (Strategy.DVTS, {"lookahead": 1}, 256),
        (Strategy.MCTS, {"simulations": 50, "depth": 4}, 51),
        (Strategy.MCTS, {"simulations": 1}, 1),
        (Strategy.REVISE, {"rounds": 3}, 7),
        (Strategy.DRAFT, {"depth": 4}, 8),
        (Strategy.DECOMPOSE, {"parts": 3}, 5),
        (Strategy.DECOMPOSE, {"parts": 3, "part_samples": 4}, 14),
        (Strategy.REPAIR, {"rounds": 2}, 3),
    ],
)
def test_each_strategy_has_a_most_of_calls(strategy: Strategy, parameters: dict[str, Any], calls: int) -> None:
    """What is left out has the size that is assumed for it."""
    assert calls_at_most(Arm("a", "m", strategy=strategy, parameters=parameters)) == calls
    assert parameters.keys() <= PARAMETERS[strategy]


def test_every_strategy_but_the_cascade_can_be_written() -> None:
    """A cascade is written by its arms."""
    assert set(Strategy) - set(PARAMETERS) == {Strategy.CASCADE}


def test_only_searches_that_meet_steps_take_their_end() -> None:
    """Those that draw or judge an answer by its steps; a small model drafts for one strategy only."""
    by_steps = {strategy.value for strategy, taken in TAKEN.items() if "step" in taken}
    assert by_steps == {"best_of_n", "beam", "dvts", "mcts", "draft", "repair"}
    assert [strategy for strategy, taken in TAKEN.items() if "draft" in taken] == [Strategy.DRAFT]
