"""Repair: the good prefix is kept, the first bad step drawn again."""

from __future__ import annotations

import random

import pytest

from gateway.search.protocol import Candidate, DrawId, Launch, Prefix
from gateway.search.repair import first_fall
from tests.search.contract import TASK
from tests.search.scripted import run
from tests.search.stand_in import StandIn


@pytest.mark.parametrize(
    ("scores", "place"),
    [
        ([0.9, 0.8, 0.3, 0.9], 2),
        ([0.9, 0.55, 0.6], 1),
        ([0.2, 0.9], 0),
        ([0.9, 0.85, 0.8], 2),
        ([], 0),
    ],
)
def test_the_first_fall(scores: list[float], place: int) -> None:
    """Below the floor, or far below the step before; else the lowest."""
    assert first_fall(scores, floor=0.5, fall=0.3) == place


def _run(first_scores: tuple[float, ...], later: tuple[float, ...]) -> tuple[StandIn, str]:
    def write(launch: Launch, _rng: random.Random) -> Candidate:
        text = "one\n\ntwo\n\n\\boxed{1}" if launch.prefix is None else "zwei\n\n\\boxed{2}"
        return Candidate(launch.draw, text, 10)

    stand_in = StandIn(TASK, write=write, judge=lambda _stand_in, draw: later if draw else first_scores)
    return stand_in, run("repair", {"rounds": 1}, stand_in).text


def test_the_good_prefix_is_kept() -> None:
    """The second step is bad, so the first stays and the rest is drawn again."""
    stand_in, text = _run((0.9, 0.1, 0.1), (0.9, 0.9, 0.9))
    assert stand_in.launches[DrawId(1)].prefix == Prefix(DrawId(0), 1)
    assert text == "one\n\nzwei\n\n\\boxed{2}"


def test_a_repair_for_the_worse_is_not_taken() -> None:
    """The chain with the better score stays."""
    assert _run((0.9, 0.4, 0.4), (0.1, 0.1, 0.1))[1] == "one\n\ntwo\n\n\\boxed{1}"


def test_after_a_repair_for_the_worse_the_better_chain_is_repaired_again() -> None:
    """The second repair starts from the chain that stayed."""

    def write(launch: Launch, _rng: random.Random) -> Candidate:
        return Candidate(launch.draw, "one\n\ntwo\n\n\\boxed{1}" if launch.prefix is None else "zwei\n\n\\boxed{2}", 10)

    judged = {0: (0.9, 0.4, 0.4), 1: (0.9, 0.1, 0.1), 2: (0.9, 0.2, 0.2)}
    stand_in = StandIn(TASK, write=write, judge=lambda _stand_in, draw: judged[draw])
    run("repair", {"rounds": 2}, stand_in)
    assert [launch.prefix for launch in stand_in.launches.values()] == [
        None,
        Prefix(DrawId(0), 1),
        Prefix(DrawId(0), 1),
    ]


def test_a_good_chain_is_not_repaired() -> None:
    """A score at the bar ends it."""
    assert _run((0.95, 0.95, 0.95), (1.0,))[0].draws == 1


def test_without_scores_for_its_steps_a_chain_is_drawn_anew() -> None:
    """One score for the whole does not say where it went wrong."""
    assert _run((0.2,), (0.9,))[0].launches[DrawId(1)].prefix is None
    assert _run((0.9, 0.1), (0.9,))[0].launches[DrawId(1)].prefix is None


def test_a_chain_that_fails_later_is_repaired_further() -> None:
    """With two bad steps the first repair does not raise the lowest score, and is progress all the same."""

    def write(launch: Launch, _rng: random.Random) -> Candidate:
        text = {0: "one\n\ntwo\n\n\\boxed{1}", 1: "zwei\n\n\\boxed{2}", 2: "\\boxed{3}"}[launch.draw]
        return Candidate(launch.draw, text, 10)

    judged = {0: (0.9, 0.2, 0.2), 1: (0.9, 0.9, 0.1), 2: (0.9, 0.9, 0.9)}
    stand_in = StandIn(TASK, write=write, judge=lambda _stand_in, draw: judged[draw])
    winner = run("repair", {"rounds": 2}, stand_in)
    assert [launch.prefix for launch in stand_in.launches.values()] == [
        None,
        Prefix(DrawId(0), 1),
        Prefix(DrawId(1), 2),
    ]
    assert winner.text == "one\n\nzwei\n\n\\boxed{3}"
