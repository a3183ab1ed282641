"""Retries and fallbacks: what is tried next, what it costs, and when nothing is."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.domain.chat import Dialect
from gateway.domain.key import Key
from gateway.domain.limits import Account, Budget, Limits, Period
from gateway.domain.model import Model
from gateway.domain.money import usd
from gateway.domain.pricing import Price, per_mtok
from gateway.domain.record import RaisedCeiling
from gateway.errors import (
    BudgetExhausted,
    Unavailable,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
)
from gateway.flow.house import House
from gateway.flow.reply import Whole
from gateway.flow.serve import serve_ask
from gateway.policy.reading import read_policy
from gateway.steering import put_in_force
from tests.flow.scripted import Kept, Play, ScriptedUpstream, arrival, house_of

POLICY = """
policy: default
arms:
  first: {model: first}
  second: {model: second}
defaults: {arm: first, reference: first, max_cost_usd: 1, fallbacks: [second]}
"""
ANSWER = json.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
).encode()
ANSWERED = Play((ANSWER,))
CEILING = Decimal("0.0001")
"""Of either model for this ask: fifty output tokens at $2 per million; prompts are free."""


class Second(ScriptedUpstream):
    """The upstream that is fallen back to."""

    name = "second"


def _house(
    kept: Kept,
    first: list[Play],
    second: list[Play],
    *,
    retries: int = 0,
    policy: str = POLICY,
    first_usd: str = "2",
) -> House:
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT, *first), kept, retries=retries)
    models = {
        "first": Model("first", "scripted", "first", _price(first_usd), 1000, 100),
        "second": Model("second", "second", "second", _price("2"), 1000, 100),
    }
    terms = house.catalog.terms["scripted"]
    house.catalog = replace(
        house.catalog,
        models=models,
        upstreams={**house.catalog.upstreams, "second": Second(Dialect.OPENAI_CHAT, *second)},
        terms={"scripted": terms, "second": terms},
        policies=put_in_force({"default": read_policy("default", policy)}, models, house.catalog.defaults),
    )
    return house


def _price(output_usd: str) -> Price:
    return per_mtok(input_per_mtok=Decimal(0), output_per_mtok=Decimal(output_usd))


def _key(budget: str) -> Key:
    limits = Limits(budgets=(Budget(usd(Decimal(budget)), Period.TOTAL),))
    return Key("k1", "app", accounts=(Account("key:k1", limits),))


async def _served(house: House, key: Key) -> Whole:
    ask = arrival(Dialect.OPENAI_CHAT, is_stream=False, model="auto").ask
    reply = await serve_ask(replace(ask, model="auto"), key, house)
    assert isinstance(reply, Whole)
    return reply


@pytest.mark.parametrize(
    "fault",
    [
        UpstreamFailed("reset", is_unbilled=True),
        UpstreamDenied("our key", is_unbilled=True),
        UpstreamOverloaded("529", is_unbilled=True),
        UpstreamTimedOut("no byte", is_unbilled=True),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_the_next_arm_answers(fault: Exception) -> None:
    """Whatever is the matter with the first arm's upstream, the second answers, and both calls are on record."""
    kept = Kept()
    house = _house(kept, [Play(refusal=fault)], [ANSWERED])
    reply = await _served(house, _key("1"))
    assert b"Yes." in reply.body
    (record,) = kept.records
    assert [call.upstream for call in record.calls] == ["scripted", "second"]
    assert record.degraded == (f"fell back to second after {fault.code}",)  # type: ignore[attr-defined]
    assert record.charged is None


async def test_what_the_client_got_wrong_is_not_tried_elsewhere() -> None:
    """A refusal by the upstream of the request itself is the client's answer."""
    kept = Kept()
    house = _house(kept, [Play(refusal=UpstreamRefused("bad", upstream_status=400))], [ANSWERED])
    with pytest.raises(UpstreamRefused):
        await _served(house, _key("1"))
    assert len(kept.records[0].calls) == 1


