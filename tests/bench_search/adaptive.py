"""The stage of adaptive allocation: tuned on the validation split, measured on the test split's mix.

How hard a problem is comes to the gateway as a hint: once by the known number of operations, once by a predictor that
was fitted to pass rates on the training split and reads nothing but the question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

import aiohttp
import numpy as np
from sklearn.linear_model import LogisticRegression

from tests.bench_search import arms
from tests.bench_search.allocation import Option, allocate, options
from tests.bench_search.arms import ADAPTIVE, REPAIRS, UNIFORM
from tests.bench_search.asking import AT_ONCE, seed_of
from tests.bench_search.attempts import Attempt
from tests.bench_search.figures import best_of, plateau
from tests.bench_search.run import Run, problems, say
from tests.reasoner.prompts import prompt_ids
from tests.reasoner.tasks import Problem, is_right

LEVELS: Final[Mapping[str, int]] = {"easy": 1, "medium": 4, "hard": 8}
"""Operations of the problems of each difficulty."""
MIX: Final[Mapping[str, float]] = {"easy": 0.65, "medium": 0.25, "hard": 0.1}
_MARGIN: Final = 0.005
"""How much better than uniform the allocation must be on the validation split, as it was chosen there."""
_SAMPLED: Final = UNIFORM[max(UNIFORM)]
_TRIED: Final = ("greedy", _SAMPLED, REPAIRS)
_TAUGHT_OPERATIONS: Final = (1, 2, 3, 4, 5, 6, 7, 8)
_TAUGHT_EACH: Final = 40
_TAUGHT_DRAWS: Final = 4


def measure(run: Run) -> dict[str, Any]:
    """Tune, then measure uniform and both kinds of adaptive allocation on the mix; figures that the report needs."""
    validation = {name: problems("validation", operations, run.tuning) for name, operations in LEVELS.items()}
    tried = _tried(run)
    full = tried[_SAMPLED]
    curve = {
        number: sum(
            MIX[name] * fmean(best_of(full[each].draws, number) for each in validation[name]) for name in LEVELS
        )
        for number in UNIFORM
    }
    number = plateau(curve)
    for name, operations in LEVELS.items():
        run.measure(UNIFORM[number], "test", operations, mix_size(run, name))
    predictor = Predictor(run)
    known = {each: name for name in LEVELS for each in (*validation[name], *_test(run, name))}
    predicted = {each: predictor.level(each) for each in known}
    kinds = {}
    for kind, levels in {"known": known, "predicted": predicted}.items():
        found = {level: _options(run, tried, validation, levels, level) for level in LEVELS}
        chosen = allocate(found, curve[number] + _MARGIN)
        say(f"adaptive, {kind}: " + ", ".join(f"{level}: {each.name}" for level, each in chosen.items()))
        kinds[kind] = {
            "setting": _ask(run, kind, {level: each.arm for level, each in chosen.items()}, levels),
            "choice": {level: each.name for level, each in chosen.items()},
        }
    tested = [(each, name) for name in LEVELS for each in _test(run, name)]
    return {
        "kinds": kinds,
        "uniform": number,
        "curve": curve,
        "agreement": fmean(predicted[each] == name for each, name in tested),
        "tuning": run.tuning,
        "sizes": {name: mix_size(run, name) for name in LEVELS},
    }


def _tried(run: Run) -> dict[str, dict[Problem, Attempt]]:
    """What every arm that can be chosen did on the validation problems of all difficulties."""
    tried: dict[str, dict[Problem, Attempt]] = {}
    for operations in LEVELS.values():
        asked = problems("validation", operations, run.tuning)
        for arm in _TRIED:
            made = run.measure(arm, "validation", operations, run.tuning)
            tried.setdefault(arm, {}).update(zip(asked, made, strict=True))
    return tried


def _options(
    run: Run,
    tried: Mapping[str, Mapping[Problem, Attempt]],
    validation: Mapping[str, Sequence[Problem]],
    levels: Mapping[Problem, str],
    level: str,
) -> list[Option]:
    """What can be chosen for a level, measured on the validation problems that are taken for it."""
    mine = [(each, MIX[name] / run.tuning) for name in LEVELS for each in validation[name] if levels[each] == level]
    greedy, sampled, repaired = ([tried[arm][each] for each, _ in mine] for arm in _TRIED)
    return options(greedy, sampled, repaired, [weight for _, weight in mine])


def _ask(run: Run, kind: str, choice: Mapping[str, arms.Arm], levels: Mapping[Problem, str]) -> str:
    """Ask the mix of a policy with these arms; the setting under which its answers are kept."""
    policy = arms.adaptive(choice)
    run.bed.put_in_force(policy)
    setting = arms.digest([policy, run.bed.weights])
    for name, operations in LEVELS.items():
        hints = {each: _hint(levels[each]) for each in _test(run, name)}
        run.measure(
            f"adaptive, {kind}", "test", operations, len(hints), model=f"auto:{ADAPTIVE}", setting=setting, hints=hints
        )
    return setting


def _test(run: Run, name: str) -> list[Problem]:
    return problems("test", LEVELS[name], mix_size(run, name))


def of_mix(run: Run, arm: str, setting: str, sizes: Mapping[str, int]) -> list[Attempt]:
    """An arm's attempts at the test mix."""
    return [
        run.kept.attempts[(setting, arm, each.question)]
        for name, operations in LEVELS.items()
        for each in problems("test", operations, sizes[name])
    ]


