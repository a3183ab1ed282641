"""Everything that a verifier's server says it used is charged, once, to those who asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.domain.verification import Verdict
from tests.adapters.raw_server import until
from tests.adapters.verifiers.conftest import PATIENCE_S, PROBLEM, Make, chain
from tests.adapters.verifiers.fake_vllm import FakeVllm

KINDS: list[dict[str, Any]] = [
    {"kind": "step_rewards"},
    {"kind": "classify"},
    {"kind": "classify", "batch": 2},
    {"kind": "label", "template": "{question} {steps}"},
    {"kind": "likelihood", "weights": {"bias": 2, "step": 1, "token": 1}},
    {"kind": "outcome", "endpoint": "score"},
    {"kind": "judge", "steps": "each"},
]


def _said(verdicts: list[Verdict]) -> tuple[int, int]:
    """The tokens that verdicts say were read and written."""
    usages = [use.usage for verdict in verdicts for use in verdict.uses if use.usage is not None]
    return sum(usage.input_tokens for usage in usages), sum(usage.output_tokens for usage in usages)


@pytest.mark.parametrize("settings", KINDS, ids=lambda each: f"{each['kind']} {each.get('batch', '')}")
async def test_parts_of_a_call_add_up(make: Make, server: FakeVllm, settings: dict[str, Any]) -> None:
    """Chains that share calls share what they used, and together pay for all of it."""
    counted: list[dict[str, int]] = []

    def note(answer: dict[str, Any]) -> dict[str, Any]:
        counted.append(answer["usage"])
        return answer

    server.spoil = note
    verifier = make(**settings)
    chains = [
        chain("first\n", "second, longer\n", is_whole=True),
        chain("bad", is_whole=True),
        chain("x", is_whole=True),
    ]
    verdicts = await asyncio.gather(
        *(verifier.score(PROBLEM, each, deadline_s=PATIENCE_S, salt="s") for each in chains)
    )
    assert all(verdict.uses for verdict in verdicts)
    assert all(use.model == "m" for verdict in verdicts for use in verdict.uses)
    expected = sum(usage["prompt_tokens"] for usage in counted), sum(usage["completion_tokens"] for usage in counted)
    assert _said(list(verdicts)) == expected


async def test_a_common_beginning_is_paid_once(make: Make, server: FakeVllm) -> None:
    """Of two chains that begin alike and are scored at the same time, one pays for the beginning."""
    verifier = make(kind="classify")
    alike = [chain("same\n", "a"), chain("same\n", "b")]
    verdicts = await asyncio.gather(*(verifier.score(PROBLEM, each, deadline_s=PATIENCE_S, salt="s") for each in alike))
    assert sorted(len(verdict.uses) for verdict in verdicts) == [1, 2]
    assert len(server.texts) == 3
    assert len(server.asked) == 1


async def test_a_server_that_says_nothing_of_usage(make: Make, server: FakeVllm) -> None:
    """A call without usage is told as one of which nobody knows what it used."""
    server.spoil = lambda answer: {name: value for name, value in answer.items() if name != "usage"}
    verdict = await make(kind="classify").score(PROBLEM, chain("a"), deadline_s=PATIENCE_S, salt="s")
    assert [use.usage for use in verdict.uses] == [None]


async def test_who_joins_a_call_under_way_is_not_charged(make: Make, server: FakeVllm) -> None:
    """The same chain asked for twice at once is read once, and charged once."""
    server.gate.clear()
    verifier = make(kind="step_rewards")

    async def ask(deadline_s: float) -> Verdict:
        return await verifier.score(PROBLEM, chain("a", "b"), deadline_s=deadline_s, salt="s")

    first = asyncio.create_task(ask(PATIENCE_S))
    await until(lambda: server.asked)
    second = asyncio.create_task(ask(PATIENCE_S / 2))
    await asyncio.sleep(0)
    server.gate.set()
    verdicts = [await first, await second]
    assert verdicts[0].scores == verdicts[1].scores
    assert [len(verdict.uses) for verdict in verdicts] == [1, 0]
    assert len(server.asked) == 1
