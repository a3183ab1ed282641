"""What the policy tests decide in: models with prices, a policy, an ask, and ways to change each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from gateway.domain.arm import Strategy
from gateway.domain.capabilities import PLAIN
from gateway.domain.key import Key
from gateway.domain.model import Model
from gateway.domain.plan import Plan
from gateway.domain.prediction import Prediction, Source
from gateway.domain.pricing import per_mtok
from gateway.domain.profile import Profile
from gateway.policy.decide import decide
from gateway.policy.facts import Defaults, Demand, Facts, Snapshots
from gateway.policy.reading import Policy, read_policy
from gateway.policy.ready import ReadyPolicy, compile_policy

NOON = 1_795_348_800.0
"""2026-11-22 12:00:00 UTC."""

DEFAULTS = Defaults(
    deadline_s=600, default_output_tokens=4096, may_serve_unpriced=False, vllm_upstreams=frozenset({"gpu"})
)
KEY = Key("key-1", "tests")
NOW = Snapshots(now=NOON)


def model(name: str, upstream: str, dollars_in: str, dollars_out: str, **changes: Any) -> Model:
    """A model with a price per million tokens."""
    price = per_mtok(input_per_mtok=Decimal(dollars_in), output_per_mtok=Decimal(dollars_out))
    known = Model(name, upstream, name, price, context_tokens=100_000, max_output_tokens=8_000)
    return replace(known, **changes)


HAIKU = model("haiku", "anthropic", "1", "5")
SONNET = model("sonnet", "anthropic", "3", "15", context_tokens=1_000_000, max_output_tokens=64_000)
LOCAL = model("local", "gpu", "0.1", "0.2", context_tokens=8_192, max_output_tokens=2_048)
MODELS: Mapping[str, Model] = {each.name: each for each in (HAIKU, SONNET, LOCAL)}

ARMS = """\
  fast: {model: haiku, effort: none, like: weak}
  vote: {model: local, strategy: vote, max_samples: 4, like: weak}
  think: {model: sonnet, effort: medium, like: strong}
  think-hard: {model: sonnet, effort: high, like: strong}
  step-up: {cascade: [vote, think], escalate_below: 0.7}
"""

TEXT = f"""\
policy: work
arms:
{ARMS}
defaults: {{arm: think, reference: think-hard, max_cost_usd: 0.25, deadline_s: 60, fallbacks: [think, fast]}}
rules:
  - name: hurried
    when: {{deadline_s: {{below: 2}}}}
    arm: fast
  - name: talk
    when: {{category: [chat, creative]}}
    arm: fast
  - name: checkable
    when: {{category: [math, code]}}
    calibrated:
      {{among: [fast, vote, think, think-hard], loss_at_most: 0.03, confidence: 0.9, until_certified: think-hard}}
"""


def policy_of(text: str = TEXT, name: str = "work") -> Policy:
    """The policy with this text."""
    return read_policy(name, text)


def simple(rules: str = "[]", **sections: str) -> Policy:
    """A policy of the usual arms with these rules, and further sections as YAML."""
    more = "\n".join(f"{name}: {value}" for name, value in sections.items())
    defaults = "{arm: think, reference: think-hard, max_cost_usd: 0.25, deadline_s: 60, fallbacks: [think, fast]}"
    text = f"policy: work\narms:\n{ARMS}\nrules: {rules}\n{more}\n"
    return policy_of(text if "defaults" in sections else f"{text}defaults: {defaults}\n")


def ready(
    policy: Policy | None = None,
    models: Mapping[str, Model] = MODELS,
    runnable: Collection[Strategy] = frozenset(Strategy),
    defaults: Defaults = DEFAULTS,
) -> ReadyPolicy:
    """The policy, ready to decide."""
    return compile_policy(policy or policy_of(), models, defaults, runnable)


def predicted(category: str = "math", confidence: float = 0.9, **success: float) -> Prediction:
    """A prediction of the learned classifier."""
    return Prediction(category, confidence, Source.LEARNED, success or {"weak": 0.4, "strong": 0.8})


def ask(prediction: Prediction | None = None, demand: Demand | None = None, **changes: Any) -> Facts:
    """A mathematical question of a hundred tokens, unless changed."""
    facts = Facts(KEY, demand or Demand(400), prediction or predicted(), prompt_tokens=100)
    return replace(facts, **changes)


def plan(
    policy: Policy | ReadyPolicy | None = None,
    facts: Facts | None = None,
    snapshots: Snapshots = NOW,
    profile: Profile | None = None,
    u: float = 0.5,
) -> Plan:
    """What is decided."""
    prepared = policy if isinstance(policy, ReadyPolicy) else ready(policy)
    return decide(prepared, facts or ask(), profile, snapshots, u)


def without(model_: Model, **abilities: bool) -> Model:
    """The model without what is false among ``takes_tools`` and ``takes_images``."""
    return replace(model_, capability=replace(PLAIN, **abilities))  # type: ignore[arg-type]
