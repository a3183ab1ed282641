"""Which arm answers, under which ceilings, for which reasons, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.domain.arm import Strategy
from gateway.domain.ask import Hints
from gateway.domain.key import Names, Scope
from gateway.domain.latency import ANY, Latencies, Latency, UsualTokens
from gateway.domain.money import usd
from gateway.domain.plan import Plan
from gateway.domain.prediction import Difficulty, Prediction, Source
from gateway.errors import BudgetExhausted, Forbidden, InvalidRequest, PonderError, Unavailable
from gateway.policy.facts import Demand
from tests.policy.world import (
    HAIKU,
    KEY,
    LOCAL,
    MODELS,
    NOW,
    ask,
    model,
    plan,
    policy_of,
    predicted,
    ready,
    simple,
    without,
)  # fmt: skip

LIKELY = predicted(weak=0.79, strong=0.8)


def _dropped(decided: Plan) -> dict[str, str]:
    return {drop.option: drop.reason for drop in decided.dropped}


def _names(decided: Plan) -> list[str]:
    return [decided.arm.name, *(arm.name for arm in decided.fallbacks)]


def _slow(**p95: float) -> Latencies:
    return Latencies({(arm.replace("_", "-"), ANY): Latency(s / 2, s, None, None, 50) for arm, s in p95.items()}, {})


@pytest.mark.parametrize(
    ("prediction", "hints", "arm", "rule"),
    [
        (predicted("math"), Hints(), "think-hard", "checkable"),
        (predicted("code/python"), Hints(), "think-hard", "checkable"),
        (predicted("chat"), Hints(), "fast", "talk"),
        (predicted("math"), Hints(deadline_s=1.5), "fast", "hurried"),
        (predicted("extraction"), Hints(), "think", None),
        (predicted("chat", confidence=0.5), Hints(), "fast", "talk"),
        (predicted("math", confidence=0.49), Hints(), "think-hard", None),
        (predicted("chat", confidence=0.49), Hints(), "think-hard", None),
        (predicted("chat", confidence=0.1), Hints(deadline_s=1), "fast", "hurried"),
    ],
)
def test_the_first_rule_that_applies_wins(prediction: Prediction, hints: Hints, arm: str, rule: str | None) -> None:
    """Without one the default answers, and where nobody is sure of the category the reference does."""
    decided = plan(facts=ask(prediction, Demand(400, hints=hints)))
    assert (decided.arm.name, decided.rule) == (arm, rule)


def test_a_plan_says_what_it_was_made_of() -> None:
    """Policy, digest, category, difficulty, ceilings, reasons, facts: enough to explain it years later."""
    policy = policy_of()
    decided = plan(policy)
    assert (decided.policy, decided.policy_digest, decided.category) == ("work", policy.digest, "math")
    assert decided.difficulty == "hard"
    assert (decided.ceilings.cost, decided.ceilings.deadline_s) == (usd("0.25"), 60)
    assert decided.propensities == {"think-hard": 1.0}
    assert not decided.is_observed
    assert decided.facts["category"] == "math"
    assert any("nothing is certified yet" in reason for reason in decided.reasons)


def test_observing_decides_as_enforcing_would_and_says_so() -> None:
    """What is recorded in observe mode is the plan that would have been made."""
    observed = plan(policy_of(policy_of().text + "mode: observe\n"))
    assert observed.is_observed
    assert observed.arm == plan().arm


def test_fallbacks_are_the_rules_then_the_policys_then_the_reference() -> None:
    """In this order, each once, and only those that can be used."""
    rules = "[{name: r, arm: think, fallbacks: [think-hard]}]"
    assert _names(plan(simple(rules))) == ["think", "think-hard", "fast"]
    assert _names(plan(simple(rules), ask(prompt_tokens=99_000, demand=Demand(400, 1_200)))) == ["think", "think-hard"]


def test_a_search_is_no_fallback() -> None:
    """Listed as one, it is passed over without a word; in place of an arm that cannot be used it answers."""
    rules = "[{name: r, arm: fast, fallbacks: [vote, step-up]}]"
    decided = plan(simple(rules))
    assert _names(decided) == ["fast", "think", "think-hard"]
    assert _dropped(decided) == {}
    instead = plan(simple(rules), snapshots=replace(NOW, unhealthy={"haiku": "down"}))
    assert _names(instead) == ["vote", "think", "think-hard"]


@pytest.mark.parametrize(
    ("facts", "arm", "reason"),
    [
        (ask(has_tools=True), "vote", "cannot call tools"),
        (ask(has_tools=True), "step-up", "cannot call tools"),
        (ask(demand=Demand(400, candidates=2)), "vote", "n is 2"),
        (ask(prompt_tokens=8_000), "vote", "local holds 8192"),
        (ask(demand=Demand(400, 3_000)), "vote", "3000 output tokens were asked for; model local gives 2048"),
        (ask(key=replace(KEY, scopes=(Scope(arms=Names(("th*",))),))), "vote", "not allowed to this key"),
        (ask(key=replace(KEY, scopes=(Scope(models=Names(("sonnet",))),))), "vote", "local is not allowed"),
        (ask(key=replace(KEY, scopes=(Scope(arms=Names(("step-up", "think"))),))), "step-up", "not allowed"),
    ],
)
def test_an_arm_that_cannot_take_the_ask_is_dropped_with_its_reason(facts: Any, arm: str, reason: str) -> None:
    """Tools, candidates, length, output and permission each rule out what cannot serve them."""
    decided = plan(simple(f"[{{name: r, arm: {arm}}}]"), facts)
    assert decided.arm.name == "think"
    assert reason in _dropped(decided)[arm]
    assert any(f"{arm} cannot be used, and think is next" in each for each in decided.reasons)


@pytest.mark.parametrize(("ability", "fact"), [("takes_tools", "has_tools"), ("takes_images", "has_images")])
def test_a_model_that_is_known_not_to_take_something_is_dropped(ability: str, fact: str) -> None:
    """One of which it is not known is tried."""
    models = {**MODELS, "haiku": without(HAIKU, **{ability: False})}
    decided = plan(ready(simple("[{name: r, arm: fast}]"), models), ask(**{fact: True}))
    assert decided.arm.name == "think"
    assert f"takes no {fact.removeprefix('has_')}" in _dropped(decided)["fast"]
    assert plan(ready(simple("[{name: r, arm: fast}]")), ask(**{fact: True})).arm.name == "fast"


def test_arms_without_their_model_or_strategy_drop_out() -> None:
    """A policy works with whatever is configured, and says what it lacks."""
    alone = ready(models={"local": LOCAL}, runnable={Strategy.GREEDY})
    assert alone.reference is None
    with pytest.raises(Unavailable, match="configure one of its models"):
        plan(alone)
    some = ready(models={"haiku": HAIKU}, runnable={Strategy.GREEDY})
    decided = plan(some)
    assert decided.arm.name == "fast"
    assert _dropped(decided)["think-hard"] == "model sonnet is not configured"
    assert any("fast, the dearest that can, stands in" in reason for reason in decided.reasons)


def test_the_dearest_usable_arm_stands_in_for_the_reference() -> None:
    """By price and not by place; of equally dear ones the last."""
    opus = model("opus", "anthropic", "5", "25")
    arms = "{cheap: {model: haiku}, dear: {model: opus}, also: {model: haiku}, best: {model: gone}}"
    text = f"policy: work\narms: {arms}\ndefaults: {{arm: cheap, reference: best, max_cost_usd: 1}}"
    assert ready(policy_of(text), {"haiku": HAIKU, "opus": opus}).reference == "dear"
    assert ready(policy_of(text), {"haiku": HAIKU}).reference == "also"


def test_of_several_models_the_first_configured_is_taken() -> None:
    """So that one policy serves whoever has whichever provider's key."""
    text = "policy: work\narms: {a: {model: [gone, haiku, sonnet]}}\ndefaults: {arm: a, reference: a, max_cost_usd: 1}"
    assert plan(policy_of(text)).arm.model == "haiku"


