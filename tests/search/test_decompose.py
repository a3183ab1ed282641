"""Decomposition: a plan, its parts at the same time, and the whole."""

from __future__ import annotations

import random
from collections.abc import Callable

from gateway.search import prompts
from gateway.search.protocol import Candidate, Launch, Wait
from tests.search.contract import TASK
from tests.search.scripted import run
from tests.search.stand_in import StandIn

PLAN = "1. Count the apples.\n2) Count the pears.\n- Count the plums.\n4. Too many."


def _writer(plan: str, part: str | None = "7") -> Callable[[Launch, random.Random], Candidate | None]:
    def write(launch: Launch, _rng: random.Random) -> Candidate | None:
        said = launch.turns[-1].text if launch.turns else ""
        if "Do not answer yet" in said:
            return Candidate(launch.draw, plan, 10)
        if "only this part" in said:
            return None if part is None else Candidate(launch.draw, f"{said.splitlines()[-1]} {part}", 10)
        return Candidate(launch.draw, "composed" if "are solved" in said else "direct", 10)

    return write


def test_parts_are_solved_at_the_same_time_and_composed() -> None:
    """Three parts are out together, and the last draw is told all of their results."""
    stand_in = StandIn(TASK, write=_writer(PLAN))
    winner = run("decompose", {"parts": 3}, stand_in)
    assert (winner.text, winner.reason) == ("composed", "3 parts")
    assert [isinstance(command, Wait) for command in stand_in.log[2:6]] == [False, False, False, True]
    told = stand_in.launches[max(stand_in.launches)].turns[-1].text
    assert all(f"Count the {fruit}. 7" in told for fruit in ("apples", "pears", "plums"))


def test_an_ask_without_parts_is_answered_directly() -> None:
    """One part is no decomposition."""
    assert run("decompose", {}, StandIn(TASK, write=_writer("1. all of it"))).text == "direct"


def test_a_part_without_solution_is_no_ground_for_an_answer() -> None:
    """Where a part fails the ask is answered directly, and not from the rest."""
    assert run("decompose", {}, StandIn(TASK, write=_writer(PLAN, part=None))).text == "direct"
    write = _writer(PLAN)

    def without_pears(launch: Launch, rng: random.Random) -> Candidate | None:
        return None if launch.turns and launch.turns[-1].text.endswith("pears.") else write(launch, rng)

    assert run("decompose", {}, StandIn(TASK, write=without_pears)).text == "direct"


def test_a_part_may_be_a_vote() -> None:
    """Each part is drawn several times; those draws are at most what was said."""
    stand_in = StandIn(TASK, write=_writer(PLAN, part="\\boxed{7}"))
    winner = run("decompose", {"parts": 2, "part_samples": 3}, stand_in)
    assert winner.text == "composed"
    assert winner.confidence == 0.75
    assert stand_in.draws == 1 + 2 * 2 + 1


def test_plans() -> None:
    """Numbered and dotted lines are parts; prose is none."""
    assert prompts.parts_of(PLAN, 9) == ["Count the apples.", "Count the pears.", "Count the plums.", "Too many."]
    assert prompts.parts_of("It has no parts.", 9) == []
