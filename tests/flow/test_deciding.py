"""Deciding before the first call: whose word counts, what is known, and what is passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.adapters.limits_memory import MemoryPurse
from gateway.domain.ask import Hints
from gateway.domain.chat import Dialect
from gateway.domain.key import Key, Names, Scope
from gateway.domain.limits import Account, Budget, Limits, Period
from gateway.domain.model import Model
from gateway.domain.money import Usd, usd
from gateway.domain.prediction import Anchor, Category, Difficulty, Prediction, Prompt, Source
from gateway.domain.pricing import per_mtok
from gateway.domain.record import Result
from gateway.domain.thinking import Wish
from gateway.errors import Forbidden, InvalidRequest, Unavailable, UnknownModel, UpstreamRateLimited
from gateway.flow.deciding import decide_again, plan_route
from gateway.flow.exchange import Exchange
from gateway.flow.house import House
from gateway.policy.reading import read_policy
from gateway.ports import AnswerHome
from gateway.steering import put_in_force
from tests.flow.scripted import Kept, ScriptedUpstream, arrival, house_of

KEY = Key("k1", "app", team_name="red")
POLICY = """
policy: default
arms:
  cheap: {model: small}
  dear: {model: large}
defaults: {arm: cheap, reference: dear, max_cost_usd: 1, fallbacks: [cheap]}
rules:
  - name: sums
    when: {category: math}
    arm: dear
"""


class Says:
    """A classifier, or a judge, that always says the same."""

    def __init__(self, prediction: Prediction | None) -> None:
        self._prediction = prediction
        self.asked = 0

    def classify(self, prompt: Prompt) -> Prediction:
        """The one answer."""
        self.asked += 1
        assert self._prediction is not None
        return self._prediction

    async def judge(
        self, key: Key, prompt: Prompt, *, models: Sequence[str], deadline_s: float, max_cost: Usd
    ) -> Prediction | None:
        """The one answer."""
        self.asked += 1
        return self._prediction


def _says(category: str, confidence: float = 0.9, difficulty: Difficulty | None = None) -> Says:
    return Says(Prediction(category, confidence, Source.LEARNED, difficulty=difficulty))


class Elsewhere(ScriptedUpstream):
    """A second upstream."""

    name = "elsewhere"


def _house(
    policy: str = POLICY,
    kept: Kept | None = None,
    *,
    first: Dialect = Dialect.OPENAI_CHAT,
    dialect: Dialect = Dialect.OPENAI_CHAT,
) -> House:
    """Two models at two upstreams, the large one ten times as dear, and a policy that chooses between them."""
    house = house_of(ScriptedUpstream(first), kept or Kept())
    elsewhere = Elsewhere(dialect)
    terms = house.catalog.terms["scripted"]
    models = {
        name: Model(name, upstream, name, per_mtok(input_per_mtok=price, output_per_mtok=price), 100_000, 10_000)
        for name, upstream, price in (("small", "scripted", Decimal(1)), ("large", "elsewhere", Decimal(10)))
    }
    read = read_policy("default", policy)
    house.catalog = replace(
        house.catalog,
        models=models,
        upstreams={**house.catalog.upstreams, "elsewhere": elsewhere},
        terms={"scripted": terms, "elsewhere": terms},
        policies=put_in_force({"default": read}, models, house.catalog.defaults),
    )
    return house


async def _planned(house: House, key: Key = KEY, hints: Hints | None = None, **members: Any) -> Exchange:
    """A request for ``auto``, decided."""
    members = {"model": "auto", **members}
    ask = arrival(Dialect.OPENAI_CHAT, is_stream=False, **members).ask
    exchange = Exchange(replace(ask, model=members["model"], hints=hints or ask.hints), key, house)
    await plan_route(exchange)
    return exchange


def _arm(exchange: Exchange) -> str:
    assert exchange.plan is not None
    return exchange.plan.arm.name


@pytest.mark.parametrize(("category", "arm"), [(Category.MATH, "dear"), (Category.CHAT, "cheap")])
async def test_the_classifier_is_believed(category: Category, arm: str) -> None:
    """What the classifier is sure of decides which rule applies."""
    house = _house()
    house.classify = _says(category)
    assert _arm(await _planned(house)) == arm


async def test_where_nobody_is_sure_the_reference_answers() -> None:
    """A prompt that nobody can place goes to the reference arm."""
    assert _arm(await _planned(_house())) == "dear"


CHAIN = (
    POLICY
    + """