async def test_retries_come_before_fallbacks() -> None:
    """An arm whose upstream is worth another try gets it first."""
    kept = Kept()
    failed = Play(refusal=UpstreamFailed("reset", is_unbilled=True))
    house = _house(kept, [failed, failed], [ANSWERED], retries=1)
    await _served(house, _key("1"))
    (record,) = kept.records
    assert [call.upstream for call in record.calls] == ["scripted", "scripted", "second"]
    assert record.degraded[0] == "retried after upstream_failed"


async def test_a_call_that_may_have_cost_money_is_paid_beside_the_next() -> None:
    """After a call of unknown cost the hold covers it and the fallback; the charge is its ceiling and the true rest."""
    kept = Kept()
    house = _house(kept, [Play(refusal=UpstreamFailed("cut off"))], [ANSWERED])
    await _served(house, _key("0.0002"))
    (record,) = kept.records
    assert record.cost == usd(Decimal("0.00002"))
    assert not record.is_cost_complete
    assert record.charged == usd(CEILING + Decimal("0.00002"))
    assert kept.raised == [RaisedCeiling(record.id, usd(2 * CEILING))]


async def test_what_cannot_be_written_down_is_not_called_for() -> None:
    """Where the journal does not take that more is held, no other call is made, and the first fault is the answer."""

    class FullDisk(Kept):
        def raise_ceiling(self, raised: RaisedCeiling) -> None:
            raise Unavailable("the disk is full")

    kept = FullDisk()
    house = _house(kept, [Play(refusal=UpstreamFailed("cut off"))], [ANSWERED])
    with pytest.raises(UpstreamFailed, match="cut off"):
        await _served(house, _key("1"))
    (record,) = kept.records
    assert record.charged == usd(CEILING)


async def test_a_call_that_was_not_billed_raises_nothing() -> None:
    """What is held for the first call is held for the next as well where the first one cost nothing for sure."""
    kept = Kept()
    await _served(_house(kept, [Play(refusal=UpstreamFailed("reset", is_unbilled=True))], [ANSWERED]), _key("1"))
    assert kept.raised == []


async def test_without_money_for_the_next_the_first_fault_is_the_answer() -> None:
    """A budget that covers one call only is not overdrawn for a fallback."""
    kept = Kept()
    house = _house(kept, [Play(refusal=UpstreamFailed("cut off"))], [ANSWERED])
    with pytest.raises(UpstreamFailed, match="cut off"):
        await _served(house, _key("0.00015"))
    (record,) = kept.records
    assert record.charged == usd(CEILING)


async def test_the_place_at_the_first_upstream_is_given_back() -> None:
    """While the second upstream answers, the first one's place is free for others; at the end both are."""
    house = _house(Kept(), [Play(refusal=UpstreamFailed("reset", is_unbilled=True))], [ANSWERED])
    await _served(house, _key("1"))
    assert house.lanes.under_way() == {"scripted": 0, "second": 0}


async def test_an_arm_that_was_not_called_leaves_no_trace_in_the_record() -> None:
    """Where there is no money for the fallback, plan, model and remarks are those of the arm that was called."""
    kept = Kept()
    second = POLICY.replace("second: {model: second}", "second: {model: second, effort: high}")
    house = _house(kept, [Play(refusal=UpstreamFailed("cut off"))], [ANSWERED], policy=second)
    with pytest.raises(UpstreamFailed, match="cut off"):
        await _served(house, _key("0.00015"))
    (record,) = kept.records
    assert record.degraded == ()
    assert record.plan is not None
    assert record.plan.ceilings.output_tokens == 50


