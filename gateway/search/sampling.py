"""Independent draws of whole answers: launched in stages, scored, and dropped early where they look hopeless.

Speculative rejection (Sun et al. 2024, arXiv 2410.20290): a chain is scored on its way, and stopped when
its score is too low, by a threshold or against its siblings; another may be drawn in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.search.board import Board, Draw, Moves
from gateway.search.protocol import Turn, Until
from gateway.search.schedule import Schedule, stage

_LEAST_SIBLINGS: Final = 3
"""Fewer siblings are no distribution to be compared with."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """When a chain is dropped: at ``after`` steps, with a score below ``below`` or in its siblings' lowest part."""

    after: int
    below: float | None
    quantile: float | None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many draws are made and how; ``redraws`` may stand in for dropped ones."""

    samples: int
    schedule: Schedule
    temperature: float | None
    role: str
    turns: tuple[Turn, ...]
    is_scored: bool
    rejection: Rejection | None = None
    redraws: int = 0


@dataclass(slots=True)
class _Progress:
    dropped: list[Draw] = field(default_factory=list)
    midway: dict[int, float] = field(default_factory=dict)
    """Scores on the way, by draw."""


def sample(
    board: Board,
    sampling: Sampling,
    is_decided: Callable[[int], bool],
    needed: Callable[[int], int] | None = None,
) -> Moves[None]:
    """Draw until all samples are in, time is up, or it ``is_decided`` with so many draws still to come.

    ``needed`` says how many of those that are still to come could decide it at the least; without it any one could.
    """
    progress = _Progress()
    while True:
        yield from _launch(board, sampling, progress, needed)
        draw = yield from board.event()
        if draw is None:
            return
        if draw.is_running:
            yield from _look_midway(board, sampling, progress, draw)
            continue
        if sampling.is_scored and draw.is_whole and (yield from board.score(draw)):
            continue
        if is_decided(_planned(sampling, progress) - _known(board, progress)):
            yield from board.cancel(board.running)
            return


def done(board: Board) -> list[Draw]:
    """The whole chains of which everything is known: their score has come, if one was asked for."""
    return [draw for draw in board.whole if draw.is_settled]


def _planned(sampling: Sampling, progress: _Progress) -> int:
    return sampling.samples + min(len(progress.dropped), sampling.redraws)


def _known(board: Board, progress: _Progress) -> int:
    """How many draws have ended, failed, or been dropped."""
    return sum(draw.is_settled or draw in progress.dropped for draw in board.draws)


def _launch(board: Board, sampling: Sampling, progress: _Progress, needed: Callable[[int], int] | None) -> Moves[None]:
    known, planned = _known(board, progress), _planned(sampling, progress)
    wanted = stage(sampling.schedule, known, planned, None if needed is None else needed(planned - known))
    while len(board.draws) < wanted:
        draw = yield from board.launch(
            until=Until.END,
            role=sampling.role,
            turns=sampling.turns,
            temperature=sampling.temperature,
            reports_steps=sampling.rejection is not None,
        )
        if draw is None:
            return


def _look_midway(board: Board, sampling: Sampling, progress: _Progress, draw: Draw) -> Moves[None]:
    """Have a chain on its way scored once it has come far enough, and drop it if the score is too low."""
    rejection = sampling.rejection
    if rejection is None or draw.id in progress.midway:
        return
    share = board.share(draw)
    if share is None or draw.is_scoring:
        if len(board.steps(draw)) >= rejection.after:
            yield from board.score(draw)
        return
    siblings = sorted(progress.midway.values())
    progress.midway[draw.id] = share
    if _is_hopeless(rejection, share, siblings) and _is_one_of_several(board, sampling, progress, draw):
        progress.dropped.append(draw)
        yield from board.cancel([draw])


def _is_one_of_several(board: Board, sampling: Sampling, progress: _Progress, draw: Draw) -> bool:
    """Whether another chain has come to its end, or still may: an answer that is likely wrong is better than none."""
    to_come = sampling.samples + min(len(progress.dropped) + 1, sampling.redraws)
    return bool(board.whole) or any(each is not draw for each in board.running) or len(board.draws) < to_come


def _is_hopeless(rejection: Rejection, share: float, siblings: list[float]) -> bool:
    if rejection.below is not None and share < rejection.below:
        return True
    if rejection.quantile is None or len(siblings) < _LEAST_SIBLINGS:
        return False
    return share < siblings[int(rejection.quantile * (len(siblings) - 1))]
