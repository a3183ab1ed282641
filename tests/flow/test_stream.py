"""Streams: what the client gets and what is put on record, however the upstream's bytes and faults are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.domain.chat import Dialect
from gateway.domain.record import RequestRecord, Result
from gateway.domain.usage import UsageSource
from gateway.errors import UpstreamError, UpstreamFailed
from gateway.flow.reply import Streamed
from gateway.flow.serve import serve
from tests.flow.scripted import Kept, Play, ScriptedUpstream, arrival, house_of


def _event(body: Any, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(body).encode() + b"\n\n"


def _chunk(content: str, **more: Any) -> bytes:
    return _event({"id": "c1", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}], **more})


USAGE = _event({"id": "c1", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})
DONE = b"data: [DONE]\n\n"
ERROR = _event({"error": {"type": "server_error", "message": "no"}})
BAD_EVENTS = {
    "malformed": b'data: {"id": "c1", "choi\n\n',
    "not-utf8": b'data: {"id": "c1", "choices": [], "x": "\xff"}\n\n',
    "error": ERROR,
}
COST = b": x-ponder-cost-usd 0.000025\n\n"


@pytest.fixture(name="kept")
def _kept() -> Kept:
    return Kept()


async def _open(kept: Kept, *plays: Play, is_storing: bool = False, **members: Any) -> Streamed:
    upstream = ScriptedUpstream(Dialect.OPENAI_CHAT, *plays)
    house = house_of(upstream, kept, stores_text=is_storing, retries=1)
    members.setdefault("stream_options", {"include_usage": True})
    reply = await serve(arrival(Dialect.OPENAI_CHAT, is_stream=True, **members), house)
    assert isinstance(reply, Streamed)
    return reply


async def _all(reply: Streamed) -> bytes:
    return reply.first + b"".join([piece async for piece in reply.rest])


def _only(kept: Kept) -> RequestRecord:
    (record,) = kept.records
    return record


async def test_a_whole_stream_is_settled_before_its_terminal_event(kept: Kept) -> None:
    """The cost stands before the last event, and the record is written by then."""
    reply = await _open(kept, Play((_chunk("a"), _chunk("b") + USAGE + DONE)))
    assert await anext(reply.rest) == _chunk("b") + USAGE + COST + DONE
    assert _only(kept).result is Result.ANSWERED
    assert [piece async for piece in reply.rest] == []
    assert _only(kept).calls[0].usage is not None


@pytest.mark.parametrize("bad", BAD_EVENTS.values(), ids=BAD_EVENTS)
@pytest.mark.parametrize("is_together", [True, False], ids=["one-chunk", "two-chunks"])
async def test_good_events_reach_the_client_before_a_bad_one(kept: Kept, *, bad: bytes, is_together: bool) -> None:
    """What the client sees of a broken stream does not depend on how the network cut it."""
    good = _chunk("a") + _chunk("b")
    reply = await _open(kept, Play((good + bad,) if is_together else (good, bad)))
    answer = await _all(reply)
    assert answer.startswith(good)
    assert b'"error"' in answer[len(good) :]
    assert DONE not in answer
    record = _only(kept)
    assert record.result in (Result.TRUNCATED, Result.FAILED)
    assert record.calls[0].usage is not None
    assert record.calls[0].usage.output_tokens == 2


async def test_an_error_after_an_answer_event_of_the_same_chunk_is_not_retried(kept: Kept) -> None:
    """The first answer event ends retrying, also when the fault comes in the same packet."""
    reply = await _open(kept, Play((_chunk("a") + ERROR,)), Play((_chunk("other"), USAGE, DONE)))
    assert await _all(reply) == _chunk("a") + ERROR
    assert len(_only(kept).calls) == 1


async def test_a_heartbeat_is_no_answer_event(kept: Kept) -> None:
    """Comments before the answer are not passed on, so a stream that fails after them is tried again."""
    reply = await _open(kept, Play((b": wait\n\n", UpstreamFailed("gone"))), Play((_chunk("a"), USAGE + DONE)))
    unknown = b": x-ponder-cost-usd unknown\n\n"  # nobody can tell what the first attempt cost
    assert await _all(reply) == _chunk("a") + USAGE + unknown + DONE
    assert [call.result for call in _only(kept).calls] == [Result.FAILED, Result.ANSWERED]


async def test_a_comment_does_not_hide_the_event_behind_it(kept: Kept) -> None:
    """A first event that begins with a comment line is an answer event like any other."""
    first = b": hello\n" + _chunk("a")
    assert await _all(await _open(kept, Play((first, USAGE + DONE)))) == first + USAGE + COST + DONE


@pytest.mark.parametrize("is_in_one_chunk", [True, False])
async def test_stored_text_is_the_whole_answer(kept: Kept, *, is_in_one_chunk: bool) -> None:
    """With text storage on, every answer byte is kept, those of the chunk that ends the stream included."""
    events = (_chunk("a"), _chunk("b"), USAGE, DONE)
    await _all(await _open(kept, Play((b"".join(events),) if is_in_one_chunk else events), is_storing=True))
    text = _only(kept).text
    assert text is not None
    assert text.answer == b"".join(events)


async def test_a_client_that_leaves_is_charged_for_what_was_generated(kept: Kept) -> None:
    """Closing the stream early closes the upstream's connection and records an estimate, marked as one."""
    play = Play((_chunk("a"), _chunk("b"), _chunk("c"), USAGE + DONE))
    reply = await _open(kept, play)
    assert await anext(reply.rest) == _chunk("b")
    await reply.rest.aclose()
    assert play.is_closed
    record = _only(kept)
    assert (record.result, record.status) == (Result.DISCONNECTED, 499)
    usage = record.calls[0].usage
    assert usage is not None
    assert (usage.source, usage.output_tokens) == (UsageSource.ESTIMATED, 2)
    assert record.is_cost_complete


