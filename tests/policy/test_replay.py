"""Recorded facts lead back to the ask that they were recorded of."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.money import from_nanos
from gateway.errors import InvalidRequest, PonderError
from gateway.policy.decide import decide
from gateway.policy.facts import Facts, Snapshots, recorded
from gateway.policy.replay import recall
from tests.policy.test_properties import ASKS, DRAWS, EXPLORING
from tests.policy.world import NOON, NOW, ask, plan

WORLDS = st.builds(
    Snapshots,
    now=st.integers(0, 23).map(lambda hour: NOON + hour * 3600),
    remaining_budget=st.none() | st.integers(0, 10**9).map(from_nanos),
    sticky_arm=st.none() | st.sampled_from(["fast", "vote", "gone"]),
    queue_depths=st.sampled_from([{}, {"gpu": 3}]),
)


@given(ASKS, WORLDS)
def test_what_is_recorded_survives_json_and_recall(facts: Facts, world: Snapshots) -> None:
    """Recording the recalled ask gives the same record."""
    record = orjson.loads(orjson.dumps(recorded(facts, world)))
    recalled = recall(record)
    assert recorded(recalled.facts, recalled.snapshots) == record


@given(ASKS, WORLDS, DRAWS)
def test_a_recorded_decision_is_made_again(facts: Facts, world: Snapshots, u: float) -> None:
    """The same policy decides the same for the record as for the ask itself, exploration included."""
    try:
        first = plan(EXPLORING, facts, world, u=u)
    except PonderError:
        return
    again = recall(orjson.loads(orjson.dumps(first.facts)))
    second = decide(EXPLORING, again.facts, None, again.snapshots, again.u)
    assert (second.arm, second.rule, second.ceilings) == (first.arm, first.rule, first.ceilings)
    assert (second.propensities, second.fallbacks) == (first.propensities, first.fallbacks)


def test_no_prompt_and_no_unusual_silence_is_recorded() -> None:
    """A record names labels, counts and ids; what has its usual value is left out."""
    assert recorded(ask(), NOW) == {
        "category": "math",
        "confidence": 0.9,
        "source": "learned",
        "tokens": 100,
        "tokens_at_most": 400,
        "turns": 1,
        "key": "key-1",
        "key_name": "tests",
        "hour": 12,
        "success": {"weak": 0.4, "strong": 0.8},
    }


def test_facts_in_another_releases_form_are_refused_by_name() -> None:
    """And not half understood."""
    record = recorded(ask(), replace(NOW, sticky_arm="fast"))
    with pytest.raises(InvalidRequest, match="mood"):
        recall({**record, "mood": "good"})
