"""Details of whether an arm is an option: output limits and time, models by name, strategies and their calls."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.domain.arm import Arm, Strategy
from gateway.domain.ask import Hints
from gateway.domain.capability_table import find
from gateway.domain.latency import ANY, ENOUGH_SAMPLES, Bucket, Latencies, Latency, output_bucket, prompt_bucket
from gateway.domain.pricing import Price, Schedule, TokenClass, complete
from gateway.errors import BudgetExhausted
from gateway.policy.facts import Demand
from gateway.policy.strategies import PARAMETERS, calls_at_most
from tests.policy.world import DEFAULTS, HAIKU, KEY, MODELS, NOW, ask, plan, policy_of, ready, simple


def _latency(p95_s: float) -> Latency:
    return Latency(p95_s / 2, p95_s, None, None, ENOUGH_SAMPLES)


def test_an_output_limit_may_save_an_arm_from_the_deadline() -> None:
    """Where answers of that length are known to be fast enough, the arm's usual time does not count."""
    known = {
        ("think-hard", ANY): _latency(90),
        ("think-hard", Bucket(prompt_bucket(100), output_bucket(500), 0)): _latency(9),
    }
    slow = replace(NOW, latencies=Latencies(known, {}))
    assert plan(facts=ask(demand=Demand(400, 500)), snapshots=slow).arm.name == "think-hard"
    assert plan(facts=ask(demand=Demand(400, 5_000)), snapshots=slow).arm.name == "think"


def test_a_busy_upstream_is_slower() -> None:
    """Latencies are those of as many calls as are under way, this one included."""
    known = {
        ("think-hard", Bucket(prompt_bucket(100), None, 0)): _latency(9),
        ("think-hard", Bucket(prompt_bucket(100), None, 2)): _latency(90),
    }
    world = replace(NOW, latencies=Latencies(known, {}))
    assert plan(snapshots=world).arm.name == "think-hard"
    assert plan(snapshots=replace(world, calls_under_way={"anthropic": 8})).arm.name == "think"
    assert plan(snapshots=replace(world, calls_under_way={"gpu": 8})).arm.name == "think-hard"


def test_a_model_may_be_avoided_by_its_own_name() -> None:
    """Other models of the same upstream go on."""
    decided = plan(snapshots=replace(NOW, unhealthy={"sonnet": "no such model"}))
    assert decided.arm.name == "fast"
    assert {drop.option: drop.reason for drop in decided.dropped}["think-hard"].endswith("now: no such model")


def test_a_model_that_only_streams_serves_only_streams() -> None:
    """What a model cannot serve, whatever is done about its thinking, drops its arms in its own words."""
    streaming = replace(HAIKU, capability=find("qwen", "qwq-plus"))
    work = ready(simple("[{name: r, arm: fast}]"), {**MODELS, "haiku": streaming})
    refused = plan(work)
    assert refused.arm.name == "think"
    assert refused.dropped[0].reason == "model haiku always thinks, and answers in streams only"
    assert plan(work, replace(ask(), is_stream=True)).arm.name == "fast"


def test_a_prompt_counts_for_no_more_than_the_context_holds() -> None:
    """Bytes beyond the model's context cannot be billed: 8,192 of them cost $0.0008192 per call of four."""
    long = ask(demand=Demand(10_000_000, 256))
    exact = "0.0034816"  # 4 × (8,192 × $0.1 + 256 × $0.2) per million
    assert plan(simple(f"[{{name: r, arm: vote, max_cost_usd: {exact}}}]"), long).arm.name == "vote"
    with pytest.raises(BudgetExhausted):
        plan(simple("[{name: r, arm: vote, max_cost_usd: 0.0034815}]"), long)


def test_the_tier_that_the_ask_names_is_paid_for() -> None:
    """Without one the standard price holds; with one that may be dearer, the dearer."""
    dear = Schedule(complete({TokenClass.INPUT: Decimal("9e-6"), TokenClass.OUTPUT: Decimal("40e-6")}))
    assert HAIKU.price is not None
    tiered = replace(HAIKU, price=Price(HAIKU.price.standard, {"priority": dear}))
    work = ready(simple("[{name: r, arm: fast, max_cost_usd: 0.02}]"), {**MODELS, "haiku": tiered})
    assert plan(work).ceilings.output_tokens == 3_920
    assert plan(work, ask(demand=Demand(400, service_tier="auto"))).ceilings.output_tokens == 410


