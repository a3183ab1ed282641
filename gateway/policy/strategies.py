"""What each search strategy takes in a policy, and the most model calls that it can lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.domain.arm import Arm, Strategy
from gateway.domain.search_sizes import BY_STEPS, SIZES

_DRAWS: Final = frozenset({"samples", "max_samples", "schedule", "weighted", "temperature"})
_CLIMBS: Final = frozenset({"beams", "depth", "accept", "lookahead", "weighted", "temperature"})
_REJECTS: Final = frozenset({"reject_after", "reject_below", "reject_quantile", "redraws"})

PARAMETERS: Final[Mapping[Strategy, frozenset[str]]] = {
    Strategy.GREEDY: frozenset(),
    Strategy.VOTE: _DRAWS | {"stop", "confidence", "futile_after"},
    Strategy.BEST_OF_N: _DRAWS | _REJECTS | {"accept"},
    Strategy.BEAM: _CLIMBS | {"expand"},
    Strategy.DVTS: _CLIMBS | {"groups"},
    Strategy.MCTS: frozenset(
        {"simulations", "depth", "parallel", "exploration", "widening", "visit_floor", "accept", "temperature"}
    ),
    Strategy.REVISE: frozenset({"rounds", "accept"}),
    Strategy.DRAFT: frozenset({"depth", "sure", "patience"}),
    Strategy.DECOMPOSE: frozenset({"parts", "part_samples"}),
    Strategy.REPAIR: frozenset({"rounds", "floor", "fall", "accept", "temperature"}),
}
"""The parameters of each strategy, as arms name them and the search itself is told."""

_STEPS: Final = frozenset({"step"})

TAKEN: Final[Mapping[Strategy, frozenset[str]]] = {
    strategy: parameters
    | (_STEPS if strategy in BY_STEPS or strategy is Strategy.BEST_OF_N else frozenset())
    | (frozenset({"draft"}) if strategy is Strategy.DRAFT else frozenset())
    for strategy, parameters in PARAMETERS.items()
}
"""All that an arm may write for a strategy: its parameters, and what whoever runs it must know besides."""


def calls_at_most(arm: Arm) -> int:
    """The most model calls that an answer of this arm can take; a cascade's are those of its arms."""

    def value(name: str) -> int:
        return int(arm.parameters.get(name, SIZES[arm.strategy][name]))

    return _CALLS[arm.strategy](arm.parameters, value)


_Value = Callable[[str], int]


def _samples(parameters: Mapping[str, Any], value: _Value) -> int:
    samples = parameters.get("samples", "auto")
    return value("max_samples") if samples == "auto" else int(samples)


def _ahead(value: _Value) -> int:
    """Looking ahead takes a call more for each that it judges."""
    return 2 if value("lookahead") else 1


def _simulated(value: _Value) -> int:
    """A step for each simulation, and one draw to bring the best path to its end."""
    return value("simulations") + (value("simulations") > 1)


_CALLS: Final[Mapping[Strategy, Callable[[Mapping[str, Any], _Value], int]]] = {
    Strategy.GREEDY: lambda _parameters, _value: 1,
    Strategy.VOTE: _samples,
    Strategy.BEST_OF_N: lambda parameters, value: _samples(parameters, value) + value("redraws"),
    Strategy.BEAM: lambda _parameters, value: value("beams") * value("expand") * value("depth") * _ahead(value),
    Strategy.DVTS: lambda _parameters, value: value("beams") * value("depth") * _ahead(value),
    Strategy.MCTS: lambda _parameters, value: _simulated(value),
    Strategy.REVISE: lambda _parameters, value: 2 * value("rounds") + 1,
    Strategy.DRAFT: lambda _parameters, value: 2 * value("depth"),
    Strategy.DECOMPOSE: lambda _parameters, value: value("parts") * value("part_samples") + 2,
    Strategy.REPAIR: lambda _parameters, value: value("rounds") + 1,
}
