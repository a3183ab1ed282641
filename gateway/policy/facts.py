"""What a decision is made from: facts of the ask, and snapshots of the world around it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from gateway.domain.ask import NO_HINTS, Hints
from gateway.domain.construction import quick_value
from gateway.domain.health import ALL_WELL, Health
from gateway.domain.key import Key
from gateway.domain.latency import NOTHING_KNOWN, Latencies
from gateway.domain.money import Usd
from gateway.domain.prediction import Category, Prediction, Source

NOT_PREDICTED: Final = Prediction(Category.OTHER, 0.0, Source.LEARNED)
"""What is predicted of an ask that nobody looked at."""


@quick_value
class Demand:
    """How much an ask may use at most: what prices and limits are computed from.

    ``prompt_tokens_at_most`` is an upper bound (a token is at least one byte of the body).
    """

    prompt_tokens_at_most: int
    output_tokens_asked: int | None = None
    candidates: int = 1
    web_searches_at_most: int = 0
    service_tier: str = "default"
    hints: Hints = NO_HINTS


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the operator set for every request."""

    deadline_s: float
    default_output_tokens: int
    may_serve_unpriced: bool
    vllm_upstreams: frozenset[str] = frozenset()
    """Upstreams that continue an answer by its tokens."""


@quick_value
class Facts:
    """What is known of an ask before it is answered. ``prompt_tokens`` is an estimate, not a bound."""

    key: Key
    demand: Demand
    prediction: Prediction = NOT_PREDICTED
    prompt_tokens: int = 0
    turns: int = 1
    has_tools: bool = False
    has_images: bool = False
    has_schema: bool = False
    is_stream: bool = False
    is_tool_turn: bool = False
    """The last turn brings results of tools: whoever called them goes on."""
    stored_at: str | None = None
    """The upstream that stores the response which the ask continues; no other can."""


@quick_value
class Snapshots:
    """The world at most a second ago: whatever ``decide`` must not ask for itself.

    What is not in a mapping is not known. Latencies are of the policy's own arms.
    """

    now: float
    """Unix seconds."""
    health: Health = ALL_WELL
    """Which models had better not be called now, as their calls went."""
    unhealthy: Mapping[str, str] = field(default_factory=dict)
    """The same as a case writes it: names of models or of whole upstreams, each with the reason."""
    latencies: Latencies = NOTHING_KNOWN
    calls_under_way: Mapping[str, int] = field(default_factory=dict)
    """By upstream."""
    queue_depths: Mapping[str, int] = field(default_factory=dict)
    """Requests that wait at an upstream, where it tells."""
    remaining_budget: Usd | None = None
    """What the tightest budget of the key and its team leaves; None without a budget."""
    sticky_arm: str | None = None
    """The arm that the conversation has been answered by."""
    may_explore_dearer: bool = True
    """Whether today's money for exploring dearer arms is not spent yet."""
    canary_bucket: float = 1.0
    """The conversation's place among all, from 0 up to 1; 1 takes part in no canary."""


def recorded(facts: Facts, snapshots: Snapshots) -> dict[str, Any]:
    """What was decided from, as decisions keep it and cases write it; what has its usual value is left out.

    No prompt is in it. Latencies and health are not either: they are the world's and not the ask's.
    """
    demand, prediction, key = facts.demand, facts.prediction, facts.key
    hints = demand.hints
    document: dict[str, Any] = {
        "category": prediction.category,
        "confidence": prediction.confidence,
        "source": prediction.source,
        "tokens": facts.prompt_tokens,
        "tokens_at_most": demand.prompt_tokens_at_most,
        "turns": facts.turns,
        "key": key.id,
        "key_name": key.name,
        "hour": int(snapshots.now // 3600) % 24,
    }
    if prediction.success:
        document["success"] = {str(name): share for name, share in prediction.success.items()}
    for name, value in (
        ("difficulty", prediction.difficulty),
        ("output_tokens", demand.output_tokens_asked),
        ("team", key.team_id),
        ("team_name", key.team_name),
        ("deadline_s", hints.deadline_s),
        ("max_cost_usd", hints.max_cost_usd),
        ("stored_at", facts.stored_at),
        ("sticky_arm", snapshots.sticky_arm),
        ("remaining_budget_usd", snapshots.remaining_budget),
        ("queue_depth", max(snapshots.queue_depths.values()) if snapshots.queue_depths else None),
    ):
        if value is not None:
            document[name] = float(value) if isinstance(value, Decimal) else value
    for name, is_so in (
        ("tools", facts.has_tools),
        ("images", facts.has_images),
        ("schema", facts.has_schema),
        ("stream", facts.is_stream),
        ("tool_turn", facts.is_tool_turn),
        ("may_override", key.may_override),
    ):
        if is_so:
            document[name] = True
    if hints.tags:
        document["tag"] = dict(hints.tags)
    if demand.candidates != 1:
        document["candidates"] = demand.candidates
    if demand.web_searches_at_most:
        document["web_searches"] = demand.web_searches_at_most
    if demand.service_tier != "default":
        document["service_tier"] = demand.service_tier
    return document
