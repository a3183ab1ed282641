"""Whether an arm is an option for an ask: allowed, able, within the ceilings, and at an upstream that works."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from gateway.domain.bound import as_usd
from gateway.domain.construction import quick_value
from gateway.domain.key import may_take, may_use
from gateway.domain.money import show
from gateway.policy.arms import LEAST_OUTPUT_TOKENS, ReadyArm
from gateway.policy.facts import Facts, Snapshots

_STANDARD_TIERS: Final = frozenset({"default", "standard", "standard_only", "on_demand"})


class Stage(IntEnum):
    """How far an arm came before it was dropped. What is mended at the last stage reached is worth telling."""

    UNCONFIGURED = 0
    FORBIDDEN = 1
    UNABLE = 2
    TOO_DEAR = 3
    TOO_SLOW = 4
    UNHEALTHY = 5


@quick_value
class Drop:
    """Why an arm is not an option."""

    stage: Stage
    reason: str


@quick_value
class Option:
    """An arm that could answer, and the output limit that keeps it under the ceiling; None: the model's own does."""

    arm: ReadyArm
    output_tokens: int | None
    is_capped: bool
    """Whether the limit is lower than what the arm's models can give."""


@quick_value
class Situation:
    """What every arm is held against: the ask, the world, and the ceilings, in atto-dollars and seconds."""

    facts: Facts
    snapshots: Snapshots
    max_cost: int
    deadline_s: float


def examine(arm: ReadyArm, situation: Situation) -> Option | Drop:
    """The arm as an option, or the first thing that speaks against it, from what never changes to what passes."""
    if arm.problem is not None:
        return Drop(Stage.UNCONFIGURED, arm.problem)
    facts = situation.facts
    if facts.key.scopes:
        drop = _forbidden(arm, facts)
        if drop is not None:
            return drop
    drop = _unable(arm, facts)
    if drop is not None:
        return drop
    option = _affordable(arm, situation)
    if isinstance(option, Drop):
        return option
    snapshots = situation.snapshots
    if facts.is_tool_turn and snapshots.sticky_arm == arm.arm.name:
        return option  # a tool loop goes on where it began, however that fares: another could not read its signatures
    if snapshots.latencies.slowest_p95_s > situation.deadline_s:
        drop = _too_slow(arm, option, situation)
        if drop is not None:
            return drop
    if snapshots.health.faults or snapshots.unhealthy:
        drop = _unhealthy(arm, snapshots)
        if drop is not None:
            return drop
    return option


def _forbidden(arm: ReadyArm, facts: Facts) -> Drop | None:
    key = facts.key
    if not all(may_take(key, name) for name in (arm.arm.name, *arm.arm.cascade)):
        return Drop(Stage.FORBIDDEN, "not allowed to this key")
    for leg in arm.legs:
        if not may_use(key, leg.model.name):
            return Drop(Stage.FORBIDDEN, f"model {leg.model.name} is not allowed to this key")
    return None


def _unable(arm: ReadyArm, facts: Facts) -> Drop | None:
    if arm.is_search:
        if facts.has_tools:
            return Drop(Stage.UNABLE, "a search ends in one text and cannot call tools")
        if facts.demand.candidates > 1:
            return Drop(Stage.UNABLE, f"a search ends in one answer, and n is {facts.demand.candidates}")
    asked = facts.demand.output_tokens_asked
    for leg in arm.legs:
        model = leg.model
        capability = model.capability
        if facts.stored_at not in (None, model.upstream):
            return Drop(
                Stage.UNABLE,
                f"previous_response_id is stored at upstream {facts.stored_at}, and model {model.name} is at "
                f"{model.upstream}",
            )
        # Which API it would be asked in is its upstream's to say; what holds in any of them is known here.
        obstacle = capability.obstacle(is_chat=False, has_tools=facts.has_tools, is_stream=facts.is_stream)
        if obstacle is not None:
            return Drop(Stage.UNABLE, f"model {model.name} {obstacle}")
        if facts.has_images and capability.takes_images is False:
            return Drop(Stage.UNABLE, f"model {model.name} takes no images")
        if asked is not None and model.max_output_tokens is not None and asked > model.max_output_tokens:
            return Drop(
                Stage.UNABLE,
                f"{asked} output tokens were asked for; model {model.name} gives {model.max_output_tokens}",
            )
        if model.context_tokens is not None:
            needed = facts.prompt_tokens + (LEAST_OUTPUT_TOKENS if asked is None else asked)
            if needed > model.context_tokens:
                return Drop(
                    Stage.UNABLE,
                    f"prompt and answer need about {needed} tokens; model {model.name} holds {model.context_tokens}",
                )
    return None