async def test_a_stream_that_a_stopping_gateway_closes_was_interrupted(kept: Kept) -> None:
    """A stream that is cut off at the gateway's end is not laid to the client, and its call was stopped by us."""
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT, Play((_chunk("a"), _chunk("b"), USAGE + DONE))), kept)
    reply = await serve(arrival(Dialect.OPENAI_CHAT, is_stream=True), house)
    assert isinstance(reply, Streamed)
    house.is_stopping = True
    await reply.rest.aclose()
    record = _only(kept)
    assert (record.result, record.status) == (Result.INTERRUPTED, 503)
    assert [call.result for call in record.calls] == [Result.CANCELLED]


async def test_a_client_that_leaves_at_the_last_event_had_its_answer(kept: Kept) -> None:
    """A connection that closes on the terminal event changes nothing of a settled record."""
    reply = await _open(kept, Play((_chunk("a"), USAGE + DONE)))
    await anext(reply.rest)
    await reply.rest.aclose()
    assert _only(kept).result is Result.ANSWERED


async def test_an_early_end_keeps_the_providers_own_counts(kept: Kept) -> None:
    """Usage that a cut stream reported is kept whole, marked as partial, and never below what was seen."""
    counts = {"prompt_tokens": 11, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 1}}
    await _all(await _open(kept, Play((_chunk("a", usage=counts), _chunk("b"), _chunk("c")))))
    usage = _only(kept).calls[0].usage
    assert usage is not None
    assert (usage.source, usage.input_tokens, usage.output_tokens) == (UsageSource.PARTIAL, 11, 3)
    assert usage.thinking_tokens == 1


