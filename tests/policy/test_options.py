"""Details of whether an arm is an option: output limits and time, models by name, strategies and their calls."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.domain.ask import Hints
from gateway.domain.capability_table import find
from gateway.domain.latency import (
    ANY,
    ENOUGH_SAMPLES,
    Bucket,
    Latencies,
    Latency,
    UsualTokens,
    output_bucket,
    prompt_bucket,
)
from gateway.domain.pricing import Price, Schedule, TokenClass, complete
from gateway.errors import BudgetExhausted
from gateway.policy.facts import Demand
from tests.policy.world import DEFAULTS, HAIKU, KEY, LOCAL, MODELS, NOW, SONNET, ask, plan, policy_of, ready, simple


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
    """Bytes beyond the model's context cannot be billed: 8,192 of them cost $0.0008192."""
    long = ask(demand=Demand(10_000_000, 256))
    exact = "0.0008704"  # 8,192 × $0.1 + 256 × $0.2 per million
    assert plan(simple(f"[{{name: r, arm: vote, max_cost_usd: {exact}}}]"), long).arm.name == "vote"
    with pytest.raises(BudgetExhausted):
        plan(simple("[{name: r, arm: vote, max_cost_usd: 0.0008703}]"), long)


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


def test_a_search_is_held_against_one_whole_draw() -> None:
    """One of 2,048 tokens at $0.2 per million and a prompt of 400 at $0.1 costs at most $0.0004496."""
    exact = simple("[{name: r, arm: vote, max_cost_usd: 0.0004496}]")
    assert plan(exact).ceilings.output_tokens is None
    less = plan(simple("[{name: r, arm: vote, max_cost_usd: 0.0004495}]"))
    assert less.ceilings.output_tokens == 2_047
    assert "at most 2047 output tokens a draw fit under $0.0004495" in less.reasons
    with pytest.raises(BudgetExhausted, match=r"vote: one draw of each of its models may cost up to \$0.0004496, and"):
        plan(simple("[{name: r, arm: vote, max_cost_usd: 0.0004495}]"), ask(demand=Demand(400, 2_048)))


def test_a_cascade_is_held_against_one_draw_of_each_of_its_models() -> None:
    """However many of its arms have the same model: 64,000 tokens at $15, 8,000 at $5 and their prompts, once each."""
    arms = """
      fast: {model: haiku}
      think: {model: sonnet, effort: low}
      hard: {model: sonnet, effort: high}
      up: {cascade: [fast, think, hard], escalate_below: 0.5}
    """
    text = f"policy: work\narms: {arms}\ndefaults: {{arm: up, reference: fast, max_cost_usd: %s}}"
    exact = plan(policy_of(text % "1.0016"))
    assert (exact.arm.name, exact.ceilings.output_tokens) == ("up", None)
    assert plan(policy_of(text % "1.001599999")).ceilings.output_tokens == 49_999


TINY = replace(LOCAL, name="tiny", upstream_name="tiny", max_output_tokens=1_000)
DRAFTED = """\
policy: work
arms:
  fast: {model: haiku}
  drafted: {model: [gone, local], strategy: draft, draft: [none, tiny], depth: 3}
  tree: {model: local, strategy: dvts, verifier: prm}
  chain: {model: sonnet, strategy: beam, verifier: prm}
  up: {cascade: [drafted, fast], escalate_below: 0.5, carries: true}
defaults: {arm: fast, reference: fast, max_cost_usd: 1}
"""


def test_a_drafting_arm_has_two_models() -> None:
    """Each the first that is configured; a call of either for each step, and what one whole draw of both costs."""
    arm = ready(policy_of(DRAFTED), {**MODELS, "tiny": TINY}).arms["drafted"]
    assert arm.problem is None
    assert (arm.arm.model, dict(arm.arm.parameters)) == ("local", {"depth": 3, "draft": "tiny"})
    assert [(leg.model.name, leg.calls, leg.needed) for leg in arm.legs] == [("local", 3, 1), ("tiny", 3, 1)]
    endless = ready(policy_of(DRAFTED), {**MODELS, "tiny": replace(TINY, max_output_tokens=None)}).arms["drafted"]
    assert (arm.is_output_bounded, endless.is_output_bounded) == (True, False)


