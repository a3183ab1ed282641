"""The traffic and the golden items: problems of mixed difficulty, each with the difficulty that is predicted of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from tests.bench_search.adaptive import LEVELS, MIX
from tests.bench_search.run import problems
from tests.reasoner.prompts import messages
from tests.reasoner.tasks import Problem, Split

CATEGORY: Final = "math"


@dataclass(frozen=True, slots=True)
class Asked:
    """A problem, and how hard it is taken to be by its question alone."""

    problem: Problem
    difficulty: str

    @property
    def operations(self) -> int:
        """How hard it is."""
        return len(self.problem.operations)

    @property
    def hints(self) -> dict[str, str]:
        """What an application that knows its traffic sends along."""
        return {"x-ponder-category": CATEGORY, "x-ponder-difficulty": self.difficulty}


def mixed(split: Split, count: int, predict: Callable[[Problem], str]) -> list[Asked]:
    """So many problems of a split in the proportions of the mix, always the same ones in the same random order."""
    drawn = [
        Asked(problem, predict(problem))
        for level, operations in LEVELS.items()
        for problem in problems(split, operations, round(MIX[level] * count))
    ]
    random.Random(split).shuffle(drawn)
    return drawn


def golden(items: Iterable[Asked]) -> str:
    """The golden file of these problems."""
    return "".join(json.dumps(_line(item)) + "\n" for item in items)


def _line(item: Asked) -> dict[str, Any]:
    return {
        "id": item.problem.question,
        "messages": messages(item.problem),
        "category": CATEGORY,
        "difficulty": item.difficulty,
        "check": {"kind": "regex", "pattern": rf"(^|\n)A:{item.problem.answer}\s*$"},
    }
