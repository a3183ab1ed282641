"""Traffic that a policy decided by its own `decide`, exploring, with answers whose success is known beforehand."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from gateway.domain.chat import Dialect
from gateway.domain.key import Key
from gateway.domain.model import Model
from gateway.domain.money import usd
from gateway.domain.outcome import Outcome
from gateway.domain.plan import Plan
from gateway.domain.prediction import Anchor, Prediction, Source
from gateway.domain.record import RequestRecord, Result
from gateway.policy.decide import decide
from gateway.policy.facts import Demand, Facts, Snapshots
from gateway.policy.ready import ReadyPolicy
from tests.policy.world import model, policy_of, ready

NOON: Final = 1_795_348_800.0
CONFIG: Final = """
upstreams:
  hosted: {kind: openai, base_url: "http://127.0.0.1:9/v1"}
models:
  haiku: {upstream: hosted, price: {input_per_mtok: 1, output_per_mtok: 5}, max_output_tokens: 8000}
  sonnet: {upstream: hosted, price: {input_per_mtok: 3, output_per_mtok: 15}, max_output_tokens: 64000}
"""
MODELS: Final[Mapping[str, Model]] = {
    each.name: each for each in (model("haiku", "hosted", "1", "5"), model("sonnet", "hosted", "3", "15"))
}
_POLICY: Final = """\
policy: {name}
arms:
  low: {{model: haiku, effort: low}}
  medium: {{model: sonnet, effort: medium}}
  high: {{model: sonnet, effort: high}}
defaults: {{arm: medium, reference: high, max_cost_usd: 0.5, deadline_s: 60}}
rules:
  - name: talk
    when: {{category: [chat, creative]}}
    arm: low
  - name: checkable
    calibrated:
      among: [low, medium, high]
      loss_at_most: 0.02
      confidence: 0.9
      until_certified: {{easy: {easy}, medium: {medium}, hard: {hard}, very_hard: {hard}}}
calibrate: {{every: 1d, spend_at_most_usd: 5, explore: {explore}}}
"""
COSTS: Final = {"low": 0.041, "medium": 0.150, "high": 0.406}
RATES: Final = {
    "easy": {"low": 0.95, "medium": 0.97, "high": 0.97},
    "medium": {"low": 0.75, "medium": 0.85, "high": 0.86},
    "hard": {"low": 0.30, "medium": 0.50, "high": 0.60},
    "very_hard": {"low": 0.10, "medium": 0.20, "high": 0.35},
}
"""Success by difficulty and arm, in every category."""
_CATEGORIES: Final = ("math", "code", "logic", "chat")


def policy_text(name: str = "work", *, arms: str = "medium medium medium", explore: float = 0.05) -> str:
    """A policy whose arms for easy, medium and hard asks are these."""
    easy, medium, hard = arms.split()
    return _POLICY.format(name=name, easy=easy, medium=medium, hard=hard, explore=explore)


def ready_policy(text: str) -> ReadyPolicy:
    """The policy of this text, ready to decide."""
    return ready(policy_of(text), MODELS)


def write_site(config: Path, **policies: str) -> None:
    """A configuration with these policies beside it."""
    config.write_text(CONFIG)
    for name, text in policies.items():
        own = config.parent / "policies" / name
        own.mkdir(parents=True, exist_ok=True)
        (own / "policy.yaml").write_text(text)


@dataclass(frozen=True, slots=True)
class Answered:
    """A request as it is recorded, and whether its answer was right."""

    record: RequestRecord
    is_right: bool

    def outcome(self, **changes: Any) -> Outcome:
        """What somebody says who knows it."""
        said = Outcome(self.record.id, "tests", float(self.is_right), self.record.started_at + 60, "key-1", True)
        return replace(said, **changes)


def answered(policy: ReadyPolicy, count: int, seed: int = 1, *, since: float = NOON) -> Iterator[Answered]:
    """So many requests, each begun 10 ms after the one before."""
    random = np.random.default_rng(seed)
    for number in range(count):
        chance = float(random.random())
        category = _CATEGORIES[int(random.integers(len(_CATEGORIES)))]
        tokens = int(random.integers(50, 4_000))
        facts = Facts(
            key=Key("key-1", "tests"),
            demand=Demand(prompt_tokens_at_most=4 * tokens),
            prediction=Prediction(category, 0.5 + chance / 2, Source.LEARNED, {Anchor.WEAK: chance}),
            prompt_tokens=tokens,
        )
        plan = decide(policy, facts, None, Snapshots(now=since), float(random.random()))
        yield _answered(plan, number, since + number / 100, random)


def _answered(plan: Plan, number: int, at: float, random: np.random.Generator) -> Answered:
    arm = plan.arm.name
    record = RequestRecord(
        id=str(uuid.UUID(int=round(at * 1000) << 80 | 7 << 76 | 2 << 62 | number)),
        started_at=at,
        key_id="key-1",
        dialect=Dialect.OPENAI_CHAT,
        endpoint="/v1/chat/completions",
        model_asked="auto",
        stream=False,
        result=Result.ANSWERED,
        status=200,
        cost=usd(str(round(COSTS[arm] * (0.5 + random.random()), 6))),
        is_cost_complete=True,
        total_s=1.0 + 20 * COSTS[arm],
        first_byte_s=0.2,
        plan=plan,
        calls=(),
    )
    return Answered(record, bool(random.random() < RATES[str(plan.difficulty)][arm]))