def mix_size(run: Run, name: str) -> int:
    """How many problems of a difficulty the mix has; all together as many as two cells of the table."""
    return max(4, round(MIX[name] * 2 * run.problems))


def _hint(level: str) -> dict[str, str]:
    return {"x-ponder-category": "math", "x-ponder-difficulty": level}


class Predictor:
    """Takes a problem for easy, medium or hard by its question alone, after pass rates on the training split."""

    def __init__(self, run: Run) -> None:
        taught = [each for operations in _TAUGHT_OPERATIONS for each in problems("train", operations, _TAUGHT_EACH)]
        say(f"adaptive: {_TAUGHT_DRAWS} draws of each of {len(taught)} problems of the training split")
        rates = asyncio.run(_pass_rates(run, taught))
        rows = np.repeat([features(each) for each in taught], _TAUGHT_DRAWS, axis=0)
        passed = np.concatenate([[1] * right + [0] * (_TAUGHT_DRAWS - right) for right in rates])
        self._model = LogisticRegression(max_iter=1000).fit(rows, passed)
        means = [
            fmean(self.success(each) for each in problems("validation", operations, run.tuning))
            for operations in LEVELS.values()
        ]
        self.cuts = ((means[0] + means[1]) / 2, (means[1] + means[2]) / 2)

    def success(self, problem: Problem) -> float:
        """The predicted share of the small model's draws that are right."""
        return float(self._model.predict_proba([features(problem)])[0, 1])

    def level(self, problem: Problem) -> str:
        """The difficulty whose problems are nearest in predicted success."""
        predicted = self.success(problem)
        return "easy" if predicted >= self.cuts[0] else "medium" if predicted >= self.cuts[1] else "hard"


def features(problem: Problem) -> list[float]:
    """What can be seen of a problem before it is worked: operations of each kind, and how large numbers are."""
    kinds = [sum(operator == kind for operator, _ in problem.operations) for kind in "+-*"]
    operands = [operand for _, operand in problem.operations]
    return [*map(float, kinds), problem.start / 100, fmean(operands) / 100]


async def _pass_rates(run: Run, taught: Sequence[Problem]) -> list[int]:
    """How many draws of each problem are right, drawn at the vLLM itself."""
    server, places = run.bed.servers["small"], asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession() as session:

        async def rate(problem: Problem) -> int:
            asked = {
                "model": server.model,
                "prompt": prompt_ids(problem),
                "n": _TAUGHT_DRAWS,
                "seed": seed_of(problem),
                "temperature": 0.8,
                "max_tokens": arms.OUTPUT_TOKENS,
            }
            async with places, session.post(f"{server.base_url}/completions", json=asked) as response:
                response.raise_for_status()
                answer = await response.json()
            return sum(is_right(problem, choice["text"]) for choice in answer["choices"])

        return await asyncio.gather(*map(rate, taught))
