"""Arms with verifiers: what keeps them from being used, and what their verifiers add to their cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.arm import Strategy
from gateway.domain.health import Health
from gateway.policy.arms import KnownVerifier, ReadyArm
from gateway.policy.options import Drop, Option, Situation, Stage, examine
from gateway.policy.ready import ReadyPolicy, compile_policy
from tests.policy.world import DEFAULTS, MODELS, NOW, ask, model, policy_of

PRM = model("prm-7b", "gpu", "1", "9")
OFFERED = {**MODELS, "prm-7b": PRM}
TEXT = """\
policy: work
arms:
  fast: {model: haiku}
  best: {model: local, strategy: best_of_n, samples: 4, verifier: prm}
  tree: {model: local, strategy: beam, beams: 2, expand: 2, depth: 3, verifier: prm}
  step-up: {cascade: [fast, best], escalate_below: 0.7, verifier: prm}
defaults: {arm: fast, reference: fast, max_cost_usd: 0.25}
"""
PER_TOKEN = 10**12
"""A dollar per million tokens, in atto-dollars."""


def ready(verifiers: dict[str, KnownVerifier] | None) -> ReadyPolicy:
    """The policy with these verifiers."""
    return compile_policy(policy_of(TEXT), OFFERED, DEFAULTS, frozenset(Strategy), verifiers)


def arm(name: str, verifier: KnownVerifier | None) -> ReadyArm:
    """One arm, with this verifier configured as ``prm``."""
    return ready({} if verifier is None else {"prm": verifier}).arms[name]


def test_an_arm_drops_out_without_its_verifier() -> None:
    """The reason says which verifiers there are; a cascade that its verifier was to judge drops out too."""
    arms = ready({"exact": KnownVerifier(None, scores_steps=False)}).arms
    assert arms["best"].problem == "verifier prm is not configured; configured: exact"
    assert arms["tree"].problem == "verifier prm is not configured; configured: exact"
    assert arms["step-up"].problem is not None
    assert ready({}).arms["best"].problem == "verifier prm is not configured; configured: none"
    assert arms["fast"].problem is None


def test_a_search_by_steps_needs_scores_of_steps() -> None:
    """A verifier of whole answers will do for best-of-N, and not for a beam."""
    known = KnownVerifier("prm-7b", scores_steps=False)
    assert arm("best", known).problem is None
    assert arm("tree", known).problem == "strategy beam scores steps, and verifier prm scores whole answers only"


def test_a_verifier_without_a_price_is_refused() -> None:
    """Unless the operator lets models without a price be served, a verifier's model needs one."""
    known = {"prm": KnownVerifier("free-7b", scores_steps=True)}
    offered = {**OFFERED, "free-7b": replace(PRM, name="free-7b", price=None)}
    policy = policy_of(TEXT)
    strict = compile_policy(policy, offered, DEFAULTS, frozenset(Strategy), known)
    assert strict.arms["best"].problem == "model free-7b of verifier prm has no price"
    lenient = compile_policy(policy, offered, replace(DEFAULTS, may_serve_unpriced=True), frozenset(Strategy), known)
    assert lenient.arms["best"].problem is None


@pytest.mark.parametrize(("name", "readings"), [("best", 4 * 3), ("tree", 2 * 2 * 3), ("step-up", 4 * 3 + 2 * 3)])
def test_how_often_a_verifier_reads(name: str, readings: int) -> None:
    """Once for each step where chains grow by steps; as often as a whole answer takes where they do not."""
    ready_arm = arm(name, KnownVerifier("prm-7b", scores_steps=True, readings=3))
    assert sum(leg.calls for leg in ready_arm.readers) == readings
    assert {leg.model.name for leg in ready_arm.readers} == {"prm-7b"}


def test_a_verifier_without_a_model_costs_nothing() -> None:
    """What is computed here adds no reader."""
    assert arm("best", KnownVerifier(None, scores_steps=False)).readers == ()


def test_reading_counts_under_the_ceiling() -> None:
    """A verifier's reading of prompt and answer is part of the least that an arm must be able to pay."""
    with_model = arm("best", KnownVerifier("prm-7b", scores_steps=True))
    without = arm("best", KnownVerifier(None, scores_steps=True))
    facts = ask(demand=replace(ask().demand, output_tokens_asked=100))
    # One draw and one reading: 400 + 100 tokens at 0.1 and 0.2 dollars a million, and 500 read at 1.
    draw = 400 * PER_TOKEN // 10 + 100 * PER_TOKEN // 5
    reading = 500 * PER_TOKEN
    for each, needed in ((without, draw), (with_model, draw + reading)):
        enough = examine(each, Situation(facts, NOW, needed, 60.0))
        assert isinstance(enough, Option)
        short = examine(each, Situation(facts, NOW, needed - 1, 60.0))
        assert isinstance(short, Drop)
        assert short.stage is Stage.TOO_DEAR


def test_an_arm_whose_verifier_fails_is_avoided() -> None:
    """A verifier's model that had better not be called now keeps its arm from being an option."""
    snapshots = replace(NOW, health=Health({("gpu", "prm-7b"): "its last 5 calls failed"}))
    found = examine(arm("best", KnownVerifier("prm-7b", scores_steps=True)), Situation(ask(), snapshots, 10**18, 60.0))
    assert isinstance(found, Drop)
    assert found.stage is Stage.UNHEALTHY
    assert "prm-7b" in found.reason


def test_a_price_of_typical_use_counts_the_verifier() -> None:
    """What arms are ranked by in price has the verifier's reading in it."""
    with_model = arm("best", KnownVerifier("prm-7b", scores_steps=True))
    without = arm("best", KnownVerifier(None, scores_steps=True))
    assert with_model.typical_bound - without.typical_bound == 4 * 2000 * PER_TOKEN


def test_unless_told_verifiers_are_there() -> None:
    """A policy's cases are decided as if the verifiers that it names were there."""
    assert ready(None).arms["best"].problem is None
    assert ready(None).arms["best"].readers == ()
