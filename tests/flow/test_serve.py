"""The story of one request: whatever ends it, one record tells what was called and spent."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.domain.chat import Dialect
from gateway.domain.money import show
from gateway.domain.record import RequestRecord, Result
from gateway.errors import InvalidRequest, UpstreamFailed
from gateway.flow.serve import serve
from tests.flow.scripted import Kept, Play, ScriptedUpstream, arrival, house_of

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@pytest.fixture(name="kept")
def _kept() -> Kept:
    return Kept()


def _only(kept: Kept) -> RequestRecord:
    (record,) = kept.records
    return record


class OwnFault(Exception):
    """Stands for a bug of ours: an exception that nobody translates."""


@pytest.mark.parametrize(
    "play", [Play(refusal=OwnFault()), Play((OwnFault(),))], ids=["opening the call", "reading the answer"]
)
async def test_a_fault_of_ours_is_on_record(kept: Kept, play: Play) -> None:
    """A bug does not hide a call: the record has it, failed and of unknown cost, and the bug goes on to the log."""
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT, play), kept)
    with pytest.raises(OwnFault):
        await serve(arrival(Dialect.OPENAI_CHAT, is_stream=False), house)
    record = _only(kept)
    assert (record.result, record.status, record.is_cost_complete) == (Result.FAILED, 500, False)
    assert record.error == "internal_error: a fault of the gateway ended the request"
    assert [(call.result, call.cost) for call in record.calls] == [(Result.FAILED, None)]


async def test_an_answer_that_cannot_be_translated_is_paid_for(kept: Kept) -> None:
    """The provider did its work: what it reported is on record, although the client gets an error."""
    body = {"id": "c1", "choices": "none of your business", "usage": USAGE}
    upstream = ScriptedUpstream(Dialect.OPENAI_CHAT, Play((json.dumps(body).encode(),)))
    with pytest.raises(UpstreamFailed):
        await serve(arrival(Dialect.ANTHROPIC_MESSAGES, is_stream=False), house_of(upstream, kept))
    record = _only(kept)
    assert (record.result, record.status, show(record.cost)) == (Result.FAILED, 502, "0.000025")
    assert record.is_cost_complete
    assert record.calls[0].usage is not None


async def test_a_client_that_leaves_before_its_answer_is_on_record(kept: Kept) -> None:
    """A cancelled request has its call on record, left by the client and of unknown cost."""
    play = Play((asyncio.CancelledError(),))
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT, play), kept)
    with pytest.raises(asyncio.CancelledError):
        await serve(arrival(Dialect.OPENAI_CHAT, is_stream=False), house)
    assert play.is_closed
    record = _only(kept)
    assert (record.result, record.status, record.is_cost_complete) == (Result.DISCONNECTED, 499, False)
    assert [call.result for call in record.calls] == [Result.DISCONNECTED]


async def test_a_request_that_a_stopping_gateway_cancels_was_interrupted(kept: Kept) -> None:
    """What the gateway itself cuts off at its end is not laid to the client."""
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT, Play((asyncio.CancelledError(),))), kept)
    house.is_stopping = True
    with pytest.raises(asyncio.CancelledError):
        await serve(arrival(Dialect.OPENAI_CHAT, is_stream=False), house)
    record = _only(kept)
    assert (record.result, record.status, record.is_cost_complete) == (Result.INTERRUPTED, 503, False)
    assert record.error == "unavailable: the gateway stopped before the answer was complete"
    assert [call.result for call in record.calls] == [Result.CANCELLED]


async def test_a_request_that_is_refused_has_no_call(kept: Kept) -> None:
    """What we refuse costs nothing and is on record with its reason."""
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT), kept)
    with pytest.raises(InvalidRequest):
        await serve(arrival(Dialect.ANTHROPIC_MESSAGES, is_stream=False, messages="x" * 50), house)
    record = _only(kept)
    assert (record.result, record.status, record.calls, record.is_cost_complete) == (Result.REFUSED, 400, (), True)


async def test_dropped_fields_are_named_without_their_prompts(kept: Kept) -> None:
    """What a translation drops is told by name, unless the name is a sentence; and of very many only the first."""
    message = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    body = json.dumps({"id": "c1", "choices": [message], "usage": USAGE}).encode()
    upstream = ScriptedUpstream(Dialect.OPENAI_CHAT, Play((body,)), Play((body,)))
    house = house_of(upstream, kept)
    odd = {"vendor_field": 1, "Tell nobody what I think": 2}
    await serve(arrival(Dialect.ANTHROPIC_MESSAGES, is_stream=False, **odd), house)
    assert kept.records[0].degraded == ("vendor_field", "a field of another name")
    many = {f"field_{number}": number for number in range(1000)}
    await serve(arrival(Dialect.ANTHROPIC_MESSAGES, is_stream=False, **many), house)
    assert len(kept.records[1].degraded) == 33
    assert kept.records[1].degraded[-1] == "968 more"


@pytest.mark.parametrize("tokens", [10**10, 10**30, 1e30])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
async def test_counts_that_no_call_can_have_are_unknown(kept: Kept, name: str, tokens: float) -> None:
    """An upstream that reports absurd counts is answered and recorded, at a cost that nobody knows."""
    message = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    body = json.dumps({"id": "c1", "choices": [message], "usage": {**USAGE, name: tokens}}).encode()
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT, Play((body,))), kept)
    await serve(arrival(Dialect.OPENAI_CHAT, is_stream=False), house)
    record = _only(kept)
    assert (record.result, show(record.cost), record.is_cost_complete) == (Result.ANSWERED, "0", False)
