"""Chained arithmetic: problems of any difficulty, worked in checkable steps, and their checker.

A problem is a number and operations to carry out from left to right. It is worked one operation a
line and closed by its answer::

    Q:37 +48 *2 -11
    37+48=85
    85*2=170
    170-11=159
    A:159

Its difficulty is the number of its operations. Needs nothing beyond the standard library, so that
training, tests and benchmarks share it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Final, Literal

Split = Literal["train", "validation", "test"]

MOST: Final = 999
"""No number of a problem, final or between, is greater; none is below 0."""
_OPERATORS: Final = "+-*"
_ASKED: Final = re.compile(r"Q:(\d{1,3})((?: [+*-]\d{1,2})+)", re.ASCII)
_ANSWER: Final = re.compile(r"^A:(\d+)$", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Problem:
    """A number, and the operations to carry out on it from left to right."""

    start: int
    operations: tuple[tuple[str, int], ...]

    @property
    def question(self) -> str:
        """The problem as it is asked: ``Q:37 +48 *2``."""
        return f"Q:{self.start}" + "".join(f" {operator}{operand}" for operator, operand in self.operations)

    @property
    def values(self) -> tuple[int, ...]:
        """The start and the result of every operation in turn; the last is the answer."""
        values = [self.start]
        for operator, operand in self.operations:
            values.append(_result(values[-1], operator, operand))
        return tuple(values)

    @property
    def answer(self) -> int:
        """The result of the last operation."""
        return self.values[-1]

    @property
    def steps(self) -> tuple[str, ...]:
        """The lines of the one right solution; the last states the answer."""
        worked = zip(pairwise(self.values), self.operations, strict=True)
        lines = [f"{before}{operator}{operand}={after}" for (before, after), (operator, operand) in worked]
        return (*lines, f"A:{self.answer}")

    @property
    def solution(self) -> str:
        """The one right solution."""
        return "\n".join(self.steps)


def split_of(problem: Problem) -> Split:
    """The split to which a problem belongs, by a digest of its question: whatever the seeds, splits are disjoint."""
    share = blake2b(problem.question.encode(), digest_size=1).digest()[0]
    if share < 192:
        return "train"
    return "validation" if share < 224 else "test"


def problems(split: Split, operations: int, seed: int) -> Iterator[Problem]:
    """Problems of one split and one difficulty without end; the same seed gives the same ones."""
    chance = random.Random(f"{split} {operations} {seed}")
    while True:
        if split_of(problem := _draw(chance, operations)) == split:
            yield problem


def fresh(split: Split, operations: int, count: int, seed: int) -> list[Problem]:
    """So many different problems of one split and one difficulty."""
    drawn: dict[Problem, None] = {}
    for problem in problems(split, operations, seed):
        drawn[problem] = None
        if len(drawn) == count:
            break
    return list(drawn)


def parse(question: str) -> Problem:
    """The problem that a question asks."""
    if (asked := _ASKED.fullmatch(question.strip())) is None:
        raise ValueError("a question reads like 'Q:37 +48 *2 -11'")
    operations = tuple((each[0], int(each[1:])) for each in asked[2].split())
    return Problem(int(asked[1]), operations)


def stated_answer(text: str) -> int | None:
    """The answer that a text states, in its last line of the form ``A:159``."""
    stated = _ANSWER.findall(text)
    return int(stated[-1][:9]) if stated else None


def is_right(problem: Problem, text: str) -> bool:
    """Whether a text states the problem's answer, however it came by it."""
    return stated_answer(text) == problem.answer


def step_labels(problem: Problem, lines: Sequence[str]) -> list[bool]:
    """For every written line, whether it and all before it are exactly the steps of the solution."""
    steps = problem.steps
    labels: list[bool] = []
    for number, line in enumerate(lines):
        labels.append(all(labels[-1:]) and number < len(steps) and line == steps[number])
    return labels


def first_wrong(problem: Problem, text: str) -> int | None:
    """The number of the first wrong line of a worked text, counted from 0; none where all are right."""
    labels = step_labels(problem, text.split("\n"))
    return labels.index(False) if False in labels else None


def _draw(chance: random.Random, operations: int) -> Problem:
    value = start = chance.randint(10, 99)
    chosen: list[tuple[str, int]] = []
    for _ in range(operations):
        operator, operand = _operation(chance, value)
        chosen.append((operator, operand))
        value = _result(value, operator, operand)
    return Problem(start, tuple(chosen))


def _operation(chance: random.Random, value: int) -> tuple[str, int]:
    """An operation whose result stays between 0 and ``MOST``."""
    while True:
        operator = chance.choice(_OPERATORS)
        operand = chance.randint(2, 9) if operator == "*" else chance.randint(10, 99)
        if 0 <= _result(value, operator, operand) <= MOST:
            return operator, operand


def _result(value: int, operator: str, operand: int) -> int:
    if operator == "*":
        return value * operand
    return value + operand if operator == "+" else value - operand
