"""Search strategies: generators that think without a network, so that calibration and replay run the very same.

:func:`begin` starts one by its name. A strategy is listed here, and its contract tests adopt it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gateway.domain.arm import Strategy
from gateway.domain.search_sizes import NEEDS_VERIFIER
from gateway.errors import ConfigurationError
from gateway.search import parameters
from gateway.search.accounts import Accounts
from gateway.search.beam import Beam, beam
from gateway.search.best_of_n import BestOfN, best_of_n
from gateway.search.board import Board, Moves
from gateway.search.decompose import Decompose, decompose
from gateway.search.draft import Draft, draft
from gateway.search.dvts import Dvts, dvts
from gateway.search.greedy import Greedy, greedy
from gateway.search.mcts import Mcts, mcts
from gateway.search.protocol import Search, Task, Winner
from gateway.search.repair import Repair, repair
from gateway.search.revise import Revise, revise
from gateway.search.vote import Vote, vote
from gateway.yaml_text import nearest


class Config(Protocol):
    """The parameters of a strategy."""

    @property
    def calls_at_most(self) -> int:
        """The most model calls that a search with them takes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A strategy: its parameters, its generator, and whether it can do without a verifier."""

    config: type[Config]
    run: Callable[[Board, Any], Moves[Winner]]
    needs_verifier: bool


def _entry(strategy: Strategy, config: type[Config], run: Callable[[Board, Any], Moves[Winner]]) -> tuple[str, Entry]:
    return strategy.value, Entry(config, run, strategy in NEEDS_VERIFIER)


STRATEGIES: Final[Mapping[str, Entry]] = dict(
    [
        _entry(Strategy.GREEDY, Greedy, greedy),
        _entry(Strategy.VOTE, Vote, vote),
        _entry(Strategy.BEST_OF_N, BestOfN, best_of_n),
        _entry(Strategy.BEAM, Beam, beam),
        _entry(Strategy.DVTS, Dvts, dvts),
        _entry(Strategy.MCTS, Mcts, mcts),
        _entry(Strategy.REVISE, Revise, revise),
        _entry(Strategy.DRAFT, Draft, draft),
        _entry(Strategy.DECOMPOSE, Decompose, decompose),
        _entry(Strategy.REPAIR, Repair, repair),
    ]
)
"""Every strategy that parameters alone describe. A cascade is made of arms: :mod:`gateway.search.cascade`."""


def entry(name: str) -> Entry:
    """A strategy by its name. Raises ConfigurationError with the nearest name that there is."""
    if name not in STRATEGIES:
        raise ConfigurationError(f"there is no strategy {name!r}; {nearest(name, STRATEGIES)}")
    return STRATEGIES[name]


def configure(name: str, given: Mapping[str, Any]) -> Config:
    """A strategy's parameters, as an arm writes them. Raises ConfigurationError for what it does not take."""
    return parameters.read(name, entry(name).config, given)


def begin(name: str, task: Task, config: Config) -> Search:
    """Start a search. Raises ConfigurationError where it needs a verifier and the task has none."""
    found = entry(name)
    if found.needs_verifier and task.verifier is None:
        raise ConfigurationError(f"strategy {name} needs a verifier to choose between steps")
    return found.run(Board(Accounts(task)), config)
