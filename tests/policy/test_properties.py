"""What holds of every decision, whatever the ask, the world and the draw."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.ask import Hints
from gateway.domain.money import QUANTUM, from_nanos
from gateway.domain.plan import Plan
from gateway.domain.prediction import Category, Prediction, Source
from gateway.domain.pricing import ceiling
from gateway.errors import PonderError
from gateway.policy.facts import Demand, Facts, Snapshots
from tests.policy.world import DEFAULTS, KEY, MODELS, NOON, ask, plan, policy_of, predicted, ready
from tests.randomness import examples

EXPLORING = ready(policy_of(policy_of().text + "calibrate: {every: 1d, spend_at_most_usd: 1, explore: 0.1}\n"))
DRAWS = st.floats(0, 1, exclude_max=True)
HINTS = st.builds(
    Hints,
    deadline_s=st.none() | st.floats(0.1, 1000),
    max_cost_usd=st.none() | st.integers(1, 10**9).map(from_nanos),
)
DEMANDS = st.builds(
    Demand,
    prompt_tokens_at_most=st.integers(0, 200_000),
    output_tokens_asked=st.none() | st.integers(1, 100_000),
    candidates=st.integers(1, 3),
    service_tier=st.sampled_from(["default", "flex", "auto"]),
    hints=HINTS,
)
PREDICTIONS = st.builds(
    Prediction,
    category=st.sampled_from([*Category, "code/python"]),
    confidence=st.floats(0, 1),
    source=st.just(Source.LEARNED),
    success=st.just({}) | st.fixed_dictionaries({"weak": st.floats(0, 1), "strong": st.floats(0, 1)}),
)
ASKS = st.builds(
    Facts,
    key=st.builds(
        lambda may, team: replace(KEY, may_override=may, team_id=team, team_name=team and f"{team} by name"),
        st.booleans(),
        st.sampled_from([None, "team-1"]),
    ),
    demand=DEMANDS,
    prediction=PREDICTIONS,
    prompt_tokens=st.integers(0, 100_000),
    has_tools=st.booleans(),
    has_images=st.booleans(),
    is_stream=st.booleans(),
    turns=st.integers(1, 9),
)
WORLDS = st.builds(
    Snapshots,
    now=st.just(NOON),
    unhealthy=st.sampled_from([{}, {"anthropic": "down"}, {"gpu": "down"}]),
    remaining_budget=st.none() | st.integers(0, 10**9).map(from_nanos),
    sticky_arm=st.none() | st.sampled_from(["fast", "vote", "think", "gone"]),
)


def _decided(facts: Facts, world: Snapshots, u: float) -> Plan | None:
    try:
        return plan(EXPLORING, facts, world, u=u)
    except PonderError:
        return None


@given(ASKS, WORLDS, DRAWS)
@examples(400)
def test_no_plan_can_cost_more_than_its_ceiling(facts: Facts, world: Snapshots, u: float) -> None:
    """The arm's call at its dearest stays under the plan's ceiling, or one of each of its models; so do fallbacks."""
    decided = _decided(facts, world, u)
    if decided is None:
        return
    limit = decided.ceilings.cost
    assert limit is not None
    for answering in (decided, *(replace(decided.falling_back_to(arm), arm=arm) for arm in decided.fallbacks)):
        assert _dearest(answering, facts.demand) <= limit
    hint = facts.demand.hints.max_cost_usd
    assert hint is None or limit <= hint
    assert world.remaining_budget is None or limit <= world.remaining_budget


def _dearest(decided: Plan, demand: Demand) -> Decimal:
    """What the plan's arm can cost at most, worked out by the price itself, to the nano-dollar below."""
    total = Decimal(0)
    for leg in EXPLORING.arms[decided.arm.name].legs:
        model = MODELS[leg.model.name]
        assert model.price is not None
        most = model.max_output_tokens or DEFAULTS.default_output_tokens
        output = most if decided.ceilings.output_tokens is None else min(decided.ceilings.output_tokens, most)
        prompt = min(demand.prompt_tokens_at_most, model.context_tokens or demand.prompt_tokens_at_most)
        call = ceiling(model.price, prompt, output, demand.candidates)
        total += leg.needed * (call - QUANTUM)
    return total


@given(ASKS, WORLDS, DRAWS)
def test_propensities_are_a_distribution_that_holds_the_taken_arm(facts: Facts, world: Snapshots, u: float) -> None:
    """They sum to 1, none is 0, and the arm that is taken is among them."""
    decided = _decided(facts, world, u)
    if decided is not None:
        assert sum(decided.propensities.values()) == pytest.approx(1, abs=1e-12)
        assert min(decided.propensities.values()) > 0
        assert decided.arm.name in decided.propensities