async def test_budgets_are_told_of_only_where_the_request_was_turned_away() -> None:
    """An arm that the budget buys is no refusal; without one, the budget itself is what the client is told of."""
    kept = Kept()
    house = _house(kept, [], [ANSWERED], first_usd="20")
    await _served(house, _key("0.0002"))
    assert kept.records[0].degraded == ("second instead of first: the budget leaves no more",)
    assert not len(house.crossings)
    house = _house(Kept(), [], [], first_usd="20")
    with pytest.raises(BudgetExhausted, match="budget") as refused:
        await _served(house, _key("0.00005"))
    assert refused.value.account == "key:k1"
    assert list(house.crossings.take()[1]) == [("key:k1", Period.TOTAL)]


EMPTIED = json.loads(ANSWER)
EMPTIED["choices"][0] |= {"message": {"role": "assistant", "content": ""}, "finish_reason": "length"}


async def test_an_emptied_answer_is_not_asked_of_another_arm() -> None:
    """Where asking once more fails, the answer that is there counts, and its arm is the one on record."""
    kept = Kept()
    fault = Play(refusal=UpstreamFailed("reset", is_unbilled=True))
    thinking = POLICY.replace("first: {model: first}", "first: {model: first, effort: high}") + "retry_empty: true\n"
    house = _house(kept, [Play((json.dumps(EMPTIED).encode(),)), fault], [ANSWERED], policy=thinking)
    reply = await _served(house, _key("1"))
    assert (b"x-ponder-arm", b"first") in reply.headers
    (record,) = kept.records
    assert [call.upstream for call in record.calls] == ["scripted", "scripted"]
    assert record.degraded[-1].endswith("asking again failed (upstream_failed)")


async def test_what_two_arms_cannot_do_is_said_once() -> None:
    """A remark that holds for the arm that failed and for the one that answers stands once in the answer."""
    kept = Kept()
    thinking = POLICY.replace("{model: first}", "{model: first, effort: high}")
    thinking = thinking.replace("{model: second}", "{model: second, effort: high}")
    house = _house(kept, [Play(refusal=UpstreamFailed("reset", is_unbilled=True))], [ANSWERED], policy=thinking)
    await _served(house, _key("1"))
    assert kept.records[0].degraded == (
        "effort high sent as a system prompt: this model does not think by itself",
        "fell back to second after upstream_failed",
    )


@pytest.mark.parametrize(("ceiling", "calls"), [("0.0002", 2), ("0.00019", 1)])
async def test_the_ceiling_holds_over_all_calls(ceiling: str, calls: int) -> None:
    """A request that may have spent half of its ceiling is tried again if the rest covers it, and only then."""
    kept = Kept()
    house = _house(kept, [Play(refusal=UpstreamFailed("cut off"))], [ANSWERED])
    ask = arrival(Dialect.OPENAI_CHAT, is_stream=False, model="auto").ask
    hints = replace(ask.hints, max_cost_usd=Decimal(ceiling))
    try:
        await serve_ask(replace(ask, model="auto", hints=hints), Key("k1", "app"), house)
    except UpstreamFailed:
        assert calls == 1
    assert len(kept.records[0].calls) == calls


async def test_a_limit_that_the_ceiling_sets_is_said() -> None:
    """An answer whose length the cost ceiling bounds, and not its client, says so."""
    kept = Kept()
    house = _house(kept, [ANSWERED], [])
    ask = arrival(Dialect.OPENAI_CHAT, is_stream=False, model="auto").ask
    body = {name: value for name, value in ask.body.items() if name != "max_tokens"}
    hints = replace(ask.hints, max_cost_usd=Decimal("0.0006"))
    bare = replace(ask, model="auto", body=body, raw=json.dumps(body).encode(), hints=hints)
    models = {name: replace(model, max_output_tokens=900) for name, model in house.catalog.models.items()}
    active = put_in_force({"default": read_policy("default", POLICY)}, models, house.catalog.defaults)
    house.catalog = replace(house.catalog, models=models, policies=active)
    await serve_ask(bare, Key("k1", "app"), house)
    assert kept.records[0].degraded == ("capped: 300 output tokens are what the cost ceiling leaves",)