def _affordable(arm: ReadyArm, situation: Situation) -> Option | Drop:
    """The arm under the cost ceiling, its output limited to what the ceiling leaves where the ask sets no limit.

    Of a search one whole draw of each model must fit: it holds every further one against the ceiling itself.
    """
    demand = situation.facts.demand
    asked = demand.output_tokens_asked
    is_standard = demand.service_tier in _STANDARD_TIERS
    fixed = per_token = worst = longest = 0
    for leg in arm.legs:
        longest = max(longest, leg.max_output_tokens)
        bound = leg.standard if is_standard else leg.any_tier
        if bound is None:  # no price, and the operator lets it be served
            continue
        length = demand.prompt_tokens_at_most
        if leg.model.context_tokens is not None and leg.model.context_tokens < length:
            length = leg.model.context_tokens
        rates = bound.at(length)
        fixed += leg.needed * (length * rates.input + demand.web_searches_at_most * (bound.search or 0))
        each = leg.needed * demand.candidates * rates.output
        per_token += each
        worst += each * (leg.max_output_tokens if asked is None else asked)
    if arm.readers:
        read, reread = _reading(arm, situation, longest if asked is None else asked)
        fixed += read
        per_token += reread
        worst += reread * (longest if asked is None else asked)
    if fixed + worst <= situation.max_cost:
        if asked is not None or arm.is_output_bounded:
            return Option(arm, asked, is_capped=False)
        return Option(arm, longest, is_capped=False)
    if asked is not None:
        return _too_dear(arm, fixed + worst, situation)
    room = (situation.max_cost - fixed) // per_token if per_token else 0
    if room < arm.least_output_tokens:
        return _too_dear(arm, fixed + per_token * arm.least_output_tokens, situation)
    return Option(arm, min(room, longest), is_capped=True)


def _reading(arm: ReadyArm, situation: Situation, answer_tokens: int) -> tuple[int, int]:
    """What an arm's verifiers cost at most: for the prompt that they read, and for each token of the answer."""
    demand = situation.facts.demand
    is_standard = demand.service_tier in _STANDARD_TIERS
    fixed = per_token = 0
    for leg in arm.readers:
        bound = leg.standard if is_standard else leg.any_tier
        if bound is not None:
            rate = bound.at(demand.prompt_tokens_at_most + answer_tokens).input
            fixed += leg.needed * demand.prompt_tokens_at_most * rate
            per_token += leg.needed * rate
    return fixed, per_token


def _too_dear(arm: ReadyArm, least: int, situation: Situation) -> Drop:
    what = "one draw of each of its models may cost" if arm.is_search else "may cost"
    ceiling = show(as_usd(situation.max_cost))
    return Drop(Stage.TOO_DEAR, f"{what} up to ${show(as_usd(least))}, and the ceiling is ${ceiling}")


def _too_slow(arm: ReadyArm, option: Option, situation: Situation) -> Drop | None:
    p95_s = _p95_s(arm, situation, None)
    if p95_s is not None and p95_s > situation.deadline_s and option.output_tokens is not None:
        # An output limit can only shorten an answer; it is looked up where that may save the arm.
        p95_s = _p95_s(arm, situation, option.output_tokens)
    if p95_s is None or p95_s <= situation.deadline_s:
        return None
    return Drop(
        Stage.TOO_SLOW,
        f"one in twenty of its answers takes over {p95_s:.3g} s, and the deadline is {situation.deadline_s:g} s",
    )


def _unhealthy(arm: ReadyArm, snapshots: Snapshots) -> Drop | None:
    for leg in (*arm.legs, *arm.readers):
        model = leg.model
        fault = snapshots.health.fault_of(model)
        if fault is not None:
            return Drop(Stage.UNHEALTHY, f"{model.name} is not to be called now: {fault}")
        for name in (model.name, model.upstream):
            fault = snapshots.unhealthy.get(name)
            if fault is not None:
                return Drop(Stage.UNHEALTHY, f"{name} is not to be called now: {fault}")
    return None


def _p95_s(arm: ReadyArm, situation: Situation, output_tokens: int | None) -> float | None:
    under_way = situation.snapshots.calls_under_way
    known = situation.snapshots.latencies.find(
        arm.arm.name,
        prompt_tokens=situation.facts.prompt_tokens,
        output_tokens_at_most=output_tokens,
        calls_under_way=1 + max(under_way.get(leg.model.upstream, 0) for leg in arm.legs),
    )
    return None if known is None else known.total_p95_s
