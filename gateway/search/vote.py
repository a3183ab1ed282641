"""Vote (self-consistency, Wang et al. 2022, arXiv 2203.11171): the most common answer of several draws.

It stops as soon as the vote is decided, by one of the rules of :mod:`gateway.search.stopping`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.domain.arm import Strategy
from gateway.domain.search_sizes import SIZES
from gateway.search import parameters
from gateway.search.allocation import samples_for
from gateway.search.board import Board, Moves
from gateway.search.choosing import elect
from gateway.search.protocol import MAIN, Turn, Winner
from gateway.search.sampling import Sampling, done, sample
from gateway.search.schedule import Schedule
from gateway.search.stopping import Standing, Stop, draws_needed, is_decided, is_futile
from gateway.search.tally import Tally

_SIZES: Final = SIZES[Strategy.VOTE]


@dataclass(frozen=True, slots=True)
class Vote:
    """How many draws at most, when they are launched, and when the vote is decided.

    ``weighted`` counts each draw by its score, where there is a verifier; ``confidence`` is the level
    of the stopping rule. ``futile_after`` so many draws of which no two agree, more are not drawn.
    """

    samples: int | None = parameters.samples()
    max_samples: int = parameters.size(_SIZES["max_samples"])
    schedule: Schedule = field(default=Schedule.STAGED, metadata={"kind": Schedule})
    stop: Stop = field(default=Stop.FORECAST, metadata={"kind": Stop})
    confidence: float = parameters.share(0.85)
    futile_after: int | None = parameters.optional_size()
    weighted: bool = parameters.flag(False)
    temperature: float = parameters.temperature(0.8)
    role: str = MAIN
    turns: tuple[Turn, ...] = ()

    @property
    def calls_at_most(self) -> int:
        """The most model calls that it takes."""
        return self.max_samples if self.samples is None else self.samples


def vote(board: Board, config: Vote) -> Moves[Winner]:
    """The answer that leads when the vote is decided; its confidence is how likely one more draw would agree."""
    samples = config.samples or samples_for(board.task, config.max_samples, config.role)
    sampling = Sampling(
        samples=samples,
        schedule=config.schedule,
        temperature=config.temperature if samples > 1 else None,
        role=config.role,
        turns=config.turns,
        is_scored=config.weighted,
    )

    hears_all = config.stop is Stop.NEVER and config.futile_after is None

    def standing(left: int) -> Standing:
        return Tally(board, done(board), is_weighted=config.weighted).standing(left)

    def is_over(left: int) -> bool:
        if hears_all:
            return left == 0
        now = standing(left)
        return is_decided(config.stop, now, config.confidence) or is_futile(now, config.futile_after)

    def needed(left: int) -> int:
        if hears_all:
            return left
        return draws_needed(config.stop, standing(left), config.confidence, config.futile_after)

    yield from sample(board, sampling, is_decided=is_over, needed=needed)
    return elect(board, board.draws, is_weighted=config.weighted)
