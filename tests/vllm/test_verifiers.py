"""Verifiers on real vLLMs: heads that classify, compare and pool by step, and labels of a model that writes."""

from __future__ import annotations

import asyncio
import math
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.verifiers.model_verifier import ModelVerifier
from gateway.domain.verification import Chain, Problem
from gateway.settings import Settings
from gateway.wiring import catalog
from tests.vllm.servers import CACHE_BLOCK_TOKENS, ENVIRONMENT, Vllm, serving

pytestmark = pytest.mark.vllm

PROBLEM = Problem((("user", "Q:37 +48 *2 -11"),))
STEPS = ("37+48=85\n", "85*2=170\n", "170-11=159\n", "A:159")
PATIENCE_S = 60.0
PLAIN = {"template": "{question}\n{steps}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reward models with random weights."""
    made = tmp_path_factory.mktemp("rewards")
    maker = Path(__file__).with_name("make_reward_models.py")
    subprocess.run([ENVIRONMENT / "bin" / "python", maker, made], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Iterator[Vllm]:
    """A classifier with one class."""
    arguments = ("--runner", "pooling", "--enable-prefix-caching")
    with serving(folder / "outcome", "outcome", folder / "outcome.log", *arguments) as server:
        yield server


@pytest.fixture(scope="module")
def steps(folder: Path) -> Iterator[Vllm]:
    """A process reward model that pools at its step tag, which is the token of id 3."""
    arguments = ("--runner", "pooling", "--pooler-config", '{"step_tag_id": 3}')
    with serving(folder / "steps", "steps", folder / "steps.log", *arguments) as server:
        yield server


@asynccontextmanager
async def verifier(server: Vllm, **settings: Any) -> AsyncIterator[ModelVerifier]:
    """A verifier at this server."""
    configured = Settings.model_validate(
        {
            "upstreams": {"gpu": {"kind": "vllm", "base_url": server.base_url}},
            "models": {server.model: {"upstream": "gpu", "price": "free"}},
            "verifiers": {"v": {"model": server.model, **settings}},
        }
    )
    offered, _ = catalog(configured, {}, embedded_url=None)
    made = offered.verifiers["v"]
    assert isinstance(made, ModelVerifier)
    try:
        yield made
    finally:
        await offered.upstreams["gpu"].close()


async def _scores(made: ModelVerifier, *of: str, salt: str = "0a", is_whole: bool = True) -> tuple[float, ...]:
    verdict = await made.score(PROBLEM, Chain(of, is_whole), deadline_s=PATIENCE_S, salt=salt)
    assert all(use.usage is not None and use.usage.prompt_tokens > 0 for use in verdict.uses)
    return verdict.scores


async def _read_from_cache(server: Vllm, made: ModelVerifier, *of: str, salt: str = "0a") -> float:
    """How many tokens the server reads from its cache to score these steps."""
    looked, found = (server.metric(f"vllm:prefix_cache_{what}_total") for what in ("queries", "hits"))
    await _scores(made, *of, salt=salt)
    async with asyncio.timeout(PATIENCE_S):
        while server.metric("vllm:prefix_cache_queries_total") == looked:  # noqa: ASYNC110  it counts after it answers
            await asyncio.sleep(0.1)
    return server.metric("vllm:prefix_cache_hits_total") - found


async def test_classes_of_every_beginning(outcome: Vllm) -> None:
    """Each step's score is that of the text up to it, as one by one; probabilities and logits say the same."""
    async with verifier(outcome, kind="classify", **PLAIN) as each:
        together = await _scores(each, *STEPS)
    async with verifier(outcome, kind="classify", steps="last", **PLAIN) as last:
        alone = [(await _scores(last, *STEPS[:number], is_whole=False))[0] for number in range(1, 5)]
    assert together == pytest.approx(alone, abs=1e-4)
    assert len(set(together)) == len(STEPS)
    async with verifier(outcome, kind="classify", scale="logit", **PLAIN) as logit:
        logits = await _scores(logit, *STEPS)
    assert together == pytest.approx([1 / (1 + math.exp(-score)) for score in logits], abs=1e-4)


async def test_a_beginning_is_read_from_the_cache(outcome: Vllm) -> None:
    """A chain that has grown is not read again from its start by its own tenant, and is by another."""
    long = [f"{number}+{number}={2 * number}\n" for number in range(40)]
    async with verifier(outcome, kind="classify", steps="last", **PLAIN) as made:
        first = await _read_from_cache(outcome, made, *long)
        own = await _read_from_cache(outcome, made, *long, "A:78")
        others = await _read_from_cache(outcome, made, *long, "A:79", salt="0b")
    # Whole blocks are read from the cache, and a token is a character.
    assert (first, others) == (0, 0)
    assert own == sum(map(len, long)) // CACHE_BLOCK_TOKENS * CACHE_BLOCK_TOKENS > 0


async def test_ask_and_answer_as_a_pair(outcome: Vllm) -> None:
    """A model of one class compares two texts, too."""
    async with verifier(outcome, kind="outcome", endpoint="score") as made:
        (score,) = await _scores(made, *STEPS)
    assert 0 < score < 1


async def test_rewards_of_steps(steps: Vllm) -> None:
    """One call brings a probability for each step, and the first steps keep theirs as the chain grows."""
    template = {"template": "{question}\n{steps}"}
    async with verifier(steps, kind="step_rewards", **template) as made:
        begun = await _scores(made, *STEPS[:2], is_whole=False)
        whole = await _scores(made, *STEPS)
    assert len(whole) == len(STEPS)
    assert whole[:2] == pytest.approx(begun, abs=1e-4)
    assert all(0 < score < 1 for score in whole)
    assert len(set(whole)) == len(STEPS)


async def test_labels(large: Vllm) -> None:
    """A model that adds well finds the right digit far likelier than a wrong one."""
    template = "{question}\n{steps}"
    problem = Problem((("user", "Q:30 +14 *2"),))
    for labels, is_right in ((("4", "7"), True), (("7", "4"), False)):
        async with verifier(large, kind="label", template=template, labels=labels) as made:
            verdict = await made.score(problem, Chain(("30+14=4",), True), deadline_s=PATIENCE_S, salt="0a")
        assert (verdict.scores[0] > 0.5) is is_right