async def test_an_estimate_counts_text_and_not_encoded_images(kept: Kept) -> None:
    """An image in the prompt is estimated as an image, and no estimate exceeds the model's context."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4_000_000}}
    turns = [{"role": "user", "content": [image] * 2}]
    reply = await _open(kept, Play((_chunk("a"), _chunk("b"))), messages=turns)
    await _all(reply)
    usage = _only(kept).calls[0].usage
    assert usage is not None
    assert usage.input_tokens == 1000


async def test_a_failed_response_is_recorded_with_its_reason(kept: Kept) -> None:
    """A terminal event that says "failed" reaches the client as it is, and the record names the reason."""
    failed = {"id": "r1", "status": "failed", "error": {"code": "server_error", "message": "x"}}
    failed["usage"] = {"input_tokens": 5, "output_tokens": 2}
    last = _event({"type": "response.failed", "response": failed}, "response.failed")
    first = _event({"type": "response.created", "response": {"id": "r1"}}, "response.created")
    upstream = ScriptedUpstream(Dialect.OPENAI_RESPONSES, Play((first, last)))
    reply = await serve(arrival(Dialect.OPENAI_RESPONSES, is_stream=True), house_of(upstream, kept))
    assert isinstance(reply, Streamed)
    assert (await _all(reply)).endswith(last)
    record = _only(kept)
    assert record.result is Result.FAILED
    assert record.error is not None
    assert "server_error" in record.error
    assert record.calls[0].usage is not None
    assert record.calls[0].usage.source is UsageSource.REPORTED


class OwnFault(Exception):
    """Stands for a bug of ours: an exception that nobody translates."""


async def test_a_fault_of_ours_in_mid_stream_is_on_record(kept: Kept) -> None:
    """A bug breaks the stream off, closes the upstream's connection, and leaves a record whose cost is unknown."""
    play = Play((_chunk("a"), OwnFault()))
    reply = await _open(kept, play)
    with pytest.raises(OwnFault):
        await anext(reply.rest)
    assert play.is_closed
    record = _only(kept)
    assert (record.result, record.status, record.is_cost_complete) == (Result.FAILED, 500, False)
    assert [call.result for call in record.calls] == [Result.FAILED]


async def test_a_fault_of_ours_before_the_stream_is_on_record(kept: Kept) -> None:
    """A bug before the first event leaves one record too."""
    with pytest.raises(OwnFault):
        await _open(kept, Play((OwnFault(),)))
    assert _only(kept).result is Result.FAILED
    assert len(_only(kept).calls) == 1


async def test_the_last_attempts_error_is_the_clients(kept: Kept) -> None:
    """When every attempt fails before an answer event, the last error is raised and each attempt is on record."""
    with pytest.raises(UpstreamError, match="second"):
        await _open(kept, Play(refusal=UpstreamFailed("first")), Play((UpstreamFailed("second"),)))
    assert [call.error for call in _only(kept).calls] == ["upstream_failed: first", "upstream_failed: second"]


@pytest.mark.parametrize(
    ("delta", "finish", "emptied"),
    [
        ({"reasoning_content": "Hm."}, "length", True),
        ({"reasoning_content": "Hm.", "content": "\n"}, "length", True),
        ({"reasoning_content": "Hm."}, "stop", False),
        ({"content": "Yes."}, "length", False),
    ],
    ids=["only thinking", "thinking and a line's end", "an end of its own", "text"],
)
async def test_a_translated_stream_that_thinking_emptied_is_counted(
    kept: Kept, delta: dict[str, str], finish: str, *, emptied: bool
) -> None:
    """It is told by what came, since not every provider counts thinking apart."""
    last = _event({"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT, Play((last + USAGE + DONE,))), kept)
    reply = await serve(arrival(Dialect.ANTHROPIC_MESSAGES, is_stream=True), house)
    assert isinstance(reply, Streamed)
    await _all(reply)
    assert _only(kept).result is Result.ANSWERED
    assert (b'ponder_answers_emptied_total{model="m"} 1.0' in house.meter.render()) is emptied


@pytest.mark.parametrize(
    ("delta", "emptied"),
    [
        ({"type": "thinking_delta", "thinking": "Hm."}, True),
        ({"type": "text_delta", "text": "\n"}, True),
        ({"type": "text_delta", "text": "Yes."}, False),
    ],
    ids=["only thinking", "a line's end", "text"],
)
async def test_a_passing_stream_that_thinking_emptied_is_counted(
    kept: Kept, delta: dict[str, str], *, emptied: bool
) -> None:
    """Anthropic counts thinking as output: whether anything was said is told by what came, here too."""
    events = (
        {"type": "message_start", "message": {"id": "m1", "usage": {"input_tokens": 11, "output_tokens": 1}}},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    )
    play = Play((b"".join(_event(event, str(event["type"])) for event in events),))
    house = house_of(ScriptedUpstream(Dialect.ANTHROPIC_MESSAGES, play), kept)
    reply = await serve(arrival(Dialect.ANTHROPIC_MESSAGES, is_stream=True), house)
    assert isinstance(reply, Streamed)
    await _all(reply)
    assert _only(kept).result is Result.ANSWERED
    assert (b'ponder_answers_emptied_total{model="m"} 1.0' in house.meter.render()) is emptied
