"""What limits exploration, and that what is recorded of it is exactly what was drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.latency import Latencies, UsualTokens
from gateway.domain.money import usd
from gateway.errors import ConfigurationError
from gateway.policy.exploring import explored_from, extra_cost
from gateway.policy.facts import Snapshots
from gateway.policy.ready import ReadyPolicy
from tests.policy.world import NOON, ask, plan, policy_of, predicted, ready

_DRAWS = 4_000


def exploring(explore: str = "0.1", *, start: str = "vote") -> ReadyPolicy:
    """A policy whose calibrated rule starts at the arm ``start`` and explores like this."""
    text = policy_of().text.replace("until_certified: think-hard", f"until_certified: {start}")
    return ready(policy_of(f"{text}calibrate: {{every: 1d, spend_at_most_usd: 5, explore: {explore}}}\n"))


_POLICIES = {
    (share, start): exploring(str(share), start=start)
    for share in (0.03, 0.05, 0.2)
    for start in ("fast", "vote", "think-hard")
}


@given(
    st.sampled_from(sorted(_POLICIES)),
    st.sampled_from(["math", "code/python", "chat"]),
    st.booleans(),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_what_is_recorded_is_how_often_each_arm_is_drawn(
    chosen: tuple[float, str], category: str, may: bool, weak: float, strong: float
) -> None:
    """Over evenly spread draws every arm's frequency is its recorded chance, whatever limits the exploration."""
    facts = ask(predicted(category, weak=weak, strong=strong))
    world = Snapshots(NOON, may_explore_dearer=may)
    draws = 200
    plans = [plan(_POLICIES[chosen], facts, world, u=(number + 0.5) / draws) for number in range(draws)]
    chances = plans[0].propensities
    assert all(each.propensities == chances for each in plans)
    for arm in {each.arm.name for each in plans} | chances.keys():
        frequency = sum(each.arm.name == arm for each in plans) / draws
        assert frequency == pytest.approx(chances.get(arm, 0.0), abs=1 / draws)


@pytest.mark.parametrize("start", ["fast", "vote", "think-hard"])
def test_the_inverse_propensity_mean_of_one_is_one(start: str) -> None:
    """Drawn at random, one over the recorded chance of what each arm was taken with sums to the number of asks."""
    policy, facts = exploring("0.2", start=start), ask(predicted("math"))
    draws = np.random.default_rng(3).random(_DRAWS)
    taken = [plan(policy, facts, u=float(u)) for u in draws]
    for arm in taken[0].propensities:
        weights = [(each.arm.name == arm) / each.propensities[arm] for each in taken]
        assert np.mean(weights) == pytest.approx(1, abs=4 * float(np.std(weights)) / _DRAWS**0.5)


def test_dearer_arms_wait_while_the_day_s_money_is_spent() -> None:
    """The cheaper neighbour has the share alone, and where there is none nothing is explored; both are recorded."""
    spent = Snapshots(NOON, may_explore_dearer=False)
    assert plan(exploring(), snapshots=spent).propensities == {"vote": 0.9, "fast": 0.1}
    assert plan(exploring(start="fast"), snapshots=spent, u=0.0).propensities == {"fast": 1.0}


@pytest.mark.parametrize(
    ("limit", "propensities"),
    [(0.3, {"think": 0.9, "think-hard": 0.1}), (0.5, {"think": 0.9, "vote": 0.05, "think-hard": 0.05})],
)
def test_a_neighbour_that_is_predicted_to_fail_more_often_is_not_tried(
    limit: float, propensities: dict[str, float]
) -> None:
    """By more than the policy allows; the next one after it is not taken in its place."""
    policy = exploring(f"{{share: 0.1, loss_at_most: {limit}}}", start="think")
    assert plan(policy, ask(predicted(weak=0.4, strong=0.8))).propensities == propensities


def test_what_is_not_predicted_is_no_reason_against_a_neighbour() -> None:
    """Nothing is known of the risk then, and neighbours are near."""
    policy = exploring("{share: 0.1, loss_at_most: 0.001}", start="think")
    blind = replace(predicted(), success={})
    assert set(plan(policy, ask(blind)).propensities) == {"think", "vote", "think-hard"}


def test_a_cap_of_its_own_goes_before_the_policy_s() -> None:
    """And no exploring costs nothing."""
    assert exploring().explore_spend == usd(5)
    assert exploring("{share: 0.1, spend_at_most_usd: 0.5}").explore_spend == usd("0.5")
    assert ready().explore_spend == 0
    with pytest.raises(ConfigurationError, match="spend_at_most_usd"):
        exploring("{share: 0.1, spend_at_most_usd: 0}")


def test_a_plan_tells_whether_it_explored() -> None:
    """And in whose place."""
    assert explored_from(plan(exploring(), u=0.01)) == "vote"
    assert explored_from(plan(exploring(), u=0.5)) is None
    assert explored_from(replace(plan(exploring()), propensities={})) is None


def test_what_exploring_costs_more_is_by_usual_answers() -> None:
    """Where they are known of both; else by what a typical ask can cost at most; and never less than nothing."""
    policy, facts = exploring(), ask()
    unknown = extra_cost(policy, facts, Snapshots(NOON), "fast", "think")
    assert unknown > usd("0.01")
    assert extra_cost(policy, facts, Snapshots(NOON), "think", "fast") == 0
    tokens = {name: UsualTokens(100, 0, 50) for name in ("fast", "think")}
    known = Snapshots(NOON, latencies=Latencies({}, tokens))
    assert extra_cost(policy, facts, known, "fast", "think") == usd("0.0012")
    assert extra_cost(policy, facts, known, "think", "fast") == 0
