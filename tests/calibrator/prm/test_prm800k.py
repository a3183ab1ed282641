"""Tests of calibrator/prm/prm800k.py, on a labelling written by hand in PRM800K's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from calibrator.prm.commands import prm
from calibrator.prm.labels import read_chains
from calibrator.prm.prm800k import read_prm800k
from gateway.errors import ConfigurationError


def _offer(text: str, rating: int | None) -> dict[str, Any]:
    return {"text": text, "rating": rating, "flagged": False}


def _step(*offers: dict[str, Any], chosen: int | None = 0, human: str | None = None) -> dict[str, Any]:
    written = None if human is None else {"text": human, "rating": None, "source": "human", "flagged": False}
    return {"completions": list(offers), "human_completion": written, "chosen_completion": chosen}


def _line(problem: str, finish: str, *steps: dict[str, Any]) -> str:
    question = {"problem": problem, "ground_truth_solution": "…", "ground_truth_answer": "4", "pre_generated_steps": []}
    label = {"steps": list(steps), "total_time": 1000, "finish_reason": finish}
    return json.dumps({"labeler": "x", "timestamp": "2022-07-17", "question": question, "label": label})


SOLVED = _line(
    "What is 2 + 2?",
    "solution",
    _step(_offer("Two and two.", 1), _offer("Two times three.", -1)),
    _step(_offer("Let me think.", 0), _offer("So 5.", -1), _offer("So 6.", None), chosen=0),
    _step(_offer("That is 3.", -1), chosen=None, human="That is 4."),
)
WRONG = _line("What is 3 + 3?", "found_error", _step(_offer("Three twice.", 1)), _step(_offer("Nine.", -1)))
GIVEN_UP = _line("What is 1 + 1?", "give_up", _step(_offer("One.", 1)), _step(_offer("Hm.", None), chosen=None))


def test_the_path_of_choices_is_a_chain_and_every_other_rated_step_one_more() -> None:
    """Steps beside the path are labelled alone; what a person wrote counts as good, and so does a neutral step."""
    chains = list(read_prm800k([SOLVED], "labels", "\n"))
    assert [(chain.steps, chain.values, chain.is_right) for chain in chains] == [
        (("Two times three.",), (0.0,), None),
        (("Two and two.\n", "So 5."), (None, 0.0), None),
        (("Two and two.\n", "Let me think.\n", "That is 3."), (None, None, 0.0), None),
        (("Two and two.\n", "Let me think.\n", "That is 4."), (1.0, 1.0, 1.0), True),
    ]
    assert [(chain.item, chain.number) for chain in chains] == [("What is 2 + 2?", number) for number in range(4)]


def test_how_the_labelling_ended_says_whether_the_chain_is_right() -> None:
    """An error that was found is a wrong chain; where the labeller gave up nobody knows."""
    wrong, given_up = read_prm800k([WRONG, "", GIVEN_UP], "labels", "\n")
    assert (wrong.values, wrong.is_right) == ((1.0, 0.0), False)
    assert (given_up.steps, given_up.values, given_up.is_right) == (("One.",), (1.0,), None)
    (solved_badly,) = read_prm800k([_line("?", "solution", _step(_offer("Wrong, but chosen.", -1)))], "labels", "")
    assert solved_badly.is_right is False


def test_a_line_in_another_format_is_named() -> None:
    """What is expected is said, with the number of the line."""
    with pytest.raises(ConfigurationError, match=r"labels, line 2: not in PRM800K's format"):
        list(read_prm800k([SOLVED, '{"prompt": "x"}'], "labels", "\n"))


def test_imported_labels_are_read_like_drawn_ones(tmp_path: Path) -> None:
    """`ponder prm label --import` writes a file that training and reading take."""
    given, out = tmp_path / "prm800k.jsonl", tmp_path / "labels.jsonl"
    given.write_text(f"{SOLVED}\n{WRONG}\n")
    arguments = ["label", "--import", str(given), "--out", str(out), "--boundary", "blank_line"]
    result = CliRunner().invoke(prm, arguments)
    assert json.loads(result.output) == {"chains": 5}
    assert sorted(chain.values for chain in read_chains(out) if chain.is_right) == [(1.0, 1.0, 1.0)]
    assert all(step.endswith("\n\n") for chain in read_chains(out) for step in chain.steps[:-1])
    before = out.read_bytes()
    assert CliRunner().invoke(prm, arguments).exit_code == 0
    assert CliRunner().invoke(prm, [*arguments[:-1], "newline"]).exit_code == 1
    assert out.read_bytes() == before