classify:
  chain: [rules, learned, llm]
  unsure_below: 0.6
  rules: [{when: {tag: {app: ledger}}, category: math}]
  llm: {model: small, deadline_s: 1, max_cost_usd: 0.01}
"""
)


@pytest.mark.parametrize(
    ("tags", "learned", "judged", "category", "asked"),
    [
        ({"app": "ledger"}, 0.9, "creative", "math", 0),
        ({}, 0.7, "creative", "chat", 0),
        ({}, 0.4, "creative", "creative", 1),
        ({}, 0.4, None, "chat", 1),
    ],
    ids=["a rule knows it", "learned is sure", "the judge is asked", "the judge has no word"],
)
async def test_the_first_of_the_chain_that_is_sure_counts(
    tags: Mapping[str, str], learned: float, judged: str | None, category: str, asked: int
) -> None:
    """Rules, then the learned classifier, and a model only where both are unsure."""
    house = _house(CHAIN)
    house.classify = _says(Category.CHAT, learned)
    judge = Says(None if judged is None else Prediction(judged, 1.0, Source.LLM))
    house.judge = judge
    exchange = await _planned(house, hints=Hints(tags=tags))
    assert exchange.plan is not None
    assert (exchange.plan.category, judge.asked) == (category, asked)


@pytest.mark.parametrize(("may_override", "category"), [(True, "math"), (False, "chat")])
async def test_a_clients_own_label_counts_for_who_may_override(*, may_override: bool, category: str) -> None:
    """The category that a client hints at is taken from keys that may override, and from no others."""
    house = _house()
    house.classify = _says(Category.CHAT)
    exchange = await _planned(house, replace(KEY, may_override=may_override), Hints(category="math"))
    assert exchange.plan is not None
    assert exchange.plan.category == category


async def test_a_stored_response_is_continued_where_it_lives() -> None:
    """Of the arms, only those at the upstream that stores the response to be continued are usable."""
    kept = Kept()
    kept.remember("resp_1", AnswerHome("scripted", KEY.id))
    house = _house(kept=kept, first=Dialect.OPENAI_RESPONSES)
    house.classify = _says(Category.MATH)
    ask = arrival(Dialect.OPENAI_RESPONSES, is_stream=False, model="auto", previous_response_id="resp_1").ask
    exchange = Exchange(replace(ask, model="auto"), KEY, house)
    await plan_route(exchange)
    assert _arm(exchange) == "cheap"


async def test_what_a_provider_cannot_be_told_goes_to_the_next_arm() -> None:
    """Where the chosen arm's API has no words for the ask, the next arm whose has them answers, and it is said."""
    house = _house(dialect=Dialect.ANTHROPIC_MESSAGES)
    house.classify = _says(Category.MATH)
    exchange = await _planned(house, n=2)
    assert _arm(exchange) == "dear"
    assert exchange.answered_by is not None
    assert exchange.answered_by.name == "cheap"
    assert exchange.degraded[0].startswith("cheap instead of dear: n is 2")


async def test_what_no_provider_can_be_told_is_refused() -> None:
    """An ask that cannot be put into any arm's API is the client's to change."""
    house = _house(POLICY.replace("model: small", "model: large"), dialect=Dialect.ANTHROPIC_MESSAGES)
    house.classify = _says(Category.MATH)
    with pytest.raises(InvalidRequest, match="n is 2"):
        await _planned(house, n=2)


async def test_a_second_decision_knows_what_the_budget_leaves() -> None:
    """After its money could not be had, the arm that the budget covers is taken, and the answer says so."""
    house = _house()
    house.classify = _says(Category.MATH)
    budget = Limits(budgets=(Budget(usd(Decimal("0.001")), Period.TOTAL),))
    exchange = await _planned(house, replace(KEY, accounts=(Account("key:k1", budget),)))
    assert _arm(exchange) == "dear"
    await decide_again(exchange)
    assert _arm(exchange) == "cheap"
    assert exchange.degraded == ["cheap instead of dear: the budget leaves no more"]


