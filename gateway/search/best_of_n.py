"""Best of N: independent draws, of which the verifier picks one; weighted, the scores of equal answers add up.

A verifier that fails leaves a vote. An imperfect one is fooled more often as N grows: N is capped where that has
been measured of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.domain.arm import Strategy
from gateway.domain.search_sizes import SIZES
from gateway.search import parameters
from gateway.search.allocation import samples_for
from gateway.search.board import Board, Moves
from gateway.search.choosing import choose
from gateway.search.protocol import MAIN, Turn, Winner
from gateway.search.sampling import Rejection, Sampling, sample
from gateway.search.schedule import Schedule
from gateway.search.vote import Vote, vote

_SIZES: Final = SIZES[Strategy.BEST_OF_N]


@dataclass(frozen=True, slots=True)
class BestOfN:
    """How many draws, how they are launched, and which are not waited for.

    A draw with a score of ``accept`` or more ends the search. ``reject_below`` and ``reject_quantile``
    drop chains that score low after ``reject_after`` steps, and ``redraws`` may stand in for them.
    """

    samples: int | None = parameters.samples()
    max_samples: int = parameters.size(_SIZES["max_samples"])
    weighted: bool = parameters.flag(False)
    schedule: Schedule = field(default=Schedule.STAGED, metadata={"kind": Schedule})
    accept: float = parameters.share(0.99)
    temperature: float = parameters.temperature(0.8)
    reject_after: int = parameters.size(2)
    reject_below: float | None = parameters.optional_share()
    reject_quantile: float | None = parameters.optional_share()
    redraws: int = parameters.count(_SIZES["redraws"])
    role: str = MAIN
    turns: tuple[Turn, ...] = ()

    @property
    def calls_at_most(self) -> int:
        """The most model calls that it takes."""
        return (self.max_samples if self.samples is None else self.samples) + self.redraws


def best_of_n(board: Board, config: BestOfN) -> Moves[Winner]:
    """The draw with the best score, or the answer with the most; without a verifier it is a vote."""
    if board.task.verifier is None:
        counted = Vote(
            samples=config.samples,
            max_samples=config.max_samples,
            schedule=config.schedule,
            temperature=config.temperature,
            role=config.role,
            turns=config.turns,
        )
        return (yield from vote(board, counted))
    samples = config.samples or samples_for(board.task, config.max_samples, config.role)
    does_reject = config.reject_below is not None or config.reject_quantile is not None
    sampling = Sampling(
        samples=samples,
        schedule=config.schedule,
        temperature=config.temperature if samples > 1 else None,
        role=config.role,
        turns=config.turns,
        is_scored=True,
        rejection=Rejection(config.reject_after, config.reject_below, config.reject_quantile) if does_reject else None,
        redraws=config.redraws,
    )
    yield from sample(board, sampling, lambda _left: is_accepted(board, config.accept))
    return choose(board, board.draws, is_weighted=config.weighted)


def is_accepted(board: Board, accept: float) -> bool:
    """Whether a whole chain is scored so well that no other is worth waiting for."""
    return any((board.share(draw) or 0.0) >= accept for draw in board.whole if draw.is_scored)
