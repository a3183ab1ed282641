"""Searches whose verifier is a model: scored by a server over HTTP, charged, and told of where it fails."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.domain.model import Model
from gateway.domain.pricing import per_mtok
from gateway.domain.record import Result
from gateway.flow.house import House, Terms
from gateway.flow.lane import Bounds
from gateway.flow.reply import Whole
from gateway.policy.reading import read_policy
from gateway.steering import put_in_force
from gateway.verifier_settings import ClassifySettings
from gateway.verifying import make_verifiers
from tests.adapters.verifiers.fake_vllm import MODEL, FakeVllm
from tests.flow.scripted import Kept
from tests.flow.searching_house import ARMS, ask, searching_house
from tests.upstreams.searched_vllm import SearchedVllm

CHAINS = ("2+2=5\n5*2=10\nA:10", "2+2=4\n4*2=8\nA:8")


def _continues(prompt: str, seed: int) -> str:
    """A reasoner that is right on one seed of two, and goes on as it began."""
    begun = prompt.rpartition("<assistant>")[2]
    fitting = [chain for chain in CHAINS if chain.startswith(begun)]
    chain = fitting[0] if len(fitting) == 1 else fitting[seed % 2]
    return chain[len(begun) :]


def _likely(text: str) -> float:
    return 0.1 if "=5" in text else 0.9


@pytest.fixture
async def reasoner() -> AsyncIterator[SearchedVllm]:
    """The stand-in that draws."""
    async with SearchedVllm(_continues) as running:
        yield running


@pytest.fixture
async def judge() -> AsyncIterator[FakeVllm]:
    """The stand-in that scores."""
    async with FakeVllm(_likely) as running:
        yield running


def _house(reasoner: SearchedVllm, judge: FakeVllm, kept: Kept) -> House:
    """The searching house, with a classifier as its verifier."""
    house = searching_house(reasoner, kept)
    before = house.catalog
    price = per_mtok(input_per_mtok=Decimal(3), output_per_mtok=Decimal(9))
    models = {**before.models, "prm-7b": Model("prm-7b", "judges", MODEL, price)}
    upstreams = {**before.upstreams, "judges": judge.upstream()}
    terms = {**before.terms, "judges": Terms(9, 9, 0, is_openai=False, bounds=Bounds(64, 64), is_vllm=True)}
    settings = {"prm": ClassifySettings(kind="classify", model="prm-7b", template="{question}\n{steps}")}
    verifiers = make_verifiers(settings, models, upstreams, terms, {})
    policies = put_in_force({"default": read_policy("default", ARMS)}, models, before.defaults, verifiers)
    house.catalog = replace(
        before, models=models, upstreams=upstreams, terms=terms, verifiers=verifiers, policies=policies
    )
    return house


@pytest.mark.parametrize("arm", ["best", "beam", "dvts", "mcts"])
async def test_the_verifiers_choice_wins_and_is_paid_for(reasoner: SearchedVllm, judge: FakeVllm, arm: str) -> None:
    """The answer that the verifier prefers is given, and the record's cost holds every token that it read."""
    kept = Kept()
    reply = await ask(_house(reasoner, judge, kept), arm, seed=1)
    assert isinstance(reply, Whole)
    assert json.loads(reply.body)["choices"][0]["message"]["content"].endswith("A:8")
    (record,) = kept.records
    assert record.result is Result.ANSWERED
    read = [call for call in record.calls if call.model == MODEL]
    assert all(call.upstream == "judges" for call in read)
    spent = sum(call.usage.input_tokens for call in read if call.usage is not None)
    assert spent == sum(len(text) for text in judge.texts)
    assert len(judge.texts) == len(set(judge.texts))
    assert {body["cache_salt"] for _, body in judge.asked} == {judge.asked[0][1]["cache_salt"]}
    assert record.cost == sum((call.cost for call in record.calls if call.cost is not None), Decimal(0))


async def test_a_verifier_that_fails_leaves_a_vote(reasoner: SearchedVllm, judge: FakeVllm) -> None:
    """Without scores there is still an answer, and it says that they are missing."""
    judge.statuses = [500] * 100
    kept = Kept()
    reply = await ask(_house(reasoner, judge, kept), "best")
    assert isinstance(reply, Whole)
    assert json.loads(reply.body)["choices"][0]["message"]["content"].startswith("2+2=")
    (record,) = kept.records
    assert any("verifier prm gave no score (upstream_failed)" in each for each in record.degraded)
