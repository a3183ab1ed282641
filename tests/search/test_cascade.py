"""Cascades: when the next arm is asked, and what it is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from gateway.search.accounts import Accounts
from gateway.search.board import Board, Moves
from gateway.search.cascade import Cascade, Leg, cascade
from gateway.search.greedy import Greedy, greedy
from gateway.search.protocol import MAIN, Candidate, DrawId, Launch, Turn, Winner
from gateway.search.vote import Vote, vote
from tests.search.contract import TASK
from tests.search.scripted import scores
from tests.search.stand_in import StandIn

ROLES = ("fast", "think", "think-hard")
BARE = replace(TASK, verifier=None, terms=dict.fromkeys(ROLES, TASK.terms[MAIN]))
SCORED = replace(BARE, verifier=TASK.verifier)


def _leg(role: str) -> Leg:
    def one(board: Board, turns: tuple[Turn, ...]) -> Moves[Winner]:
        return greedy(board, Greedy(role=role, turns=turns, is_scored=True))

    return Leg(role, one)


LEGS = tuple(_leg(role) for role in ROLES)


def _run(
    stand_in: StandIn, legs: tuple[Leg, ...] = LEGS, *, escalate_below: float = 0.7, carries: bool = False
) -> Winner:
    return stand_in.run(cascade(Board(Accounts(stand_in.task)), Cascade(legs, escalate_below, carries)))


def _texts(given: Sequence[str | None]) -> Callable[[Launch, random.Random], Candidate | None]:
    def write(launch: Launch, _rng: random.Random) -> Candidate | None:
        text = given[launch.draw]
        return None if text is None else Candidate(launch.draw, text, 10)

    return write


def test_the_first_arm_that_is_sure_answers() -> None:
    """The second arm's score is at the bar, so the third is not asked."""
    stand_in = StandIn(SCORED, write=_texts(["\\boxed{1}", "\\boxed{2}"]), judge=scores({0: 0.4, 1: 0.7}))
    winner = _run(stand_in)
    assert winner.text == "\\boxed{2}"
    assert winner.reason.startswith("think: sure by 0.70")
    assert [launch.role for launch in stand_in.launches.values()] == ["fast", "think"]


def test_an_arm_that_nothing_vouches_for_is_doubted() -> None:
    """Without verifier, agreement or likelihoods all arms are asked, and the last answers."""
    winner = _run(StandIn(BARE, write=_texts(["\\boxed{1}", "\\boxed{2}", "\\boxed{3}"])))
    assert winner.text == "\\boxed{3}"


def test_arms_that_agree_vouch_for_each_other() -> None:
    """The second comes to what the first had, in other words: that is enough."""
    stand_in = StandIn(BARE, write=_texts(["\\boxed{1/2}", "\\boxed{0.5}"]))
    assert _run(stand_in).reason.startswith("think: agrees with the arm before")
    assert stand_in.draws == 2


def test_an_arm_that_fails_is_passed_over() -> None:
    """What the earlier arm had is better than nothing from the last."""
    assert _run(StandIn(BARE, write=_texts(["\\boxed{1}", None, None]))).text == "\\boxed{1}"
    assert _run(StandIn(BARE, write=_texts([None, None, None]))).candidate is None


def test_an_answer_that_was_cut_off_does_not_replace_a_whole_one() -> None:
    """The last arm ran out of tokens, so the doubted answer before it stands."""

    def write(launch: Launch, _rng: random.Random) -> Candidate:
        is_last = launch.draw == len(ROLES) - 1
        return Candidate(launch.draw, f"\\boxed{{{launch.draw}}}", 10, is_truncated=is_last)

    assert _run(StandIn(BARE, write=write)).text == "\\boxed{1}"


@pytest.mark.parametrize(("score", "is_carried"), [(0.5, True), (0.1, False)])
def test_an_attempt_is_carried_along_when_that_helps(score: float, is_carried: bool) -> None:
    """A doubted attempt is handed on; a hopeless one is not."""
    stand_in = StandIn(SCORED, write=_texts(["\\boxed{1}", "\\boxed{2}"]), judge=scores({0: score, 1: 0.9}))
    _run(stand_in, carries=True)
    turns = stand_in.launches[DrawId(1)].turns
    assert bool(turns) is is_carried
    assert not turns or turns[0] == Turn("assistant", "\\boxed{1}")


def test_self_agreement_decides_for_an_arm_that_votes() -> None:
    """Draws that agree are sure enough, draws that do not are escalated."""

    def several(board: Board, turns: tuple[Turn, ...]) -> Moves[Winner]:
        return vote(board, Vote(samples=4, role="fast", turns=turns))

    legs = (Leg("vote", several), LEGS[2])
    agreed = StandIn(BARE, write=_texts(["\\boxed{1}"] * 4))
    assert _run(agreed, legs).reason.startswith("vote: sure by 0.75")
    split = StandIn(BARE, write=_texts(["\\boxed{1}", "\\boxed{2}", "\\boxed{3}", "\\boxed{4}", "\\boxed{9}"]))
    assert _run(split, legs).text == "\\boxed{9}"
