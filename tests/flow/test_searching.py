"""Searches from the request to the settled answer, on a stand-in for a vLLM over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.adapters.graders.grading import Graders
from gateway.domain.ask import CALIBRATION, Hints
from gateway.domain.chat import Dialect
from gateway.domain.check import Check, Kind, TruthCheck
from gateway.domain.record import RequestRecord, Result
from gateway.domain.search_record import Fate
from gateway.domain.usage import UsageSource
from gateway.errors import UpstreamError, UpstreamRefused
from gateway.flow.house import House
from gateway.flow.reply import Reply, Streamed, Whole
from gateway.flow.serve import serve_ask
from gateway.settings import GraderSettings
from tests.flow.scripted import Kept, arrival
from tests.flow.searching_house import KEY, ScriptedVerifier, ask, searching_house
from tests.upstreams.searched_vllm import CONTEXT_TOKENS, SearchedVllm

CHAINS = {"right": "2+2=4\n4*2=8\nA:8", "wrong": "2+2=5\n5*2=10\nA:10"}
BY_STEPS = ("beam", "dvts", "mcts", "repair", "draft")


def _continues(prompt: str, seed: int) -> str:
    """A reasoner that is right on two seeds of three, and goes on as it began."""
    begun = prompt.rpartition("<assistant>")[2]
    fitting = [chain for chain in CHAINS.values() if chain.startswith(begun)]
    chain = fitting[0] if len(fitting) == 1 else fitting[seed % 3 == 0]
    return chain[len(begun) :]


def _judges(step: str) -> float:
    return 0.95 if step.strip() in CHAINS["right"].split("\n") else 0.1


@pytest.fixture
async def server() -> AsyncIterator[SearchedVllm]:
    """The stand-in, with the reasoner."""
    async with SearchedVllm(_continues) as running:
        yield running


def _content(reply: Reply) -> str:
    assert isinstance(reply, Whole)
    body = json.loads(reply.body)
    content: str = body["choices"][0]["message"]["content"]
    return content


def _record(kept: Kept) -> RequestRecord:
    (record,) = kept.records
    return record


@pytest.mark.parametrize("arm", ["vote", "race", "best", *BY_STEPS, "cascade"])
async def test_every_strategy_answers_and_everything_is_on_record(server: SearchedVllm, arm: str) -> None:
    """The answer is the right one, the record holds every call, and its cost is the sum of theirs."""
    kept = Kept()
    house = searching_house(server, kept, verifier=ScriptedVerifier(_judges))
    assert _content(await ask(house, arm)).endswith("A:8")
    record = _record(kept)
    assert record.result is Result.ANSWERED
    assert record.search is not None
    assert any(draw.is_chosen for draw in record.search.draws)
    writing = [path for path, _ in server.asked if path != "/tokenize"]
    assert len([call for call in record.calls if "verifier" not in call.requested]) == len(server.asked)
    assert len(writing) >= len(record.search.draws) - 1
    assert record.cost == sum((call.cost for call in record.calls if call.cost is not None), Decimal(0))
    assert record.is_cost_complete


@pytest.mark.parametrize("arm", ["revise", "decompose"])
async def test_strategies_that_say_more_keep_the_speakers_apart(server: SearchedVllm, arm: str) -> None:
    """What is said after the client's conversation never makes two turns of one speaker; the server would refuse."""
    kept = Kept()
    assert _content(await ask(searching_house(server, kept), arm))
    assert all(call.result is Result.ANSWERED for call in _record(kept).calls)


async def test_steps_continue_the_tokens_that_were_written(server: SearchedVllm) -> None:
    """Each prompt of a beam is the conversation and the chain so far, letter by letter, and none is tokenized twice."""
    kept = Kept()
    await ask(searching_house(server, kept, verifier=ScriptedVerifier(_judges)), "beam")
    begun = server.prompts[0]
    assert all(prompt.startswith(begun) for prompt in server.prompts)
    beginnings = {chain[:end] for chain in CHAINS.values() for end in (0, 6, 12, 13)}
    assert {prompt[len(begun) :] for prompt in server.prompts} <= beginnings
    assert len([path for path, _ in server.asked if path == "/tokenize"]) == 1


