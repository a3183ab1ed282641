"""Sequential revision: answer, check, write again, for some rounds, until nothing is found or nothing changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.domain.arm import Strategy
from gateway.domain.search_sizes import SIZES
from gateway.search import parameters, prompts
from gateway.search.board import Board, Draw, Moves
from gateway.search.choosing import likelihood
from gateway.search.equivalence import meaning, same
from gateway.search.protocol import MAIN, Turn, Until, Winner

_SIZES: Final = SIZES[Strategy.REVISE]


@dataclass(frozen=True, slots=True)
class Revise:
    """How often the answer is checked and written again; a score of ``accept`` or more ends it."""

    rounds: int = parameters.count(_SIZES["rounds"])
    accept: float = parameters.share(0.99)
    role: str = MAIN
    turns: tuple[Turn, ...] = ()

    @property
    def calls_at_most(self) -> int:
        """The most model calls that it takes: the answer, and a check and a new answer for each round."""
        return 1 + 2 * self.rounds


def revise(board: Board, config: Revise) -> Moves[Winner]:
    """The last answer, or with a verifier the best; its confidence is the verifier's, or what the checks said."""
    answers: list[Draw] = []
    current = yield from _draw(board, config, (), is_scored=True)
    reason, confidence = "one draw", None
    for number in range(1, config.rounds + 1):
        if current is None or not _says(current) or (board.share(current) or 0.0) >= config.accept:
            break
        answers.append(current)
        check = yield from _draw(board, config, prompts.critique(current.text), is_scored=False)
        if check is None or not _says(check):
            break
        if prompts.finds_no_fault(check.text):
            reason, confidence = f"check {number} found no fault", likelihood(check)
            break
        revised = yield from _draw(board, config, prompts.revise(current.text, check.text), is_scored=True)
        if revised is None or not _says(revised):
            break
        is_settled = _is_same(revised, current)
        current, reason = revised, f"{number} of {config.rounds} revisions"
        if is_settled:
            reason = f"revision {number} came to the same answer"
            break
    if current is not None and current not in answers:
        answers.append(current)
    best = board.best(answers) if any(draw.score is not None for draw in answers) else _latest(answers)
    share = None if best is None else board.share(best)
    return board.winner(best, confidence if share is None else share, reason)


def _draw(board: Board, config: Revise, more: tuple[Turn, ...], *, is_scored: bool) -> Moves[Draw | None]:
    """One whole text; None where none came."""
    draw = yield from board.launch(until=Until.END, role=config.role, turns=(*config.turns, *more))
    if draw is None:
        return None
    while draw.is_running and (yield from board.event()) is not None:
        pass
    if is_scored and draw.is_whole and (yield from board.score(draw)):
        yield from board.event()
    return draw if draw.is_whole else None


def _says(draw: Draw) -> bool:
    return bool(draw.text.strip()) or draw.answer is not None


def _is_same(draw: Draw, other: Draw) -> bool:
    if draw.answer is None or other.answer is None:
        return False
    return same(meaning(draw.answer), meaning(other.answer))


def _latest(answers: list[Draw]) -> Draw | None:
    """The last answer that was not cut off; else the last."""
    uncut = [draw for draw in answers if draw.candidate is not None and not draw.candidate.is_truncated]
    kept = uncut or answers
    return kept[-1] if kept else None
