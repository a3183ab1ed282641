"""What each search strategy takes in a policy, and the most model calls that it can lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.domain.arm import Arm, Strategy
from gateway.domain.search_sizes import SIZES

PARAMETERS: Final[Mapping[Strategy, frozenset[str]]] = {
    Strategy.GREEDY: frozenset(),
    Strategy.VOTE: frozenset({"samples", "max_samples"}),
    Strategy.BEST_OF_N: frozenset({"samples", "max_samples"}),
    Strategy.BEAM: frozenset({"beams", "expand", "depth"}),
    Strategy.DVTS: frozenset({"beams", "groups", "depth"}),
    Strategy.MCTS: frozenset({"simulations", "depth"}),
    Strategy.REVISE: frozenset({"rounds"}),
    Strategy.DRAFT: frozenset({"depth"}),
    Strategy.DECOMPOSE: frozenset({"parts"}),
    Strategy.REPAIR: frozenset({"rounds"}),
}
"""The parameters of each strategy, as arms name them."""


def calls_at_most(arm: Arm) -> int:
    """The most model calls that an answer of this arm can take; a cascade's are those of its arms."""

    def value(name: str) -> int:
        return int(arm.parameters.get(name, SIZES[arm.strategy][name]))

    return _CALLS[arm.strategy](arm.parameters, value)


def _samples(parameters: Mapping[str, Any], value: Callable[[str], int]) -> int:
    samples = parameters.get("samples", "auto")
    return value("max_samples") if samples == "auto" else int(samples)


_CALLS: Final[Mapping[Strategy, Callable[[Mapping[str, Any], Callable[[str], int]], int]]] = {
    Strategy.GREEDY: lambda _parameters, _value: 1,
    Strategy.VOTE: _samples,
    Strategy.BEST_OF_N: _samples,
    Strategy.BEAM: lambda _parameters, value: value("beams") * value("expand") * value("depth"),
    Strategy.DVTS: lambda _parameters, value: value("beams") * value("depth"),
    Strategy.MCTS: lambda _parameters, value: value("simulations") * value("depth"),
    Strategy.REVISE: lambda _parameters, value: 2 * value("rounds") + 1,
    Strategy.DRAFT: lambda _parameters, value: 2 * value("depth"),
    Strategy.DECOMPOSE: lambda _parameters, value: value("parts") + 2,
    Strategy.REPAIR: lambda _parameters, value: value("rounds") + 1,
}