async def test_tool_loops_have_no_fallbacks() -> None:
    """An ask that brings results of tools is answered by its arm, or not at all."""
    house = _house()
    house.classify = _says(Category.MATH)
    turns = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "Rain"},
    ]  # fmt: skip
    assert (await _planned(house)).fallbacks
    assert not (await _planned(house, messages=turns)).fallbacks


async def test_unknown_and_forbidden_policies_are_told_apart() -> None:
    """A policy that there is not is a 404, one that the key may not follow a 403; both name those it may."""
    house = _house()
    with pytest.raises(UnknownModel, match="default"):
        await _planned(house, model="auto:none-such")
    scoped = replace(KEY, scopes=(Scope(policies=Names(("other*",))),))
    with pytest.raises(Forbidden, match="none"):
        await _planned(house, scoped, model="auto:default")


async def test_a_policy_that_observes_never_stands_in_the_way() -> None:
    """A policy that would have refused a named model's ask is on record with its reason, and the ask goes on."""
    house = _house(POLICY.replace("max_cost_usd: 1", "max_cost_usd: 0.000000001") + "mode: observe\n")
    exchange = await _planned(house, model="small")
    assert _arm(exchange) == "small"
    assert exchange.observed is not None
    assert exchange.observed.is_observed
    assert "would have refused it" in exchange.observed.reasons[0]


async def test_a_fallback_has_an_output_limit_of_its_own() -> None:
    """The arm that answers instead may write what the ceiling pays for at its price, not at the first arm's."""
    house = _house(POLICY.replace("max_cost_usd: 1", "max_cost_usd: 0.01"), dialect=Dialect.ANTHROPIC_MESSAGES)
    house.classify = _says(Category.MATH)
    exchange = await _planned(house, n=2, max_tokens=None)
    assert exchange.answered_by is not None
    assert exchange.plan is not None
    limits = exchange.plan.fallback_output_tokens
    assert exchange.plan.ceilings.output_tokens == limits["cheap"] > 2_000


async def test_a_second_decision_forgets_the_fallback_of_the_first() -> None:
    """The arm of the second decision is the one that answers, whichever stood in after the first."""
    house = _house(dialect=Dialect.ANTHROPIC_MESSAGES)
    house.classify = _says(Category.MATH)
    budget = Limits(budgets=(Budget(usd(Decimal("0.0003")), Period.TOTAL),))
    exchange = await _planned(house, replace(KEY, accounts=(Account("key:k1", budget),)), n=2)
    assert exchange.answered_by is not None
    await decide_again(exchange)
    assert _arm(exchange) == "cheap"
    assert exchange.answered_by is None


async def test_a_second_decision_asks_no_model_again() -> None:
    """What kind of ask it is does not change with the money that is left."""
    house = _house(CHAIN)
    house.classify = _says(Category.CHAT, 0.4)
    judge = Says(None)
    house.judge = judge
    exchange = await _planned(house)
    await decide_again(exchange)
    assert judge.asked == 1


@pytest.mark.parametrize("model", ["small", "auto"])
async def test_who_only_observes_asks_no_model(model: str) -> None:
    """Trying a policy costs the caller neither time nor money: its judge is not asked."""
    house = _house(CHAIN + "mode: observe\n")
    house.classify = _says(Category.CHAT, 0.4)
    judge = Says(Prediction(Category.MATH, 1.0, Source.LLM))
    house.judge = judge
    exchange = await _planned(house, model=model)
    assert exchange.observed is not None
    assert judge.asked == 0


async def test_a_question_of_our_own_is_not_observed() -> None:
    """What a classifier asks a model is no traffic that a policy is tried on."""
    house = _house(POLICY + "mode: observe\n")
    ask = replace(arrival(Dialect.OPENAI_CHAT, is_stream=False, model="small").ask, model="small")
    exchange = Exchange(ask, KEY, house)
    exchange.wish = Wish(effort="none")
    await plan_route(exchange)
    assert exchange.observed is None