def test_web_searches_are_paid_for_where_they_have_a_price() -> None:
    """Each that the ask may lead to, at the model's fee."""
    assert HAIKU.price is not None
    searching = replace(HAIKU, price=replace(HAIKU.price, web_search_usd=Decimal("0.01")))
    work = ready(simple("[{name: r, arm: fast, max_cost_usd: 0.02}]"), {**MODELS, "haiku": searching})
    assert plan(work, ask(demand=Demand(400, web_searches_at_most=1))).ceilings.output_tokens == 1_920


def test_a_model_without_a_price_is_used_only_where_the_operator_lets_it() -> None:
    """Its cost is then bounded by nobody."""
    models = {**MODELS, "haiku": replace(HAIKU, price=None)}
    talk = simple("[{name: r, arm: fast}]")
    refused = plan(ready(talk, models))
    assert refused.arm.name == "think"
    assert refused.dropped[0].reason == "model haiku has no price"
    assert plan(ready(talk, models, defaults=replace(DEFAULTS, may_serve_unpriced=True))).arm.name == "fast"


def test_a_cascade_goes_on_with_the_arms_that_there_are() -> None:
    """Two are enough; with one there is nowhere to step up to."""
    text = policy_of().text.replace("cascade: [vote, think]", "cascade: [fast, vote, think]")
    text = text.replace("until_certified: think-hard", "until_certified: step-up")
    without_local = {name: model for name, model in MODELS.items() if name != "local"}
    decided = plan(ready(policy_of(text), without_local))
    assert (decided.arm.name, decided.arm.cascade) == ("step-up", ("fast", "think"))
    lonely = plan(ready(policy_of(text), {"sonnet": MODELS["sonnet"]}))
    reason = {drop.option: drop.reason for drop in lonely.dropped}["step-up"]
    assert reason.startswith("a cascade needs two arms that can be used (fast: model haiku is not configured")


@pytest.mark.parametrize(
    ("strategy", "parameters", "calls"),
    [
        (Strategy.GREEDY, {}, 1),
        (Strategy.VOTE, {}, 8),
        (Strategy.VOTE, {"samples": "auto", "max_samples": 5}, 5),
        (Strategy.VOTE, {"samples": 3, "max_samples": 5}, 3),
        (Strategy.BEST_OF_N, {"samples": 4}, 4),
        (Strategy.BEAM, {"beams": 4, "expand": 2, "depth": 3}, 24),
        (Strategy.DVTS, {"beams": 16, "groups": 4}, 128),
        (Strategy.MCTS, {"simulations": 50, "depth": 4}, 200),
        (Strategy.REVISE, {"rounds": 3}, 7),
        (Strategy.DRAFT, {"depth": 4}, 8),
        (Strategy.DECOMPOSE, {"parts": 3}, 5),
        (Strategy.REPAIR, {"rounds": 2}, 3),
    ],
)
def test_each_strategy_has_a_most_of_calls(strategy: Strategy, parameters: dict[str, Any], calls: int) -> None:
    """What is left out has the size that is assumed for it."""
    assert calls_at_most(Arm("a", "m", strategy=strategy, parameters=parameters)) == calls
    assert parameters.keys() <= PARAMETERS[strategy]


def test_every_strategy_but_the_cascade_can_be_written() -> None:
    """A cascade is written by its arms."""
    assert set(Strategy) - set(PARAMETERS) == {Strategy.CASCADE}


@pytest.mark.parametrize("may_override", [False, True])
def test_a_rules_ceilings_bind_whoever_did_not_choose_others(may_override: bool) -> None:
    """A key that may override and asks for nothing is bound by the rule, as is one that may not, whatever it asks."""
    hints = Hints() if may_override else Hints(deadline_s=20, max_cost_usd=Decimal("0.2"))
    bound = ask(key=replace(KEY, may_override=may_override), demand=Demand(400, hints=hints))
    decided = plan(simple("[{name: r, arm: think, max_cost_usd: 0.1, deadline_s: 5}]"), bound)
    assert (decided.ceilings.cost, decided.ceilings.deadline_s) == (Decimal("0.1"), 5)
