"""The mix: its proportions, and golden items that the calibrator reads and checks as the test bed does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from calibrator.items.golden import read_golden
from gateway.domain.check import PatternCheck
from tests.bench_routing.mix import Asked, golden, mixed
from tests.reasoner.tasks import is_right, parse, split_of

PROBLEM = parse("Q:58 -19 *4 +67")


def test_the_mix_has_its_proportions_and_is_always_the_same() -> None:
    """65, 25 and 10 of a hundred with 1, 4 and 8 operations, all of the split that was asked for."""
    drawn = mixed("test", 100, lambda problem: "easy" if len(problem.operations) == 1 else "hard")
    assert [sum(each.operations == operations for each in drawn) for operations in (1, 4, 8)] == [65, 25, 10]
    assert {split_of(each.problem) for each in drawn} == {"test"}
    assert [each.difficulty == "easy" for each in drawn] == [each.operations == 1 for each in drawn]
    assert mixed("test", 100, lambda _: "easy")[40].problem == drawn[40].problem


def test_items_are_golden_items_of_the_predicted_difficulty(tmp_path: Path) -> None:
    """The calibrator reads them, in the cell that a request with the same hints is in."""
    one = Asked(PROBLEM, "medium")
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "items.jsonl").write_text(golden([one]), "utf-8")
    (item,) = read_golden(tmp_path)
    assert item.cell == (one.hints["x-ponder-category"], one.hints["x-ponder-difficulty"]) == ("math", "medium")
    assert item.messages[-1] == {"role": "user", "content": PROBLEM.question}
    assert item.is_binary


@pytest.mark.parametrize(
    "text",
    [PROBLEM.solution, "A:223", "A:223\n", "58-19=39\nA:9\nA:223", "A:2230", "58\nA:23", "223", "A:22", "", "A:1\n"],
)
def test_items_are_checked_as_the_test_bed_checks(tmp_path: Path, text: str) -> None:
    """By the answer that the last line states, and by nothing else in the text."""
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "items.jsonl").write_text(golden([Asked(PROBLEM, "easy")]), "utf-8")
    (item,) = read_golden(tmp_path)
    assert isinstance(item.check, PatternCheck)
    assert (re.search(item.check.pattern, text) is not None) == is_right(PROBLEM, text)