def test_an_arm_without_its_draft_model_drops_out() -> None:
    """What would be written where nobody is sure is not enough."""
    arms = ready(policy_of(DRAFTED)).arms
    assert arms["drafted"].problem == "none of its 2 draft models is configured (none, tiny)"
    single = ready(policy_of(DRAFTED.replace("[none, tiny]", "tiny"))).arms
    assert single["drafted"].problem == "draft model tiny is not configured"


def test_strategies_by_steps_need_a_vllm() -> None:
    """Of every model that they draw from; the others take any upstream."""
    arms = ready(policy_of(DRAFTED), {**MODELS, "tiny": replace(TINY, upstream="cpu")}).arms
    said = "continues answers by their tokens, which only an upstream of kind vllm does; model"
    assert arms["tree"].problem is None
    assert arms["chain"].problem == f"strategy beam {said} sonnet is at anthropic"
    assert arms["drafted"].problem == f"strategy draft {said} tiny is at cpu"
    anywhere = simple("[{name: r, arm: vote}]")
    assert plan(ready(anywhere, defaults=replace(DEFAULTS, vllm_upstreams=frozenset()))).arm.name == "vote"


def test_a_cascade_that_carries_says_so() -> None:
    """Where it does not, it has no parameters."""
    models = {**MODELS, "tiny": TINY}
    assert dict(ready(policy_of(DRAFTED), models).arms["up"].arm.parameters) == {"carries": True}
    assert dict(ready(policy_of(DRAFTED.replace(", carries: true", "")), models).arms["up"].arm.parameters) == {}


def test_what_a_search_may_cost_counts_for_its_place_and_not_for_its_use() -> None:
    """Four draws rank a vote by price, and one must fit under the ceiling."""
    vote = ready(simple()).arms["vote"]
    assert vote.typical_bound == 4 * 1_000 * (10**11 + 2 * 10**11)
    assert [(leg.calls, leg.needed) for leg in vote.legs] == [(4, 1)]


def test_what_a_search_is_expected_to_cost_is_for_all_of_its_draws() -> None:
    """Four prompts of 100 tokens and 1,500 written ones, or four times the limit; of several models nobody knows."""
    usual = UsualTokens(1_500, 0, 40)
    world = replace(NOW, latencies=Latencies({}, dict.fromkeys(("vote", "step-up"), usual)))
    vote = simple("[{name: r, arm: vote}]")
    assert plan(vote, snapshots=world).estimated_cost == Decimal("0.00034")
    assert plan(vote, ask(demand=Demand(400, 300)), snapshots=world).estimated_cost == Decimal("0.00028")
    assert plan(simple("[{name: r, arm: step-up}]"), snapshots=world).estimated_cost is None


def test_a_search_stands_in_for_the_reference_only_where_nothing_else_can() -> None:
    """The reference answers tool calls too, and whoever falls back."""
    assert ready(models={"local": LOCAL}).reference == "vote"
    dear = replace(LOCAL, price=SONNET.price)
    assert ready(models={"local": dear, "haiku": HAIKU}).reference == "fast"


@pytest.mark.parametrize("may_override", [False, True])
def test_a_rules_ceilings_bind_whoever_did_not_choose_others(may_override: bool) -> None:
    """A key that may override and asks for nothing is bound by the rule, as is one that may not, whatever it asks."""
    hints = Hints() if may_override else Hints(deadline_s=20, max_cost_usd=Decimal("0.2"))
    bound = ask(key=replace(KEY, may_override=may_override), demand=Demand(400, hints=hints))
    decided = plan(simple("[{name: r, arm: think, max_cost_usd: 0.1, deadline_s: 5}]"), bound)
    assert (decided.ceilings.cost, decided.ceilings.deadline_s) == (Decimal("0.1"), 5)
