"""Beam search and DVTS: which chains are kept, and what groups know of each other."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from gateway.errors import ConfigurationError
from gateway.search import configure
from gateway.search.dvts import Dvts
from gateway.search.protocol import Candidate, Launch, Score, Until
from tests.search.contract import TASK
from tests.search.scripted import Reasoner, run, scores
from tests.search.stand_in import StandIn


def _steps(launch: Launch, _rng: random.Random) -> Candidate:
    end = "\\boxed{1}" if launch.until is Until.END else ""
    return Candidate(launch.draw, f"step {launch.draw}\n\n{end}", 10)


def _parents(stand_in: StandIn) -> list[int | None]:
    return [None if launch.prefix is None else launch.prefix.draw for launch in stand_in.launches.values()]


def test_a_beam_keeps_the_best_and_extends_each() -> None:
    """Of four first steps the two best get two steps each; of those four the best chain wins."""
    judged = scores({0: 0.1, 1: 0.8, 2: 0.3, 3: 0.6, 4: 0.2, 5: 0.7, 6: 0.4, 7: 0.5})
    stand_in = StandIn(TASK, write=_steps, judge=judged)
    winner = run("beam", {"beams": 2, "expand": 2, "depth": 2}, stand_in)
    assert _parents(stand_in) == [None] * 4 + [1, 3, 1, 3]
    assert winner.text == "step 3\n\nstep 5\n\n\\boxed{1}"
    assert winner.confidence == 0.7


def test_groups_never_look_at_each_other() -> None:
    """Each group goes on from the best of its own steps, though another's are better."""
    judged = scores({0: 0.9, 1: 0.8, 2: 0.2, 3: 0.1, 4: 0.3, 5: 0.4, 6: 0.6, 7: 0.5})
    stand_in = StandIn(TASK, write=_steps, judge=judged)
    winner = run("dvts", {"beams": 4, "groups": 2, "depth": 2}, stand_in)
    second = sorted(parent for parent in _parents(stand_in) if parent is not None)
    assert second == [0, 0, 2, 2]
    assert winner.confidence == 0.6


def test_one_groups_luck_leaves_the_others_commands_as_they_were() -> None:
    """What a group draws does not depend on the scores of another's steps."""

    def second_groups_choice(scores_of_first: tuple[float, float]) -> set[int]:
        judged = scores(
            {0: scores_of_first[0], 1: scores_of_first[1], 2: 0.5, 3: 0.2, **dict.fromkeys(range(4, 8), 0.3)}
        )
        stand_in = StandIn(TASK, write=_steps, judge=judged, seed=3)
        run("dvts", {"beams": 4, "groups": 2, "depth": 2}, stand_in)
        return {parent for parent in _parents(stand_in) if parent in (2, 3)}

    assert second_groups_choice((0.9, 0.1)) == second_groups_choice((0.1, 0.05)) == {2}


def test_equal_steps_are_scored_once() -> None:
    """Of next steps that say the same only the first is scored, and extended."""

    def write(launch: Launch, _rng: random.Random) -> Candidate:
        end = "\\boxed{1}" if launch.until is Until.END else ""
        return Candidate(launch.draw, ("Same step.\n\n" if launch.draw < 3 else f"step {launch.draw}\n\n") + end, 10)

    stand_in = StandIn(TASK, write=write, judge=scores(dict.fromkeys(range(40), 0.5)))
    run("beam", {"beams": 2, "expand": 2, "depth": 2}, stand_in)
    first_level = [command.draw for command in stand_in.log if isinstance(command, Score) and command.draw < 4]
    assert len(first_level) == 2
    assert len({parent for parent in _parents(stand_in) if parent is not None}) == 2


