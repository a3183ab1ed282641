"""An ask as it was recorded, or as a case writes it, made into facts again: one form for all three."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field, ValidationError

from gateway.domain.ask import Hints
from gateway.domain.key import Key
from gateway.domain.latency import ANY, ENOUGH_SAMPLES, NOTHING_KNOWN, Latencies, Latency
from gateway.domain.money import usd
from gateway.domain.prediction import Anchor, Difficulty, Prediction, Source
from gateway.errors import InvalidRequest
from gateway.policy.conditions import View
from gateway.policy.facts import Demand, Facts, Snapshots
from gateway.policy.forms import CategoryPath, Strict

_HOUR_S = 3600
_BYTES_PER_TOKEN = 4
_Count = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]


class CanaryFact(Strict):
    """The canary that the policy's profile had, the share it had, and the conversation's place among all."""

    version: Annotated[int, Field(ge=1)]
    share: _Share
    bucket: _Share


class FactsDocument(Strict):
    """The facts of an ask, flat. What is left out has its usual value; a category without confidence is certain.

    ``unhealthy`` and ``latency_p95_s`` describe the world, by upstream and by arm; records leave them out. ``canary``
    stands in records, and changes nothing where a policy is tried without a profile.
    """

    category: CategoryPath = "other"
    confidence: _Share = 1.0
    source: Source = Source.RULES
    difficulty: Difficulty | None = None
    p_success: _Share | None = None
    success: dict[str, _Share] = Field(default_factory=dict)
    tokens: _Count = 100
    tokens_at_most: _Count | None = None
    output_tokens: Annotated[int, Field(ge=1)] | None = None
    candidates: Annotated[int, Field(ge=1)] = 1
    web_searches: _Count = 0
    service_tier: str = "default"
    turns: Annotated[int, Field(ge=1)] = 1
    tools: bool = False
    images: bool = False
    has_schema: bool = Field(default=False, alias="schema")
    stream: bool = False
    tool_turn: bool = False
    stored_at: str | None = None
    key: str = "key"
    key_name: str | None = None
    team: str | None = None
    team_name: str | None = None
    may_override: bool = False
    tag: dict[str, str] = Field(default_factory=dict)
    hour: Annotated[int, Field(ge=0, le=23)] = 12
    deadline_s: Annotated[float, Field(gt=0)] | None = None
    max_cost_usd: Annotated[Decimal, Field(ge=0)] | None = None
    remaining_budget_usd: Decimal | None = None
    queue_depth: _Count | None = None
    sticky_arm: str | None = None
    canary: CanaryFact | None = None
    u: Annotated[float, Field(ge=0, lt=1)] | None = None
    unhealthy: tuple[str, ...] = ()
    latency_p95_s: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recalled:
    """An ask that can be decided again. ``u`` is the draw of its exploration; one that explores nothing without it."""

    facts: Facts
    snapshots: Snapshots
    u: float


def recall(record: View) -> Recalled:
    """The ask behind recorded facts. Raises InvalidRequest for what another release recorded in another form."""
    try:
        return recalled(FactsDocument.model_validate(record))
    except ValidationError as fault:
        names = ", ".join(sorted({".".join(map(str, error["loc"])) for error in fault.errors()}))
        raise InvalidRequest(f"these recorded facts are not in a form that is known here: {names}") from fault


def recalled(document: FactsDocument) -> Recalled:
    """The ask that the document describes."""
    facts = Facts(
        key=_key(
            document.key, document.key_name, document.team, document.team_name, may_override=document.may_override
        ),
        demand=_demand(document),
        prediction=_prediction(document),
        prompt_tokens=document.tokens,
        turns=document.turns,
        has_tools=document.tools,
        has_images=document.images,
        has_schema=document.has_schema,
        is_stream=document.stream,
        is_tool_turn=document.tool_turn,
        stored_at=document.stored_at,
    )
    remaining = document.remaining_budget_usd
    snapshots = Snapshots(
        now=float(document.hour * _HOUR_S),
        unhealthy=dict.fromkeys(document.unhealthy, "as the case has it"),
        latencies=_latencies(document.latency_p95_s),
        queue_depths={} if document.queue_depth is None else {"local": document.queue_depth},
        remaining_budget=None if remaining is None else usd(remaining),
        sticky_arm=document.sticky_arm,
    )
    return Recalled(facts, snapshots, _NEVER_EXPLORES if document.u is None else document.u)


_NEVER_EXPLORES = 0.999999
"""A draw above every share that may be explored."""


@lru_cache(maxsize=1_000)
def _key(name: str, display_name: str | None, team: str | None, team_name: str | None, *, may_override: bool) -> Key:
    """The key that an ask came with; a million asks come with a few."""
    return Key(id=name, name=display_name or name, team_id=team, team_name=team_name, may_override=may_override)


def _demand(document: FactsDocument) -> Demand:
    at_most = document.tokens_at_most
    return Demand(
        prompt_tokens_at_most=document.tokens * _BYTES_PER_TOKEN if at_most is None else at_most,
        output_tokens_asked=document.output_tokens,
        candidates=document.candidates,
        web_searches_at_most=document.web_searches,
        service_tier=document.service_tier,
        hints=Hints(deadline_s=document.deadline_s, max_cost_usd=document.max_cost_usd, tags=document.tag),
    )


def _prediction(document: FactsDocument) -> Prediction:
    success: dict[str, float] = dict(document.success)
    if document.p_success is not None:
        success[Anchor.WEAK] = document.p_success
    return Prediction(document.category, document.confidence, document.source, success, document.difficulty)


def _latencies(p95_s: Mapping[str, float]) -> Latencies:
    if not p95_s:
        return NOTHING_KNOWN
    known: dict[Any, Latency] = {
        (arm, ANY): Latency(seconds, seconds, None, None, ENOUGH_SAMPLES) for arm, seconds in p95_s.items()
    }
    return Latencies(known, {})