async def test_tokens_are_counted_only_where_they_may_not_fit(server: SearchedVllm) -> None:
    """A vote asks for the prompt's tokens only if prompt and answer could be more than the context holds.

    Then its draws may write what is left of the context.
    """
    house = searching_house(server, Kept())
    assert _content(await ask(house, "vote")).endswith("A:8")
    assert "/tokenize" not in [path for path, _ in server.asked]
    long = [{"role": "user", "content": "x" * (CONTEXT_TOKENS - 50)}]
    assert _content(await ask(house, "vote", messages=long)).endswith("A:8")
    assert [path for path, _ in server.asked].count("/tokenize") == 1
    assert {body["max_tokens"] for path, body in server.asked[-2:]} < set(range(1, 50))


async def test_a_cancelled_draw_is_closed_and_counts_what_it_wrote(server: SearchedVllm) -> None:
    """Three draws agree before the fourth is done: its connection is closed, and its tokens are on record."""
    kept = Kept()
    house = searching_house(server, kept)
    finished = 0

    def slow(prompt: str, seed: int) -> str:
        nonlocal finished
        finished += 1
        if finished == 4:
            server.gate.clear()
        return CHAINS["right"]

    server.writes = slow
    assert _content(await ask(house, "race")).endswith("A:8")
    record = _record(kept)
    cancelled = [call for call in record.calls if call.result is Result.CANCELLED]
    assert len(cancelled) <= 1
    assert record.search is not None
    assert [draw.fate for draw in record.search.draws].count(Fate.CANCELLED) == len(cancelled)
    assert all(call.usage is not None and call.usage.output_tokens > 0 for call in cancelled)


async def test_the_answer_counts_losers_as_thinking(server: SearchedVllm) -> None:
    """The client's usage: the prompt once, all that was written, and what of it the losers wrote."""
    kept = Kept()
    reply = await ask(searching_house(server, kept), "vote")
    assert isinstance(reply, Whole)
    usage = json.loads(reply.body)["usage"]
    search = _record(kept).search
    assert search is not None
    written = sum(draw.tokens for draw in search.draws)
    chosen = sum(draw.tokens for draw in search.draws if draw.is_chosen)
    assert usage["completion_tokens"] == written
    assert usage["completion_tokens_details"]["reasoning_tokens"] == written - chosen


async def test_a_verifier_that_fails_leaves_a_vote_and_says_so(server: SearchedVllm) -> None:
    """The majority answers, and x-ponder-degraded tells why."""
    kept = Kept()
    reply = await ask(searching_house(server, kept, verifier=ScriptedVerifier(_judges, fails=True)), "best")
    assert _content(reply).endswith("A:8")
    assert isinstance(reply, Whole)
    assert b"verifier prm gave no score" in dict(reply.headers)[b"x-ponder-degraded"]


async def test_a_failed_draw_that_was_not_billed_is_tried_again(server: SearchedVllm) -> None:
    """One refusal for overload costs nothing: the same draw goes out once more."""
    kept = Kept()
    server.statuses = [503]
    assert _content(await ask(searching_house(server, kept), "vote")).endswith("A:8")
    results = [call.result for call in _record(kept).calls]
    assert results.count(Result.FAILED) == 1
    assert _record(kept).is_cost_complete


async def test_a_search_without_an_answer_falls_back(server: SearchedVllm) -> None:
    """All draws fail, and once more each, and the policy's fallback answers by a single call."""
    kept = Kept()
    server.statuses = [500] * 8
    reply = await ask(searching_house(server, kept), "auto")
    assert isinstance(reply, Whole)
    assert b"fell back to one" in dict(reply.headers)[b"x-ponder-degraded"]
    assert dict(reply.headers)[b"x-ponder-arm"] == b"one"


async def test_a_refusal_by_the_server_is_the_clients(server: SearchedVllm) -> None:
    """Where every draw is refused as the client's fault, that is what it is told, and nothing is tried elsewhere."""
    kept = Kept()
    server.statuses = [422] * 8
    with pytest.raises(UpstreamRefused):
        await ask(searching_house(server, kept), "race")
    assert _record(kept).status == 422


@pytest.mark.parametrize("dialect", list(Dialect))
async def test_a_stream_is_one_answer_in_the_clients_dialect(server: SearchedVllm, dialect: Dialect) -> None:
    """The text comes whole, settled before its end, with the cost as a comment."""
    kept = Kept()
    reply = await ask(searching_house(server, kept), "vote", is_stream=True, dialect=dialect)
    assert isinstance(reply, Streamed)
    raw = reply.first + b"".join([piece async for piece in reply.rest])
    assert b"A:8" in raw
    assert b": x-ponder-cost-usd 0" in raw
    assert _record(kept).result is Result.ANSWERED


