"""its-hub at work on the test bed: run by the Python of its own environment, ``.venv-its``.

Reads one JSON document (what to run, and on which problems) and prints one line of JSON for each problem, and one for
what all of them used. Nothing of Ponder is imported but the plain Python of ``tests.reasoner``.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from its_hub.api import ChatMessage
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.algorithms.bon import BestOfN
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering
from its_hub.core.algorithms.self_consistency import SelfConsistency
from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel
from its_hub.core.lms.step_generation import StepGeneration
from its_hub.core.orchestrator import LMOrchestrator

from tests.reasoner.prompts import messages, prompt
from tests.reasoner.tasks import parse, stated_answer

BEAM_WIDTH = 4


class Spending:
    """Adds up what the servers said was used; its-hub's algorithms by steps keep no count of their own."""

    def __init__(self) -> None:
        self.written = 0
        self.read = 0

    def add(self, _prompt: int, completion: int) -> None:
        """Count one call to the model."""
        self.written += completion


class CountingModel(OpenAICompatibleLanguageModel):
    """its-hub's client, every call of which is counted."""

    spending: Spending

    async def agenerate(self, *given: Any, **named: Any) -> Any:
        return await super().agenerate(*given, **{**named, "usage_accumulator": self.spending})

    async def agenerate_single(self, *given: Any, **named: Any) -> Any:
        return await super().agenerate_single(*given, **{**named, "usage_accumulator": self.spending})


class RewardModel:
    """The verifier that Ponder asks too: the same likelihoods of the same text, weighed alike; of steps and answers."""

    def __init__(
        self, session: aiohttp.ClientSession, address: str, weights: Mapping[str, float], spending: Spending
    ) -> None:
        self._session = session
        self._spending = spending
        self._weights = weights
        self._url = f"{address}/v1/completions"

    async def ascore(self, asked: Any, steps: Any = None, **_: Any) -> Any:
        """The chance that each answer, or beginning of one, comes out right."""
        if steps is None:
            texts = [f"{each[-2].content}\n{each[-1].content}" for each in asked]
        else:
            question = asked.rpartition("\n")[2]
            texts = [f"{question}\n{each}" for each in ([steps] if isinstance(steps, str) else steps)]
        body = {"model": "prm", "prompt": texts, "echo": True, "max_tokens": 0, "logprobs": 0, "temperature": 0}
        async with self._session.post(self._url, json=body) as response:
            response.raise_for_status()
            answer = await response.json()
        self._spending.read += answer["usage"]["prompt_tokens"]
        told = sorted(answer["choices"], key=lambda each: int(each["index"]))
        scored = [self._score(text, each["logprobs"]["token_logprobs"]) for text, each in zip(texts, told, strict=True)]
        return scored[0] if isinstance(steps, str) else scored

    def _score(self, text: str, told: Sequence[float | None]) -> float:
        """By the least likely line after the first, and the least likely token of them; a token is a character."""
        likely = [min(0.0, each or 0.0) for each in told[1:]]  # the first begins the prompt
        question, *lines = text.splitlines(keepends=True)
        place, step, token = len(question), 0.0, 0.0
        for line in lines:
            within = likely[place : place + len(line)]
            place += len(line)
            step, token = min(step, sum(within)), min(token, *within, 0.0)
        odds = self._weights["bias"] - self._weights["step"] * math.log1p(-step)
        return 1 / (1 + math.exp(self._weights["token"] * math.log1p(-token) - odds))


def algorithm(name: str, judge: RewardModel, depth: int, temperature: float) -> Any:
    """One of its algorithms, with its defaults where the test bed does not ask for others."""
    many = LMOrchestrator(max_concurrency=-1)  # vLLM queues by itself
    steps = StepGeneration(
        max_steps=depth,
        step_token="\n",
        stop_token="A:",
        temperature=temperature,
        include_stop_str_in_output=True,
    )
    made = {
        "self-consistency": lambda: SelfConsistency(lambda text: str(stated_answer(text)), orchestrator=many),
        "best-of-N": lambda: BestOfN(judge, orchestrator=many),
        "beam": lambda: BeamSearch(steps, judge, BEAM_WIDTH),
        "particle filtering": lambda: ParticleFiltering(steps, judge),
    }
    return made[name]()


async def run(task: dict[str, Any]) -> None:
    """Work on all problems, so many at a time, and print how each came out."""
    random.seed(task["seed"])
    places = asyncio.Semaphore(task["at_once"])
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        CountingModel(
            f"{task['model']}/v1",
            "none",
            "small",
            temperature=task["temperature"],
            max_completion_tokens=task["max_tokens"],
        ) as model,
    ):
        model.spending = spending = Spending()
        judge = RewardModel(session, task["judge"], task["weights"], spending)
        chosen = algorithm(task["algorithm"], judge, task["depth"], task["temperature"])
        by_steps = task["algorithm"] in ("beam", "particle filtering")

        async def solve(question: str) -> None:
            problem = parse(question)
            # Algorithms by steps join messages into one text; as the template renders it, it is the same prompt.
            asked = prompt(problem).removesuffix("\n") if by_steps else _chat(messages(problem))
            async with places:
                started = time.monotonic()
                try:
                    found = await chosen.ainfer(model, asked, task["budget"])
                    text, fault = found["content"], None
                except Exception as error:  # noqa: BLE001 - a failure of the peer is a result, and is told
                    text, fault = "", repr(error)[:200]
                spent_s = time.monotonic() - started
            print(json.dumps({"question": question, "text": text, "fault": fault, "wall_s": spent_s}), flush=True)

        await asyncio.gather(*map(solve, task["questions"]))
    print(json.dumps({"written": spending.written, "read": spending.read}))


def _chat(chat: Sequence[Any]) -> list[ChatMessage]:
    return [ChatMessage(role=each["role"], content=each["content"]) for each in chat]


if __name__ == "__main__":
    asyncio.run(run(json.load(sys.stdin)))
