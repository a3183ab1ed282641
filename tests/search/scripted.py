"""Searches run on answers and scores that a test writes down."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.search import begin, configure
from gateway.search.protocol import Candidate, Launch, Until, Winner
from tests.search.contract import TASK
from tests.search.stand_in import StandIn


def answers(given: Sequence[str | None], tokens: Sequence[int] | None = None) -> Callable[..., Candidate | None]:
    """Draw n gives the n-th of these answers; None is a draw that fails."""

    def write(launch: Launch, _rng: random.Random) -> Candidate | None:
        answer = given[launch.draw]
        if answer is None:
            return None
        return Candidate(launch.draw, f"\\boxed{{{answer}}}", 10 if tokens is None else tokens[launch.draw])

    return write


def scores(given: Mapping[int, float]) -> Callable[..., tuple[float, ...] | None]:
    """The score of each draw by its number; None for those that are left out."""
    return lambda _stand_in, draw: (given[draw],) if draw in given else None


def run(name: str, parameters: Mapping[str, Any], stand_in: StandIn) -> Winner:
    """The winner of a strategy."""
    return stand_in.run(begin(name, stand_in.task, configure(name, parameters)))


class Reasoner:
    """A model of which each step is right with a known chance, and a verifier that knows; answers take ``depth`` steps.

    A chain is right if all of its steps are.
    """

    def __init__(self, chance: float, depth: int, seed: int) -> None:
        self.chance = chance
        self.depth = depth
        self.stand_in = StandIn(replace(TASK, seed=seed), seed=seed, write=self._write, judge=self._judge)

    def solves(self, name: str, parameters: Mapping[str, Any]) -> bool:
        """Whether a strategy comes to the right answer."""
        return "wrong" not in run(name, parameters, self.stand_in).text

    def _write(self, launch: Launch, rng: random.Random) -> Candidate:
        done = 0 if launch.prefix is None else self.stand_in.chains[launch.prefix.draw].count("\n\n")
        steps = self.depth - done if launch.until is Until.END else 1
        words = ["right" if rng.random() < self.chance else "wrong" for _ in range(steps)]
        text = "".join(f"{word} {rng.random()}\n\n" for word in words)
        is_end = done + steps >= self.depth
        return Candidate(launch.draw, text + ("\\boxed{1}" if is_end else ""), 10 * steps)

    def _judge(self, stand_in: StandIn, draw: int) -> tuple[float, ...]:
        text = stand_in.chains[draw]  # type: ignore[index]
        if "wrong" in text:
            return (0.1,)
        return (1.0,) if "boxed" in text else (0.8,)