async def _streamed(house: House, arm: str, hints: Hints) -> Streamed:
    made = arrival(Dialect.OPENAI_CHAT, is_stream=True, model=f"arm:{arm}").ask
    made = replace(made, model=f"arm:{arm}", started=house.clock.monotonic(), hints=hints)
    reply = await serve_ask(made, KEY, house)
    assert isinstance(reply, Streamed)
    return reply


async def test_progress_is_told_to_whoever_asks_for_it(server: SearchedVllm) -> None:
    """The stream begins before the search has ended, and counts draws and tokens; chunks have no choices."""
    kept = Kept()
    server.gate.clear()
    reply = await _streamed(searching_house(server, kept), "vote", Hints(progress=True))
    assert reply.first.startswith(b":")
    server.gate.set()
    raw = b"".join([piece async for piece in reply.rest])
    told = [json.loads(line[6:]) for line in raw.split(b"\n") if line.startswith(b'data: {"id":""')]
    assert told[-1]["ponder"]["progress"]["draws"] >= 2
    assert told[-1]["choices"] == []


async def test_a_client_that_leaves_ends_the_search(server: SearchedVllm) -> None:
    """Closing the stream cancels the draws under way, and the record says that the client left."""
    kept = Kept()
    server.gate.clear()
    reply = await _streamed(searching_house(server, kept), "vote", Hints(progress=True))
    reading = asyncio.ensure_future(anext(reply.rest))
    await server.at_gate.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await reply.rest.aclose()
    assert _record(kept).result is Result.DISCONNECTED


async def test_a_step_that_is_cut_off_counts_the_most_it_can_have_written(server: SearchedVllm) -> None:
    """Nothing is seen of a step before its end; on a server of our own it still has a cost, and so has the request."""
    kept = Kept()
    server.gate.clear()
    reply = await _streamed(
        searching_house(server, kept, verifier=ScriptedVerifier(_judges)), "beam", Hints(progress=True)
    )
    reading = asyncio.ensure_future(anext(reply.rest))
    await server.at_gate.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await reply.rest.aclose()
    record = _record(kept)
    cut_off = [call for call in record.calls if call.result is Result.CANCELLED]
    assert cut_off
    for call in cut_off:
        assert call.usage is not None
        assert call.usage.source is UsageSource.ESTIMATED
        assert call.usage.input_tokens > 0
        assert call.usage.output_tokens == call.sent["max_tokens"]
    assert record.is_cost_complete


async def test_a_stream_that_has_begun_ends_in_an_error_event(server: SearchedVllm) -> None:
    """Where nothing answers after the headers have gone, the client gets an error of its dialect, and no clean end."""
    kept = Kept()
    server.statuses = [500] * 9
    reply = await _streamed(searching_house(server, kept), "vote", Hints(progress=True))
    raw = b"".join([piece async for piece in reply.rest])
    assert b'"error"' in raw
    assert b"[DONE]" not in raw
    assert _record(kept).result is Result.FAILED


async def test_a_stream_that_fails_early_has_a_status_of_its_own(server: SearchedVllm) -> None:
    """Nothing has been sent by then: the error is raised like that of a call."""
    kept = Kept()
    server.statuses = [500] * 9
    with pytest.raises(UpstreamError):
        await ask(searching_house(server, kept), "vote", is_stream=True)
    assert isinstance(_record(kept).error, str)


@pytest.mark.parametrize("stores_text", [True, False])
async def test_texts_of_draws_are_kept_only_where_texts_are(server: SearchedVllm, stores_text: bool) -> None:
    """With stored text every draw's is there, by its number; without, none."""
    kept = Kept()
    await ask(searching_house(server, kept, stores_text=stores_text), "vote")
    record = _record(kept)
    assert (record.text is not None) is stores_text
    if record.text is not None and record.search is not None:
        assert sorted(record.text.draws) == sorted(str(draw.draw) for draw in record.search.draws)


