"""Cascade: arms in turn, cheapest first, until one is sure of its answer.

How sure an arm is says its verifier, or the agreement of its draws with each other, or the likelihood of
its tokens; where nothing does, it is doubted. Two arms that come to the same answer vouch for each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from gateway.search import prompts
from gateway.search.answers import answer_of
from gateway.search.board import Board, Moves
from gateway.search.equivalence import meaning, same
from gateway.search.protocol import Turn, Verifier, Winner

_LEAST_CARRIED: Final = 0.2
"""An attempt that is less sure than this would lead the next arm astray rather than help it."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One arm of a cascade: its name, and its search, given what is said after the client's conversation."""

    name: str
    run: Callable[[Board, tuple[Turn, ...]], Moves[Winner]]
    verifier: Verifier | None = None
    """Its own; None where that of the cascade is its as well."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """The arms in turn, and how sure an answer must be to be the last. ``carries`` hands doubted attempts on."""

    legs: tuple[Leg, ...]
    escalate_below: float
    carries: bool = False


def cascade(board: Board, config: Cascade) -> Moves[Winner]:
    """The first answer that is sure enough; else that of the last arm that had one."""
    best: Winner | None = None
    turns: tuple[Turn, ...] = ()
    for leg in config.legs:
        if board.is_over:
            break
        within = board.within() if leg.verifier is None else board.within_by(leg.verifier)
        winner = yield from leg.run(within, turns)
        if winner.candidate is None or not winner.text.strip():
            best = best or winner
            continue
        sure = winner.confidence
        if best is not None and best.candidate is not None and _agree(best, winner):
            return _of(leg, winner, f"agrees with the arm before, {winner.reason}")
        if sure is not None and sure >= config.escalate_below:
            return _of(leg, winner, f"sure by {sure:.2f}, {winner.reason}")
        if best is None or best.candidate is None or _is_complete(winner):
            best = _of(leg, winner, winner.reason)
        turns = _carried(config, winner)
    return best if best is not None else Winner(None, "", None, "no draw brought an answer")


def _of(leg: Leg, winner: Winner, reason: str) -> Winner:
    return replace(winner, reason=f"{leg.name}: {reason}")


def _is_complete(winner: Winner) -> bool:
    return winner.is_whole and winner.candidate is not None and not winner.candidate.is_truncated


def _agree(left: Winner, right: Winner) -> bool:
    answers = [_answer(winner) for winner in (left, right)]
    return None not in answers and same(meaning(answers[0] or ""), meaning(answers[1] or ""))


def _answer(winner: Winner) -> str | None:
    if winner.candidate is None or not _is_complete(winner):
        return None
    return winner.candidate.answer or answer_of(winner.text)


def _carried(config: Cascade, winner: Winner) -> tuple[Turn, ...]:
    """The attempt, where it is whole and not hopeless."""
    if not config.carries or not _is_complete(winner) or (winner.confidence or 0.0) < _LEAST_CARRIED:
        return ()
    return prompts.carry(winner.text)
