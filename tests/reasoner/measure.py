"""How often a served reasoner is right, by difficulty: ``python -m tests.reasoner.measure small large``.

Starts a vLLM for each model, asks it fresh problems of the test split, and prints one table row for each
difficulty: pass@1, pass@8 and the share of steps right, with 95% intervals over the problems.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.reasoner.prompts import prompt_ids
from tests.reasoner.tasks import Problem, fresh, is_right, step_labels
from tests.vllm.servers import Vllm, serving

DIFFICULTIES: Final = (2, 4, 8, 12)
TEMPERATURE: Final = 0.8
_PROBLEMS: Final = 200
_SAMPLES: Final = 8
_AT_ONCE: Final = 4
_SEED: Final = 7
_SPARE_TOKENS: Final = 24
_NORMAL_95: Final = 1.96


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the samples of one problem came out."""

    right: int
    samples: int
    right_steps: int
    """Steps that continue a right beginning rightly."""
    tried_steps: int
    """Steps that continue a right beginning."""
    tokens: int

    def pass_at(self, draws: int) -> float:
        """The chance that one of so many draws is right, without bias (Chen et al. 2021, arXiv 2107.03374)."""
        return 1 - math.comb(self.samples - self.right, draws) / math.comb(self.samples, draws)


def main(names: Sequence[str]) -> None:
    """Measure the reasoners that are named and print a table."""
    print("| model | operations | problems | pass@1 | pass@8 | steps right | tokens/s |\n|---|---|---|---|---|---|---|")
    for name in names:
        weights = Path(__file__).with_name("weights") / name
        with tempfile.TemporaryDirectory() as folder, serving(weights, name, Path(folder, "vllm.log")) as server:
            for operations in DIFFICULTIES:
                started = time.monotonic()
                chosen = fresh("test", operations, _PROBLEMS, _SEED)
                outcomes = asyncio.run(measure(server, chosen, _SAMPLES, _SEED))
                print(_row(name, operations, outcomes, time.monotonic() - started), flush=True)


async def measure(server: Vllm, chosen: Sequence[Problem], samples: int, seed: int) -> list[Outcome]:
    """The outcomes of so many samples of every problem."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def sample(problem: Problem) -> Outcome:
        asked = {
            "model": server.model,
            "prompt": prompt_ids(problem),
            "n": samples,
            "seed": seed,
            "temperature": TEMPERATURE,
            "max_tokens": len(problem.solution) + _SPARE_TOKENS,
        }
        async with places:
            response = await client.post(f"{server.base_url}/completions", json=asked)
        return _outcome(problem, response.raise_for_status().json())

    async with httpx.AsyncClient(timeout=600) as client:
        return await asyncio.gather(*map(sample, chosen))


def _outcome(problem: Problem, answer: dict[str, Any]) -> Outcome:
    texts = [choice["text"] for choice in answer["choices"]]
    labels = [step_labels(problem, text.split("\n")) for text in texts]
    return Outcome(
        right=sum(is_right(problem, text) for text in texts),
        samples=len(texts),
        right_steps=sum(map(sum, labels)),
        tried_steps=sum(sum(each) + (False in each) for each in labels),
        tokens=answer["usage"]["completion_tokens"],
    )


def _row(name: str, operations: int, outcomes: Sequence[Outcome], spent_s: float) -> str:
    once = _interval([each.pass_at(1) for each in outcomes])
    often = _interval([each.pass_at(8) for each in outcomes])
    steps = sum(each.right_steps for each in outcomes) / sum(each.tried_steps for each in outcomes)
    speed = sum(each.tokens for each in outcomes) / spent_s
    return f"| {name} | {operations} | {len(outcomes)} | {once} | {often} | {steps:.3f} | {speed:,.0f} |"


def _interval(values: Sequence[float]) -> str:
    mean = statistics.fmean(values)
    spread = _NORMAL_95 * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.3f} ± {spread:.3f}"


if __name__ == "__main__":
    main(sys.argv[1:] or ["small", "large"])
