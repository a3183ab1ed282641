from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reasoner.tasks import (
    MOST,
    Problem,
    Split,
    first_wrong,
    fresh,
    is_right,
    parse,
    split_of,
    stated_answer,
    step_labels,
)

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_EXAMPLE = parse("Q:37 +48 *2 -11")
_drawn = st.builds(
    lambda split, operations, seed: fresh(split, operations, 1, seed)[0],
    st.sampled_from(_SPLITS),
    st.integers(2, 16),
    st.integers(0, 10_000),
)


def test_a_problem_is_worked_one_operation_a_line() -> None:
    """The solution carries the operations out from left to right and states the last result as the answer."""
    assert _EXAMPLE.solution == "37+48=85\n85*2=170\n170-11=159\nA:159"
    assert _EXAMPLE.values == (37, 85, 170, 159)
    assert _EXAMPLE.answer == 159


@given(_drawn)
def test_every_step_holds_and_follows_from_the_one_before(problem: Problem) -> None:
    """Each step is true arithmetic, begins with the result before it, and stays between 0 and the greatest number."""
    *steps, last = problem.steps
    left_and_right = [step.split("=") for step in steps]
    assert all(eval(left) == int(right) for left, right in left_and_right)
    assert all(after[0].startswith(before[1]) for before, after in pairwise(left_and_right))
    assert all(0 <= value <= MOST for value in problem.values)
    assert last == f"A:{left_and_right[-1][1]}"


@given(_drawn)
def test_a_question_is_read_back_as_the_problem_it_asks(problem: Problem) -> None:
    """Nothing is lost between a problem and its question."""
    assert parse(problem.question) == problem


@pytest.mark.parametrize("question", ["", "37 +48", "Q:37", "Q:37+48", "Q:37 /2", "Q:٣٧ +48", "Q:37 +48 =85"])
def test_what_is_no_question_is_refused(question: str) -> None:
    """A text that asks no problem is a ValueError."""
    with pytest.raises(ValueError, match="reads like"):
        parse(question)


def test_the_dial_is_the_number_of_operations() -> None:
    """A problem has as many operations as its difficulty says."""
    for operations in (1, 2, 8, 16):
        assert {len(each.operations) for each in fresh("train", operations, 20, 1)} == {operations}


def test_the_same_seed_gives_the_same_problems_and_another_seed_others() -> None:
    """Problems are told by split, difficulty and seed alone."""
    assert fresh("test", 6, 50, 1) == fresh("test", 6, 50, 1)
    assert not set(fresh("test", 6, 50, 1)) & set(fresh("test", 6, 50, 2))


def test_fresh_problems_are_all_different() -> None:
    """No problem comes twice, even where there are few of them."""
    drawn = fresh("test", 1, 500, 3)
    assert len(set(drawn)) == len(drawn) == 500


@pytest.mark.parametrize("operations", [1, 2, 4, 8])
def test_no_problem_belongs_to_two_splits(operations: int) -> None:
    """Splits are disjoint whatever the seeds: what is drawn for one belongs to no other."""
    drawn = {split: set(fresh(split, operations, 800, seed)) for split in _SPLITS for seed in (1,)}
    assert all(split_of(problem) == split for split, chosen in drawn.items() for problem in chosen)
    assert not drawn["train"] & drawn["validation"]
    assert not drawn["train"] & drawn["test"]
    assert not drawn["validation"] & drawn["test"]


@given(_drawn)
def test_the_solution_is_right_in_every_step(problem: Problem) -> None:
    """The checker accepts the solution, all of it and each of its beginnings."""
    lines = problem.solution.split("\n")
    assert is_right(problem, problem.solution)
    assert first_wrong(problem, problem.solution) is None
    assert step_labels(problem, lines) == [True] * (len(problem.operations) + 1)


@given(_drawn, st.data())
def test_a_wrong_line_spoils_all_that_follow(problem: Problem, data: st.DataObject) -> None:
    """From the first line that is not exactly the solution's, nothing counts as right."""
    lines = problem.solution.split("\n")
    place = data.draw(st.integers(0, len(lines) - 1))
    lines[place] = lines[place][:-1] + str((int(lines[place][-1]) + 1) % 10)
    assert step_labels(problem, lines) == [number < place for number in range(len(lines))]
    assert first_wrong(problem, "\n".join(lines)) == place


def test_true_arithmetic_on_other_numbers_is_a_wrong_step() -> None:
    """A step must carry out the operation that is asked, not just hold."""
    assert step_labels(_EXAMPLE, ["37+48=85", "85*3=255"]) == [True, False]


def test_lines_beyond_the_answer_are_wrong() -> None:
    """Nothing may follow the answer."""
    assert step_labels(_EXAMPLE, [*_EXAMPLE.steps, "A:159"])[-1] is False


def test_an_answer_counts_by_its_value_and_the_last_one_holds() -> None:
    """The answer is what the last answer line states, whatever stands before it."""
    assert is_right(_EXAMPLE, "A:159")
    assert stated_answer("A:1\n1+1=2\nA:2") == 2
    assert not is_right(_EXAMPLE, "A:159\nA:158")


@pytest.mark.parametrize("text", ["", "159", "a:159", "A:", " A:159", "A:-5", "A:15 9"])
def test_a_text_without_an_answer_line_is_wrong(text: str) -> None:
    """What states no answer in the answer's form is not right."""
    assert stated_answer(text) is None
    assert not is_right(_EXAMPLE, text)


def test_the_weights_are_small_enough_to_be_committed() -> None:
    """All weights together weigh no more than 10 MB."""
    folder = Path(__file__).with_name("weights")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 10_000_000
