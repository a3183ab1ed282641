from __future__ import annotations

import json
import re

from calibrator.prm.items import read_items
from tests.reasoner.items import item
from tests.reasoner.tasks import fresh


def test_items_are_what_the_labelling_reads() -> None:
    """The labelling finds the answer in the solution, and the question as the last thing asked."""
    (problem,) = fresh("validation", 5, 1, seed=1)
    (read,) = read_items([json.dumps(item(problem))], "items")
    assert read.question == problem.question
    assert read.difficulty == "5"
    found = read.grader.answer(problem.solution, is_cut=False)
    assert read.grader.is_right(found, read.answer)
    assert not read.grader.is_right(read.grader.answer("A:1000000", is_cut=False), read.answer)


def test_items_of_different_problems_have_different_ids() -> None:
    """An item is named by its question."""
    chosen = fresh("train", 3, 50, seed=1)
    assert len({item(each)["id"] for each in chosen}) == 50
    assert all(re.match(r"Q:\d", item(each)["id"]) for each in chosen)