def test_output_is_limited_to_what_the_ceiling_leaves() -> None:
    """Without a limit in the ask, the plan sets the one that just fits; with one, the arm is dropped."""
    capped = simple("[{name: r, arm: think, max_cost_usd: 0.0162}]")
    decided = plan(capped)
    assert decided.ceilings.output_tokens == 1_000
    assert "at most 1000 output tokens fit under $0.0162" in decided.reasons
    asked = plan(capped, ask(demand=Demand(400, 1_001)))
    assert asked.arm.name == "fast"
    assert _dropped(asked)["think"] == "may cost up to $0.016215, and the ceiling is $0.0162"
    assert plan(capped, ask(demand=Demand(400, 1_000))).arm.name == "think"


def test_an_answer_is_left_at_least_256_tokens() -> None:
    """At the ceiling that leaves 256 the arm is used, and a nano-dollar below it is too dear."""
    edge = "0.00504"
    assert plan(simple(f"[{{name: r, arm: think, max_cost_usd: {edge}}}]")).ceilings.output_tokens == 256
    below = plan(simple("[{name: r, arm: think, max_cost_usd: 0.005039999}]"))
    assert below.arm.name == "fast"


def test_thinking_tokens_have_room_beside_the_answer() -> None:
    """An arm that thinks with 2,000 tokens needs 2,256."""
    arms = "{a: {model: sonnet, thinking_tokens: 2000}}"
    text = f"policy: work\narms: {arms}\ndefaults: {{arm: a, reference: a, max_cost_usd: %s}}"
    assert plan(policy_of(text % "0.03504")).ceilings.output_tokens == 2_256
    with pytest.raises(BudgetExhausted):
        plan(policy_of(text % "0.035039"))


