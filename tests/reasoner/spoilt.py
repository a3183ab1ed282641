"""Right solutions made wrong, for tests of what is to tell the two apart."""

from __future__ import annotations

import random


def spoilt(solution: str, seed: int) -> str:
    """A solution with the first digit of the result of one line changed."""
    chance = random.Random(seed)
    lines = solution.split("\n")
    number = chance.randrange(len(lines) - 1)  # the last line states the answer
    asked, _, result = lines[number].partition("=")
    digit = (int(result[0]) - 1 + chance.randint(1, 8)) % 9 + 1
    lines[number] = f"{asked}={digit}{result[1:]}"
    return "\n".join(lines)
