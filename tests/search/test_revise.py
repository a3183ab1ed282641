"""Revision, drafting, decomposition and repair, each on answers written down."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.search.protocol import Candidate, Launch, Task
from tests.search.contract import TASK
from tests.search.scripted import run, scores
from tests.search.stand_in import StandIn

BARE: Task = replace(TASK, verifier=None)


def texts(given: list[str]) -> Callable[[Launch, random.Random], Candidate]:
    """Draw n writes the n-th of these texts."""
    return lambda launch, _rng: Candidate(launch.draw, given[launch.draw], 10)


def test_an_answer_without_fault_is_kept() -> None:
    """The check finds nothing, and nothing more is drawn."""
    stand_in = StandIn(BARE, write=texts(["\\boxed{4}", "All right. Verdict: correct"]))
    winner = run("revise", {"rounds": 3}, stand_in)
    assert (winner.text, winner.reason) == ("\\boxed{4}", "check 1 found no fault")


def test_a_fault_is_handed_to_the_revision() -> None:
    """The second answer is drawn from the first and the check's words, and is the one that is kept."""
    stand_in = StandIn(BARE, write=texts(["\\boxed{4}", "Step 2 is off. Verdict: incorrect", "\\boxed{5}"]))
    winner = run("revise", {"rounds": 1}, stand_in)
    assert winner.text == "\\boxed{5}"
    said = stand_in.launches[max(stand_in.launches)].turns
    assert said[0].text == "\\boxed{4}"
    assert "Step 2 is off" in said[1].text


def test_an_answer_that_stays_the_same_ends_it() -> None:
    """A revision that means the same is the last."""
    stand_in = StandIn(BARE, write=texts(["\\boxed{1/2}", "Verdict: incorrect", "\\boxed{0.5}"]))
    winner = run("revise", {"rounds": 5}, stand_in)
    assert winner.reason == "revision 1 came to the same answer"
    assert stand_in.draws == 3


def test_with_a_verifier_the_best_answer_is_kept_and_not_the_last() -> None:
    """A revision for the worse does not replace the answer."""
    written = texts(["\\boxed{4}", "Verdict: incorrect", "\\boxed{5}"])
    stand_in = StandIn(TASK, write=written, judge=scores({0: 0.8, 2: 0.3}))
    winner = run("revise", {"rounds": 1}, stand_in)
    assert (winner.text, winner.confidence) == ("\\boxed{4}", 0.8)


@pytest.mark.parametrize(
    ("check", "draws"),
    [("Verdict: correct", 2), ("**Verdict:** correct", 2), ("verdict: Incorrect", 3), ("it is correct", 3)],
)
def test_only_a_verdict_is_one(check: str, draws: int) -> None:
    """The verdict's line decides, and not the word in a sentence."""
    stand_in = StandIn(BARE, write=texts(["\\boxed{4}", check, "\\boxed{4}"]))
    run("revise", {"rounds": 1}, stand_in)
    assert stand_in.draws == draws