async def test_the_cost_stays_under_the_ceiling(server: SearchedVllm) -> None:
    """A ceiling under which four draws do not fit, whatever they write, makes fewer, one after another."""
    kept = Kept()
    house = searching_house(server, kept)
    made = replace(
        arrival(Dialect.OPENAI_CHAT, is_stream=False, model="arm:race").ask,
        model="arm:race",
        started=house.clock.monotonic(),
        hints=Hints(max_cost_usd=Decimal("0.00025")),
    )
    await serve_ask(made, KEY, house)
    record = _record(kept)
    assert record.search is not None
    assert 1 <= len(record.search.draws) < 4
    assert record.cost <= Decimal("0.00025")


async def test_tenants_do_not_share_a_cache(server: SearchedVllm) -> None:
    """Every call carries a salt, the same for one key and another for the next."""
    house = searching_house(server, Kept())
    await ask(house, "vote")
    salts = {body["cache_salt"] for path, body in server.asked if path != "/tokenize"}
    assert salts == {house.salts.of("k1")}
    assert house.salts.of("k2") not in salts


async def test_arms_of_a_calibration_do_not_share_a_cache(server: SearchedVllm) -> None:
    """What one arm leaves in it would make the next, asked the same, cheaper than it is in traffic."""
    house = searching_house(server, Kept())
    for arm in ("vote", "race", "vote"):
        made = replace(
            arrival(Dialect.OPENAI_CHAT, is_stream=False, model=f"arm:{arm}").ask,
            model=f"arm:{arm}",
            started=house.clock.monotonic(),
            hints=Hints(tags={CALIBRATION: "run_1"}),
        )
        await serve_ask(made, KEY, house)
    salts = {body["cache_salt"] for path, body in server.asked if path != "/tokenize"}
    assert salts == {house.salts.of("k1", "run_1", "vote"), house.salts.of("k1", "run_1", "race")}
    assert len(salts | {house.salts.of("k1"), house.salts.of("k1", "run_2", "vote")}) == 4


async def test_the_same_request_searches_the_same_way_again(server: SearchedVllm) -> None:
    """The request's seed determines every draw's."""
    trees: list[Any] = []
    for _ in range(2):
        kept = Kept()
        await ask(searching_house(server, kept, verifier=ScriptedVerifier(_judges)), "beam", seed=11)
        trees.append(_record(kept).search)
    assert trees[0] == trees[1]
    assert trees[0].seed == 11


async def _verified(house: House, arm: str, check: Check) -> Reply:
    made = arrival(Dialect.OPENAI_CHAT, is_stream=False, model=f"arm:{arm}").ask
    return await serve_ask(
        replace(made, model=f"arm:{arm}", started=house.clock.monotonic(), hints=Hints(verify=check)), KEY, house
    )


@pytest.mark.parametrize("arm", ["best", "vote"])
async def test_a_check_of_the_request_goes_before_the_arms_verifier(server: SearchedVllm, arm: str) -> None:
    """What the client knows to be right wins, though most draws and the verifier say otherwise."""
    kept = Kept()
    house = searching_house(server, kept, verifier=ScriptedVerifier(_judges))
    house.graders = Graders(GraderSettings())
    server.writes = lambda _prompt, _seed: CHAINS["wrong" if len(server.asked) % 4 == 2 else "right"]
    reply = await _verified(house, arm, TruthCheck(Kind.EXACT, ("10",)))
    assert _content(reply).endswith("A:10")
    search = _record(kept).search
    assert search is not None
    assert search.verifier == "exact"


@pytest.mark.parametrize("arm", ["beam", "one"])
async def test_a_check_that_is_not_used_is_told(server: SearchedVllm, arm: str) -> None:
    """A search by steps and a single call choose between no whole answers."""
    house = searching_house(server, Kept(), verifier=ScriptedVerifier(_judges))
    house.graders = Graders(GraderSettings())
    reply = await _verified(house, arm, TruthCheck(Kind.EXACT, ("10",)))
    assert isinstance(reply, Whole)
    assert b"verify not used" in dict(reply.headers)[b"x-ponder-degraded"]


async def test_an_answer_is_by_the_arms_own_model_whoever_else_drew(server: SearchedVllm) -> None:
    """A small model drafts, and the answer, like the metrics, names the model of the arm."""
    kept = Kept()
    reply = await ask(searching_house(server, kept, verifier=ScriptedVerifier(_judges)), "draft")
    assert isinstance(reply, Whole)
    assert json.loads(reply.body)["model"] == "reasoner"
    search = _record(kept).search
    assert search is not None
    assert "sketch" in {draw.model for draw in search.draws}