async def test_what_an_observing_policy_cannot_find_out_stands_in_nobodys_way() -> None:
    """Where balances cannot be read, a named model's ask is served, and the observed plan says what was missing."""

    class Away(MemoryPurse):
        async def spent(self, account: str, period: Period, *, now: float) -> tuple[Usd, Usd]:
            raise Unavailable("balances are away")

    broke = "{name: broke, when: {remaining_budget_usd: {below: 1}}, arm: cheap}"
    house = _house(POLICY.replace("rules:", f"rules:\n  - {broke}") + "mode: observe\n")
    house.purse = Away()
    budget = Limits(budgets=(Budget(usd(Decimal(1)), Period.TOTAL),))
    exchange = await _planned(house, replace(KEY, accounts=(Account("key:k1", budget),)), model="small")
    assert exchange.observed is not None
    assert exchange.observed.reasons[0].endswith("would have refused it: balances are away")


async def test_a_failing_model_is_avoided_and_not_the_upstream_of_its_name() -> None:
    """A breaker is of one model at one upstream, whatever else bears the model's name."""
    house = _house()
    house.classify = _says(Category.CHAT)
    models = {**house.catalog.models, "elsewhere": replace(house.catalog.models["small"], name="elsewhere")}
    read = read_policy("default", POLICY.replace("model: small", "model: elsewhere"))
    policies = put_in_force({"default": read}, models, house.catalog.defaults)
    house.catalog = replace(house.catalog, models=models, policies=policies)
    failing = await _planned(house)
    failing.end_call(failing.begin_call({}, {}), Result.FAILED, error=UpstreamRateLimited("slow down"))
    decided = (await _planned(house)).plan
    assert decided is not None
    assert decided.arm.name == "dear"
    (drop,) = decided.dropped
    assert drop.reason == "elsewhere is not to be called now: its upstream limits our rate"


async def test_a_stored_response_that_no_arm_can_continue_is_the_clients_to_change() -> None:
    """Trying again later would not help: the message says where the response is stored."""
    kept = Kept()
    kept.remember("resp_1", AnswerHome("third", KEY.id))
    house = _house(kept=kept, first=Dialect.OPENAI_RESPONSES)
    ask = arrival(Dialect.OPENAI_RESPONSES, is_stream=False, model="auto", previous_response_id="resp_1").ask
    with pytest.raises(InvalidRequest, match="stored at upstream third"):
        await plan_route(Exchange(replace(ask, model="auto"), KEY, house))


async def test_an_arm_that_is_named_is_classified_like_any() -> None:
    """Its plan has the difficulty that the policy cuts from the predicted success, and says when it is capped."""
    house = _house(POLICY.replace("max_cost_usd: 1", "max_cost_usd: 0.005"))
    house.classify = Says(Prediction(Category.MATH, 0.9, Source.LEARNED, {Anchor.WEAK: 0.01}))
    plan = (await _planned(house, model="arm:dear", max_tokens=None)).plan
    assert plan is not None
    assert plan.difficulty == Difficulty.VERY_HARD
    assert plan.reasons[1] == f"at most {plan.ceilings.output_tokens} output tokens fit under $0.005"


EXPLORING = (
    POLICY.replace(
        "arm: dear\n",
        "calibrated: {among: [cheap, dear], loss_at_most: 0.1, confidence: 0.9, until_certified: cheap}\n",
    )
    + "calibrate: {every: 1d, spend_at_most_usd: 1, explore: {share: 0.1, spend_at_most_usd: 0.000001}}\n"
)


async def test_what_explored_answers_cost_more_is_held_against_the_day_s_cap() -> None:
    """The first may be drawn; then the money is spent, and the record says that the dearer arm had no chance."""
    house = _house(EXPLORING)
    house.classify = _says(Category.MATH)
    house.draw = lambda: 0.0
    first, then = await _planned(house), await _planned(house)
    assert (_arm(first), _arm(then)) == ("dear", "cheap")
    assert first.plan is not None and then.plan is not None  # noqa: PT018
    assert first.plan.propensities == {"cheap": 0.9, "dear": 0.1}
    assert then.plan.propensities == {"cheap": 1.0}