def test_looking_ahead_a_step_is_judged_by_what_follows() -> None:
    """The step with the better future is taken, though by itself it looks worse."""
    ahead: dict[int, float] = {}

    def judge(stand_in: StandIn, draw: int) -> tuple[float, ...]:
        launch = stand_in.launches[draw]  # type: ignore[index]
        if launch.steps == 2:
            assert launch.temperature == 0.0
            parent = launch.prefix.draw if launch.prefix else 0
            ahead[draw] = 0.9 if parent == 1 else 0.1
            return (ahead[draw],)
        return (0.5,)

    stand_in = StandIn(TASK, write=_steps, judge=judge)
    run("beam", {"beams": 1, "expand": 2, "depth": 2, "lookahead": 2}, stand_in)
    extended = [launch.prefix.draw for launch in stand_in.launches.values() if launch.prefix and launch.steps == 1]
    assert len(ahead) == 2
    assert set(extended) == {1}


def test_a_whole_chain_keeps_its_place_in_the_beam() -> None:
    """A chain that has ended early and scores best leaves one place to the others, at every later depth."""

    def write(launch: Launch, rng: random.Random) -> Candidate:
        written = _steps(launch, rng)
        return replace(written, text="all of it \\boxed{1}") if launch.draw == 0 else written

    stand_in = StandIn(TASK, write=write, judge=lambda _stand_in, draw: (0.9 - 0.1 * draw,))
    winner = run("beam", {"beams": 2, "expand": 2, "depth": 3}, stand_in)
    assert winner.text == "all of it \\boxed{1}"
    assert _parents(stand_in) == [None] * 4 + [1, 1, 4, 4]


def test_only_a_whole_chain_is_accepted() -> None:
    """Steps with the best of scores end nothing: the chain goes on to its greatest length."""
    stand_in = StandIn(TASK, write=_steps, judge=lambda _stand_in, _draw: (1.0,))
    winner = run("beam", {"beams": 1, "expand": 2, "depth": 3}, stand_in)
    assert winner.text.count("step") == 3
    assert stand_in.draws == 6


def test_a_chain_is_brought_to_its_end_with_the_last_draw() -> None:
    """Where the ceiling would end the search among open chains, the last draw ends the best of them."""
    task = replace(TASK, ceilings=replace(TASK.ceilings, draws=4))
    stand_in = StandIn(task, write=_steps, judge=scores({0: 0.2, 1: 0.8, 2: 0.4, 3: 0.6}))
    winner = run("beam", {"beams": 1, "expand": 3, "depth": 6}, stand_in)
    assert (winner.text, winner.is_whole) == ("step 1\n\nstep 3\n\n\\boxed{1}", True)


def test_widths() -> None:
    """Beams are spread evenly over groups; more groups than beams are refused."""
    assert Dvts(beams=16, groups=4).widths == [4, 4, 4, 4]
    assert Dvts(beams=7, groups=3).widths == [3, 2, 2]
    with pytest.raises(ConfigurationError, match="5 groups need at least as many beams"):
        configure("dvts", {"beams": 4, "groups": 5})


@pytest.mark.parametrize(
    ("name", "parameters", "groups"),
    [("beam", {"beams": 1, "expand": 3, "depth": 4}, 1), ("dvts", {"beams": 6, "groups": 2, "depth": 4}, 2)],
)
def test_with_a_verifier_that_knows_each_step_needs_one_right_draw(
    name: str, parameters: dict[str, int], groups: int
) -> None:
    """A group that draws M steps at a time is right with (1 − (1 − q)^M)^depth, and one of G with 1 − (1 − that)^G."""
    chance, depth, width, runs = 0.5, 4, 3, 500
    one = (1 - (1 - chance) ** width) ** depth
    expected = 1 - (1 - one) ** groups
    right = sum(Reasoner(chance, depth, seed).solves(name, parameters) for seed in range(runs))
    assert abs(right / runs - expected) < 4 * (expected * (1 - expected) / runs) ** 0.5


def test_step_wise_search_beats_whole_chains_at_equal_draws() -> None:
    """Twelve draws of steps solve far more than twelve whole chains where single steps often fail."""
    runs = 200
    by_steps = sum(Reasoner(0.4, 4, seed).solves("beam", {"beams": 1, "expand": 3, "depth": 4}) for seed in range(runs))
    by_chains = sum(Reasoner(0.4, 4, seed).solves("best_of_n", {"samples": 12}) for seed in range(runs))
    one = sum(Reasoner(0.4, 4, seed).solves("greedy", {}) for seed in range(runs))
    assert by_steps > by_chains > one