@given(ASKS, WORLDS, DRAWS, DRAWS)
def test_the_draw_changes_nothing_but_the_arm(facts: Facts, world: Snapshots, u: float, other: float) -> None:
    """The same draw gives the same plan, and any draw the same probabilities and ceilings."""
    first, again, drawn = _decided(facts, world, u), _decided(facts, world, u), _decided(facts, world, other)
    assert first == again
    assert (first is None) == (drawn is None)
    if first is not None and drawn is not None:
        assert first.propensities == drawn.propensities
        assert (first.ceilings.cost, first.rule) == (drawn.ceilings.cost, drawn.rule)


@given(ASKS, WORLDS, HINTS)
def test_hints_only_tighten(facts: Facts, world: Snapshots, hints: Hints) -> None:
    """For a key that may not override, no hint raises a ceiling or serves what is refused without it."""
    bound = replace(facts, key=replace(facts.key, may_override=False))
    plain = _decided(replace(bound, demand=replace(facts.demand, hints=Hints())), world, 0.5)
    hinted = _decided(replace(bound, demand=replace(facts.demand, hints=hints)), world, 0.5)
    if hinted is not None:
        assert plain is not None
        assert plain.ceilings.cost is not None and hinted.ceilings.cost is not None  # noqa: PT018
        assert hinted.ceilings.cost <= plain.ceilings.cost
        assert hinted.ceilings.deadline_s <= plain.ceilings.deadline_s


def test_arms_are_drawn_as_often_as_recorded() -> None:
    """Over evenly spread draws, the frequencies are the propensities."""
    draws = 10_000
    facts = ask(predicted("math"))
    start = ready(
        policy_of(
            policy_of().text.replace("until_certified: think-hard", "until_certified: vote")
            + "calibrate: {every: 1d, spend_at_most_usd: 1, explore: 0.1}\n"
        )
    )
    plans = [plan(start, facts, u=(number + 0.5) / draws) for number in range(draws)]
    counted = Counter(decided.arm.name for decided in plans)
    assert plans[0].propensities == {"fast": 0.05, "think": 0.05, "vote": 0.9}
    assert counted == {"fast": 500, "think": 500, "vote": 9_000}
    unexplored = plan(start, facts, u=0.1)
    assert unexplored.arm.name == "vote"
    assert not any("explored" in reason for reason in unexplored.reasons)
    explored = plans[0]
    assert [arm.name for arm in explored.fallbacks] == ["think", "think-hard"]
    assert any(reason == "explored: fast instead of vote" for reason in explored.reasons)


@pytest.mark.parametrize(
    ("category", "unhealthy", "propensities"),
    [
        ("math", {}, {"think": 0.1, "think-hard": 0.9}),
        ("chat", {}, {"fast": 1.0}),
        ("extraction", {}, {"think": 1.0}),
        ("math", {"anthropic": "down"}, {"vote": 1.0}),
    ],
)
def test_only_neighbours_of_a_calibrated_choice_are_explored(
    category: str, unhealthy: dict[str, str], propensities: dict[str, float]
) -> None:
    """At an end of the order the one neighbour gets the whole share; fallbacks and other rules explore nothing."""
    world = Snapshots(NOON, unhealthy=unhealthy)
    policy = ready(
        policy_of(
            policy_of().text.replace("fallbacks: [think, fast]", "fallbacks: [think, vote]")
            + "calibrate: {every: 1d, spend_at_most_usd: 1, explore: 0.1}\n"
        )
    )
    assert plan(policy, ask(predicted(category)), world).propensities == propensities


def test_whoever_is_excluded_from_exploration_never_explores() -> None:
    """Keys, teams and tags for which an answer must not be tried out."""
    never = "calibrate: {every: 1d, spend_at_most_usd: 1, explore: {share: 0.1, never: {key: 'tests'}}}\n"
    assert plan(ready(policy_of(policy_of().text + never)), u=0.0).propensities == {"think-hard": 1.0}
    both = never.replace("key: 'tests'", "key: 'tests', category: chat")
    assert plan(ready(policy_of(policy_of().text + both)), u=0.0).arm.name == "think"
    other = never.replace("tests", "others")
    assert plan(ready(policy_of(policy_of().text + other)), u=0.0).arm.name == "think"
