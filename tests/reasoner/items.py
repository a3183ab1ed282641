"""Problems as the JSON lines that ``ponder prm label`` and benchmarks read.

``python -m tests.reasoner.items train --operations 2,4,8,12 --each 100 --seed 1 > items.jsonl``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any, Final, get_args

from tests.reasoner.prompts import EXAMPLES, messages
from tests.reasoner.tasks import Problem, Split, fresh

ANSWER_PATTERN: Final = r"^A:(\d+)$"


def item(problem: Problem, examples: Sequence[Problem] = EXAMPLES) -> dict[str, Any]:
    """A problem with its chat, its answer, and how an answer is found in a text."""
    return {
        "id": problem.question,
        "messages": messages(problem, examples),
        "answer": problem.answer,
        "grader": {"pattern": ANSWER_PATTERN},
        "difficulty": str(len(problem.operations)),
    }


def main() -> None:
    """Print problems of one split, one JSON object a line."""
    parser = argparse.ArgumentParser(description="Print problems as JSON lines.")
    parser.add_argument("split", choices=get_args(Split))
    parser.add_argument("--operations", default="2,4,8,12", help="difficulties, by comma (2,4,8,12)")
    parser.add_argument("--each", type=int, default=100, help="problems of each difficulty (100)")
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    for operations in map(int, arguments.operations.split(",")):
        for problem in fresh(arguments.split, operations, arguments.each, arguments.seed):
            print(json.dumps(item(problem)))


if __name__ == "__main__":
    main()
