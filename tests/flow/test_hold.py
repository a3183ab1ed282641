"""The hold: how much is set aside, and what is capped or refused when the budget is short."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.domain.ask import Ask, Operation
from gateway.domain.chat import Dialect
from gateway.domain.key import Key
from gateway.domain.limits import Account, Budget, Limits, Period
from gateway.domain.model import Model
from gateway.domain.money import ZERO, usd
from gateway.domain.pricing import per_mtok
from gateway.domain.record import Result
from gateway.domain.usage import Usage
from gateway.errors import BudgetExhausted
from gateway.flow.deciding import plan_route
from gateway.flow.demand import prompt_bound
from gateway.flow.exchange import Exchange
from gateway.flow.hold import cost_bound, hold, output_bound, search_bound
from gateway.flow.route import Route
from gateway.policy.reading import read_policy
from gateway.steering import put_in_force
from tests.flow.scripted import ENDPOINTS, Kept, ScriptedUpstream, arrival, house_of
from tests.flow.searching_house import ScriptedVerifier

WINDOW = 200_000
PNG = "A" * 40_000 + "=="
PRICED = Model(
    "m", "u", "m", per_mtok(input_per_mtok=Decimal(1), output_per_mtok=Decimal(2), web_search_usd=Decimal("0.01"))
)


def _body(content: Any, **members: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **members}).encode()


def test_a_token_is_at_least_a_byte() -> None:
    """Text counts as many tokens as it has bytes, up to the model's context window."""
    assert prompt_bound(b'{"a": 1}', WINDOW) == 8
    assert prompt_bound(b"x" * (WINDOW + 1), WINDOW) == WINDOW


def test_an_unknown_window_is_assumed_to_be_large() -> None:
    """Where nobody knows the context window, what is pointed to counts a million tokens."""
    assert prompt_bound(_body([{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]), None) == 1_000_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "input_image", "image_url": f"data:image/jpeg;base64,{PNG}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    ],
    ids=["chat", "responses", "messages"],
)
def test_an_image_sent_as_bytes_counts_what_an_image_can(part: dict[str, Any]) -> None:
    """The letters of an image's base64 are no tokens; the image counts the most that one can."""
    assert 8_192 < prompt_bound(_body([part]), WINDOW) < 8_192 + 300


@pytest.mark.parametrize(
    "content",
    [
        "A" * 40_000,
        f"data:image/png;base64,{PNG}",
        f'{{"url": "data:image/png;base64,{PNG}"}}',
        [{"type": "input_audio", "input_audio": {"data": PNG, "format": "mp3"}}],
    ],
    ids=["letters", "a data URL as text", "JSON as text", "audio"],
)
def test_what_only_looks_like_an_image_counts_by_its_letters(content: Any) -> None:
    """Long words, quoted JSON and audio cannot pass for an image and shrink what is set aside."""
    assert prompt_bound(_body(content), WINDOW) >= 40_000


@pytest.mark.parametrize(
    "members",
    [
        {"image_url": {"url": "https://x.test/a.png"}},
        {"image_url": "gs://bucket/a.png"},
        {"file_url": "https://x.test/a.pdf"},
        {"file": {"file_id": "file-1"}},
        {"file": {"file_data": "data:application/pdf;base64,AAAA"}},
        {"source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}},
        {"previous_response_id": "resp_1"},
        {"conversation": {"id": "conv_1"}},
        {"mcp_servers": []},
        {"tools": [{"type": "web_search_20250305"}]},
        {"tools": [{"type": "file_search"}]},
    ],
    ids=lambda members: json.dumps(members)[:40],
)
def test_what_the_request_only_points_to_counts_a_full_window(members: dict[str, Any]) -> None:
    """URLs, file ids, documents, stored conversations and server tools bring in what nobody has counted."""
    assert prompt_bound(json.dumps(members).encode(), WINDOW) == WINDOW


def _ask(**members: Any) -> Ask:
    return arrival(Dialect.OPENAI_CHAT, is_stream=False, **members).ask


def test_a_bound_holds_prompt_and_output_at_their_prices() -> None:
    """The bound is every byte as an input token, and every output token that may come."""
    ask = _ask()
    assert cost_bound(ask, PRICED, 50) == usd(Decimal(len(ask.raw) + 2 * 50) / 1_000_000)


def test_server_tools_may_search_ten_times() -> None:
    """A request with a web search tool holds the fees of ten searches beside a full window."""
    ask = _ask(tools=[{"type": "web_search_preview"}])
    known = replace(PRICED, context_tokens=1000)
    assert cost_bound(ask, known, 0) == usd(Decimal("0.001") + 10 * Decimal("0.01"))


def test_what_costs_nothing_holds_nothing() -> None:
    """Counting tokens, and a model that the operator lets go unpriced, hold no money."""
    ask = _ask()
    counting = replace(ask, endpoint=replace(ENDPOINTS[Dialect.ANTHROPIC_MESSAGES], operation=Operation.COUNT_TOKENS))
    assert cost_bound(counting, PRICED, 50) == ZERO
    assert cost_bound(ask, replace(PRICED, price=None), 50) == ZERO


async def test_a_search_holds_what_its_verifier_reads() -> None:
    """Each draw is held at its most, and as many readings of the prompt and the longest answer by the verifier."""
    text = """
policy: default
arms:
  one: {model: m}
  best: {model: m, strategy: best_of_n, samples: 4, verifier: prm}
defaults: {arm: one, reference: one, max_cost_usd: 100}
"""
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT), Kept())
    reads = per_mtok(input_per_mtok=Decimal(3), output_per_mtok=Decimal(9))
    models = {"m": house.catalog.models["m"], "prm-7b": Model("prm-7b", "scripted", "prm-7b", reads)}
    verifiers = {"prm": ScriptedVerifier(lambda _step: 0.5, model="prm-7b")}
    policies = put_in_force({"default": read_policy("default", text)}, models, house.catalog.defaults, verifiers)
    house.catalog = replace(house.catalog, models=models, policies=policies, verifiers=verifiers)
    exchange = Exchange(replace(_ask(max_tokens=50), model="arm:best"), Key("k1", "test"), house)
    await plan_route(exchange)
    prompt_tokens = prompt_bound(exchange.ask.raw, None)
    draws = 4 * (prompt_tokens * 1 + 50 * 2)
    assert search_bound(exchange) == usd(Decimal(draws + 4 * (prompt_tokens + 50) * 3) / 1_000_000)


