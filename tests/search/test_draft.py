"""Draft and escalate: who writes which step."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace

from gateway.search.protocol import DRAFT, MAIN, Candidate, Launch, Until
from tests.search.contract import TASK
from tests.search.scripted import run, scores
from tests.search.stand_in import StandIn

BARE = replace(TASK, verifier=None)


def _write(launch: Launch, _rng: random.Random) -> Candidate:
    end = "\\boxed{1}" if launch.until is Until.END else ""
    return Candidate(launch.draw, f"{launch.role} {launch.draw}\n\n{end}", 10, mean_logprob=_LOGPROBS.get(launch.draw))


_LOGPROBS: Mapping[int, float] = {0: math.log(0.9), 1: math.log(0.2), 3: math.log(0.8), 4: math.log(0.95)}


def _roles(stand_in: StandIn) -> list[str]:
    return [launch.role for launch in stand_in.launches.values()]


def test_the_large_model_writes_the_step_of_which_the_small_one_is_not_sure() -> None:
    """The doubted second step is drawn anew from the same place; the chain goes on with the small model."""
    stand_in = StandIn(BARE, write=_write)
    winner = run("draft", {"depth": 4}, stand_in)
    assert _roles(stand_in) == [DRAFT, DRAFT, MAIN, DRAFT, DRAFT]
    assert winner.text == "draft 0\n\nmain 2\n\ndraft 3\n\ndraft 4\n\n\\boxed{1}"


def test_doubt_in_a_row_hands_the_rest_over() -> None:
    """After two doubted steps the large model writes to the end."""
    stand_in = StandIn(TASK, write=_write, judge=scores({0: 0.9, 1: 0.2, 3: 0.1}))
    run("draft", {"depth": 8}, stand_in)
    assert _roles(stand_in) == [DRAFT, DRAFT, MAIN, DRAFT, MAIN]
    assert stand_in.launches[max(stand_in.launches)].until is Until.END


def test_doubts_that_are_far_apart_hand_nothing_over() -> None:
    """A step that stands in between starts the count anew."""
    stand_in = StandIn(TASK, write=_write, judge=scores({0: 0.9, 1: 0.1, 3: 0.9, 4: 0.1, 6: 0.9}))
    run("draft", {"depth": 5}, stand_in)
    assert _roles(stand_in) == [DRAFT, DRAFT, MAIN, DRAFT, DRAFT, MAIN, DRAFT]


def test_where_both_models_fail_no_more_is_drawn_than_was_said() -> None:
    """The last step is drawn once by either, and then there is no answer."""
    stand_in = StandIn(BARE, write=lambda _launch, _rng: None)
    assert run("draft", {"depth": 1}, stand_in).candidate is None
    assert _roles(stand_in) == [DRAFT, MAIN]


def test_a_verifier_speaks_before_the_likelihood() -> None:
    """A step that the small model is sure of falls to the verifier's score."""
    stand_in = StandIn(TASK, write=_write, judge=scores({0: 0.1}))
    run("draft", {"depth": 4, "patience": 1}, stand_in)
    assert _roles(stand_in) == [DRAFT, MAIN]


def test_without_a_small_model_it_is_one_draw() -> None:
    """The arm's own model answers, in one draw."""
    task = replace(TASK, terms={MAIN: TASK.terms[MAIN]})
    stand_in = StandIn(task, write=_write)
    assert run("draft", {}, stand_in).text == "main 0\n\n\\boxed{1}"
    assert stand_in.draws == 1
