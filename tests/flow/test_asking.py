"""Questions of our own to a model: served, held and paid like any request, beside the one that they are asked for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.adapters.llm_classifier import LlmJudge
from gateway.domain.chat import Dialect
from gateway.domain.key import Key, Names, Scope
from gateway.domain.limits import Account, Limits
from gateway.domain.model import Model
from gateway.domain.money import usd
from gateway.domain.pricing import FREE
from gateway.errors import Unavailable
from gateway.flow.asking import HouseAsker
from gateway.flow.house import House
from gateway.flow.reply import Whole
from gateway.flow.serve import serve_ask
from gateway.policy.reading import read_policy
from gateway.ports import Question
from gateway.steering import put_in_force
from tests.flow.scripted import Kept, Play, ScriptedUpstream, arrival, house_of

POLICY = """
policy: default
arms:
  cheap: {model: small}
defaults: {arm: cheap, reference: cheap, max_cost_usd: 1}
classify:
  chain: [llm]
  unsure_below: 0.6
  llm: {model: small, deadline_s: 1, max_cost_usd: 0.01}
"""
QUESTION = Question(
    models=("none-such", "small"),
    instructions="Sort.",
    text="?",
    max_output_tokens=16,
    deadline_s=1,
    max_cost=usd("0.001"),
)


def _answer(text: str) -> Play:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return Play((json.dumps({"id": "c1", "object": "chat.completion", "choices": choices, "usage": usage}).encode(),))


def _house(kept: Kept, *answers: str) -> House:
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT, *map(_answer, answers)), kept)
    models = {"small": Model("small", "scripted", "small", FREE, 1000, 100)}
    policies = put_in_force({"default": read_policy("default", POLICY)}, models, house.catalog.defaults)
    house.catalog = replace(house.catalog, models=models, policies=policies)
    house.judge = LlmJudge(HouseAsker(house))
    return house


async def test_a_key_with_one_request_at_a_time_may_be_asked_about() -> None:
    """The question has ended, for the limits as well, before the request that it is asked for is held."""
    kept = Kept()
    house = _house(kept, "easy chat", "Yes.")
    house.settlements.start()
    key = Key("k1", "app", accounts=(Account("key:k1", Limits(concurrency=1)),))
    ask = arrival(Dialect.OPENAI_CHAT, is_stream=False, model="auto").ask
    reply = await serve_ask(replace(ask, model="auto"), key, house)
    assert isinstance(reply, Whole)
    assert b"Yes." in reply.body
    question, request = kept.records
    assert question.tags == {"ponder": "classifier"}
    assert request.plan is not None
    assert request.plan.category == "chat"
    await house.settlements.close(within_s=5)


async def test_the_first_model_that_is_configured_is_asked() -> None:
    """Whatever models the key may use itself: the operator's policy names the one that classifies."""
    kept = Kept()
    house = _house(kept, "hard math")
    house.settlements.start()
    key = Key("k1", "app", scopes=(Scope(models=Names(())),))
    assert await HouseAsker(house).ask(key, QUESTION) == "hard math"
    assert kept.records[0].model_asked == "small"
    await house.settlements.close(within_s=5)


async def test_where_none_of_the_models_is_configured_nothing_is_asked() -> None:
    """The fault names those that were wanted."""
    kept = Kept()
    with pytest.raises(Unavailable, match="none-such"):
        await HouseAsker(_house(kept)).ask(Key("k1", "app"), replace(QUESTION, models=("none-such",)))
    assert not kept.records