async def _held(budget: str | None, **members: Any) -> tuple[Exchange, Route]:
    """A request for ``m`` after its hold, with a key that may spend ``budget`` dollars."""
    limits = Limits(budgets=(Budget(usd(Decimal(budget)), Period.TOTAL),)) if budget is not None else Limits()
    key = Key("k1", "test", accounts=(Account("key:k1", limits),))
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT), Kept())
    defaults = replace(house.catalog.defaults, default_output_tokens=10_000)
    house.catalog = replace(house.catalog, defaults=defaults)
    exchange = Exchange(_ask(**members), key, house)
    route = await hold(exchange, await plan_route(exchange))
    return exchange, route


async def test_a_request_that_fits_goes_out_as_it_came() -> None:
    """With enough money nothing is changed, and the ceiling is set aside until the request ends."""
    exchange, route = await _held("1", max_tokens=50)
    assert exchange.hold is not None
    assert exchange.hold.ceiling == cost_bound(exchange.ask, PRICED, 50)
    assert route.body == exchange.ask.raw
    assert not exchange.degraded
    assert exchange.house.settlements.open_holds == 1


async def test_the_record_says_what_a_call_of_unknown_cost_was_charged() -> None:
    """The purse and the log count the same: the known cost, and the ceiling for each call that nobody can price."""
    exchange, _ = await _held("1", max_tokens=50)
    exchange.end_call(exchange.begin_call({}, {}), Result.FAILED)
    exchange.end_call(exchange.begin_call({}, {}), Result.ANSWERED, Usage(input_tokens=10, output_tokens=5))
    exchange.settle(Result.ANSWERED, 200)
    journal, house = exchange.house.journal, exchange.house
    assert isinstance(journal, Kept)
    (record,) = journal.records
    assert record.cost == usd(Decimal("0.00002"))
    assert record.charge == record.charged == record.cost + cost_bound(exchange.ask, PRICED, 50)
    house.settlements.start()
    await house.settlements.close(within_s=1)
    assert await house.purse.spent("key:k1", Period.TOTAL, now=house.clock.now()) == (record.charge, ZERO)


async def test_a_known_cost_is_what_is_charged() -> None:
    """A record whose cost is known says nothing more of the charge."""
    exchange, _ = await _held("1", max_tokens=50)
    exchange.end_call(exchange.begin_call({}, {}), Result.ANSWERED, Usage(input_tokens=10, output_tokens=5))
    exchange.settle(Result.ANSWERED, 200)
    journal = exchange.house.journal
    assert isinstance(journal, Kept)
    assert (journal.records[0].charged, journal.records[0].charge) == (None, usd(Decimal("0.00002")))


async def test_a_limit_that_the_client_set_is_not_lowered() -> None:
    """A request that says how long its answer may be is refused rather than cut, and holds nothing."""
    with pytest.raises(BudgetExhausted):
        await _held("0.0005", max_tokens=1000)


@pytest.mark.parametrize("candidates", [1, 3])
async def test_an_answer_without_a_limit_is_capped_by_the_budget(candidates: int) -> None:
    """All candidates together, each at the limit that is sent, cost no more than the budget leaves."""
    exchange, route = await _held("0.004", max_tokens=None, n=candidates)
    sent = json.loads(route.body)["max_tokens"]
    assert exchange.degraded == [f"capped: {sent} output tokens are what the budget leaves"]
    assert route.sent["max_tokens"] == sent
    assert exchange.hold is not None
    assert cost_bound(exchange.ask, PRICED, sent * candidates) <= exchange.hold.ceiling <= usd(Decimal("0.004"))
    assert sent * candidates > 1500


async def test_too_short_an_answer_is_no_answer() -> None:
    """Where the money is enough for fewer than 256 tokens only, the budget is exhausted."""
    with pytest.raises(BudgetExhausted, match="key:k1"):
        await _held("0.0005", max_tokens=None, n=30)


async def test_a_key_without_limits_holds_nothing_worth_counting() -> None:
    """What a request may cost is not worked out for a key that nothing limits."""
    exchange, _ = await _held(None, max_tokens=None)
    assert exchange.hold is not None
    assert exchange.hold.ceiling == ZERO


async def test_the_bound_covers_all_candidates() -> None:
    """The most output is the limit for each candidate, or what the model is assumed to write, times their number."""
    exchange, _ = await _held(None, max_tokens=50, n=4)
    assert output_bound(exchange) == 200


async def test_an_assumed_limit_is_sent_where_a_budget_relies_on_it() -> None:
    """Where neither request nor model states an output limit, a budget has the one that was held for set."""
    exchange, route = await _held("1", max_tokens=None)
    assert json.loads(route.body)["max_tokens"] == route.sent["max_tokens"] == 10_000
    assert exchange.degraded == ["capped: 10000 output tokens are assumed where nobody states a limit"]
    exchange, route = await _held(None, max_tokens=None)
    assert (route.body, exchange.degraded) == (exchange.ask.raw, [])