def test_a_model_without_a_known_maximum_is_given_one() -> None:
    """What bounds the cost must also bound the answer."""
    unknown = replace(HAIKU, max_output_tokens=None)
    decided = plan(ready(simple("[{name: r, arm: fast}]"), {**MODELS, "haiku": unknown}))
    assert decided.ceilings.output_tokens == 4_096


@pytest.mark.parametrize(
    ("hints", "cost", "deadline_s"),
    [
        (Hints(), "0.25", 60),
        (Hints(max_cost_usd=Decimal("0.1"), deadline_s=30), "0.1", 30),
        (Hints(max_cost_usd=Decimal(2), deadline_s=120), "0.25", 60),
        (Hints(max_cost_usd=Decimal("0.0123456789")), "0.012345678", 60),
    ],
)
def test_hints_tighten_ceilings(hints: Hints, cost: str, deadline_s: float) -> None:
    """A hint below a ceiling replaces it; one above does not."""
    decided = plan(facts=ask(demand=Demand(400, hints=hints)))
    assert (decided.ceilings.cost, decided.ceilings.deadline_s) == (Decimal(cost), deadline_s)


def test_a_key_that_may_override_loosens_them_up_to_the_operators_own() -> None:
    """Beyond the policy's and the rule's ceilings, never beyond limits.deadline_s or the budget."""
    loose = ask(key=replace(KEY, may_override=True), demand=Demand(400, hints=Hints(None, None, 700, Decimal(2))))
    rules = "[{name: r, arm: think, max_cost_usd: 0.01, deadline_s: 5}]"
    decided = plan(simple(rules), loose)
    assert (decided.ceilings.cost, decided.ceilings.deadline_s) == (usd(2), 600)
    poor = plan(simple(rules), loose, replace(NOW, remaining_budget=usd("0.5")))
    assert poor.ceilings.cost == usd("0.5")
    assert plan(simple(rules)).ceilings.deadline_s == 5
    assert plan(simple("[{name: r, arm: think, deadline_s: 5}]")).ceilings.deadline_s == 5


def test_an_arm_that_would_miss_the_deadline_is_dropped() -> None:
    """What one answer in twenty takes must fit; at the deadline itself it does."""
    decided = plan(snapshots=replace(NOW, latencies=_slow(think_hard=60.1, think=60)))
    assert decided.arm.name == "think"
    assert _dropped(decided)["think-hard"] == "one in twenty of its answers takes over 60.1 s, and the deadline is 60 s"


def test_an_upstream_that_is_unwell_is_not_called() -> None:
    """Its arms are dropped with the reason; a cascade needs all of its upstreams."""
    decided = plan(snapshots=replace(NOW, unhealthy={"anthropic": "5 failures in a row"}), policy=simple(
        "[{name: r, arm: think, fallbacks: [step-up, vote]}]"))  # fmt: skip
    assert _names(decided) == ["vote"]
    assert "anthropic is not to be called now: 5 failures in a row" in _dropped(decided)["step-up"]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"demand": Demand(400, hints=Hints(max_cost_usd=Decimal("0.0001")))}, BudgetExhausted, "ask for fewer output"),
        ({"prompt_tokens": 2_000_000}, InvalidRequest, "shorten the request"),
        ({"key": replace(KEY, scopes=(Scope(models=Names(())),))}, Forbidden, "this key may use"),
    ],
)
def test_a_refusal_says_what_would_be_accepted(changes: dict[str, Any], kind: type[PonderError], message: str) -> None:
    """402 for money, 400 for the request itself, 403 for permission; each names the arms and why."""
    with pytest.raises(kind, match=message) as caught:
        plan(facts=ask(**changes))
    assert "think-hard: " in caught.value.message


def test_the_refusal_is_of_the_arm_that_came_furthest() -> None:
    """Where one arm only lacks its upstream, waiting helps, whatever else the others lack."""
    with pytest.raises(Unavailable, match="try again later") as caught:
        plan(
            simple("[{name: r, arm: vote}]"),
            ask(has_tools=True),
            replace(NOW, unhealthy={"anthropic": "overloaded", "gpu": "gone"}),
        )
    assert "vote" not in caught.value.message
    assert caught.value.retry_after_s
    with pytest.raises(InvalidRequest, match="allow a later deadline"):
        plan(facts=ask(), snapshots=replace(NOW, latencies=_slow(think_hard=61, think=61, fast=61)))


def test_a_conversation_keeps_its_arm_while_that_can_be_used() -> None:
    """With propensity 1, whatever the rules say; a policy may say otherwise, and a tool loop never changes."""
    sticky = replace(NOW, sticky_arm="fast")
    kept = plan(snapshots=sticky, u=0.0)
    assert (kept.arm.name, kept.propensities) == ("fast", {"fast": 1.0})
    failing = replace(sticky, unhealthy={"haiku": "overloaded"})
    assert plan(snapshots=failing).arm.name == "think-hard"
    assert plan(facts=ask(is_tool_turn=True), snapshots=failing).arm.name == "fast"
    assert plan(facts=ask(is_tool_turn=True), snapshots=replace(sticky, latencies=_slow(fast=61))).arm.name == "fast"
    assert plan(snapshots=sticky, facts=ask(prompt_tokens=200_000)).arm.name == "think-hard"
    loose = policy_of(policy_of().text + "sticky: false\n")
    assert plan(loose, snapshots=sticky).arm.name == "think-hard"
    assert plan(loose, ask(is_tool_turn=True), sticky).arm.name == "fast"
    assert plan(snapshots=replace(NOW, sticky_arm="gone")).arm.name == "think-hard"


def test_until_certified_may_differ_by_difficulty() -> None:
    """Where the difficulty is not known, the reference answers unless the policy names another."""
    start = "{easy: fast, medium: vote, hard: think, very_hard: think-hard}"
    policy = policy_of(policy_of().text.replace("until_certified: think-hard", f"until_certified: {start}"))
    for weak, arm in ((0.9, "fast"), (0.6, "vote"), (0.3, "think"), (0.1, "think-hard")):
        assert plan(policy, ask(predicted(weak=weak))).arm.name == arm
    assert plan(policy, ask(replace(predicted(), success={}))).arm.name == "think-hard"
    assert plan(policy, ask(replace(predicted(), difficulty=Difficulty.EASY))).arm.name == "fast"


GAIN = "[{name: g, gain: {among: [fast, step-up, vote, think], loss_at_most: 0.05}}]"


def test_gain_takes_the_cheapest_arm_predicted_to_do_nearly_as_well() -> None:
    """At the allowed loss it is taken, below it the next; an arm that is like nobody is passed over."""
    assert plan(simple(GAIN), ask(predicted(weak=0.75, strong=0.80))).arm.name == "fast"
    decided = plan(simple(GAIN), ask(predicted(weak=0.74, strong=0.80)))
    assert decided.arm.name == "think"
    assert _dropped(decided)["fast"] == "predicted to succeed with 0.74, and 0.75 is needed"
    assert "neither like: weak nor like: strong" in _dropped(decided)["step-up"]


def test_an_arms_own_predicted_success_goes_before_its_anchors() -> None:
    """Counts of its own say more than being like another."""
    facts = ask(Prediction("math", 0.9, Source.LEARNED, {"weak": 0.1, "strong": 0.8, "vote": 0.79}))
    assert plan(simple(GAIN), facts).arm.name == "vote"


def test_without_a_prediction_gain_means_the_reference() -> None:
    """Unknown success is no success: nothing is saved by silence."""
    assert plan(simple(GAIN), ask(Prediction("math", 0.9, Source.LEARNED))).arm.name == "think-hard"
    unsure = plan(simple(GAIN), ask(predicted(confidence=0.2, weak=0.9, strong=0.9)))
    assert unsure.arm.name == "think-hard"


def test_until_certified_may_go_by_gain() -> None:
    """The word gain asks for it, among the same arms and at the same loss."""
    policy = policy_of(policy_of().text.replace("until_certified: think-hard", "until_certified: gain"))
    assert plan(policy, ask(LIKELY)).arm.name == "fast"
    assert plan(policy).arm.name == "think"


def test_the_expected_cost_is_told_once_answers_have_a_usual_length() -> None:
    """100 prompt tokens at $3 and 500 output tokens at $15 per million cost $0.0078; before that, nobody knows."""
    known = Latencies({}, {"think-hard": UsualTokens(500, 300, 40)})
    assert plan(snapshots=replace(NOW, latencies=known)).estimated_cost == usd("0.0078")
    assert plan().estimated_cost is None
    capped = ask(demand=Demand(400, 100))
    assert plan(facts=capped, snapshots=replace(NOW, latencies=known)).estimated_cost == usd("0.0018")


def test_only_a_rule_on_confidence_sees_a_guess_that_is_not_sure() -> None:
    """A rule that asks for confidence wants to know; all others see an ask of no known category."""
    unsure = ask(predicted("math", 0.3))
    assert plan(simple("[{name: r, when: {category: math}, arm: vote}]"), unsure).rule is None
    assert plan(simple("[{name: r, when: {category: other}, arm: vote}]"), unsure).rule == "r"
    assert plan(simple("[{name: r, when: {category: math, confidence: {below: 0.5}}, arm: vote}]"), unsure).rule == "r"
