"""Deciding how an ask is answered: by the model that it names, by an arm, or as a policy finds best."""

from __future__ import annotations

from dataclasses import replace

from gateway.dialects.asked import prompt_of
from gateway.dialects.conversation_id import standing
from gateway.domain.arm import Arm
from gateway.domain.ask import Ask, Operation
from gateway.domain.key import Key, may_follow, may_use
from gateway.domain.model import Model
from gateway.domain.plan import Plan
from gateway.domain.sticky import Turn, share_point
from gateway.errors import Forbidden, InvalidRequest, PonderError, UnknownModel
from gateway.flow.balance import budget_left
from gateway.flow.classifying import predict
from gateway.flow.demand import bounded
from gateway.flow.exchange import Exchange
from gateway.flow.house import ActivePolicy, Catalog
from gateway.flow.route import Route, route_to
from gateway.flow.stored import check_stored
from gateway.policy.decide import decide
from gateway.policy.exploring import explored_from, extra_cost
from gateway.policy.facts import Facts, Snapshots
from gateway.policy.named import plan_arm
from gateway.policy.pinned import plan_pinned

AUTO = "auto"
_POLICY, _ARM = "auto:", "arm:"
_LISTED_MODELS = 40


async def plan_route(exchange: Exchange) -> Route:
    """Decide, and prepare the first call. Raises PonderError where nothing can answer the ask."""
    ask, catalog = exchange.ask, exchange.catalog
    await check_stored(exchange)
    model = catalog.models.get(ask.model)
    if model is None and is_decided_by_policy(ask.model):
        plan = await _decided(exchange)
        return await _follow(exchange, plan)
    model = find_model(ask, exchange.key, catalog)
    demand = bounded(exchange.demand, ask) if ask.hints.max_cost_usd is not None else exchange.demand
    exchange.plan = plan_pinned(model, demand, catalog.defaults)
    observing = catalog.policies.get(exchange.key.policy or catalog.default_policy)
    is_question_of_ours = exchange.wish is not None
    if (
        observing is not None
        and observing.ready.is_observed
        and ask.endpoint.operation is Operation.CHAT
        and not is_question_of_ours
    ):
        await _observe(exchange, observing)
    return await route_to(exchange, model, exchange.plan.arm)


def is_decided_by_policy(model: str) -> bool:
    """Whether this name of a model leaves it to a policy, unless a model is configured under it."""
    return model == AUTO or model.startswith((_POLICY, _ARM))


async def decide_again(exchange: Exchange) -> Route:
    """Another decision, after the money for the first could not be had. Raises BudgetExhausted where nothing fits."""
    before = exchange.plan.arm.name if exchange.plan is not None else ""
    exchange.degraded.clear()
    exchange.answered_by = None
    plan = await _decided(exchange, knows_budget=True)
    if plan.arm.name != before:
        exchange.degraded.append(f"{plan.arm.name} instead of {before}: the budget leaves no more")
    return await _follow(exchange, plan)


async def _follow(exchange: Exchange, plan: Plan) -> Route:
    """The call to the plan's arm, or to the first of its fallbacks whose provider can be told what the ask says."""
    exchange.plan = plan
    limit, model = plan.ceilings.output_tokens, model_of(exchange, plan.arm)
    if (
        exchange.demand.output_tokens_asked is None
        and limit is not None
        and limit < (model.max_output_tokens or limit + 1)
    ):
        exchange.remark(f"capped: {limit} output tokens are what the cost ceiling leaves")
    if exchange.ask.hints.verify is not None and not exchange.is_search:
        exchange.remark("verify not used: the answer of a single call is not checked")
    is_tool_turn = plan.facts.get("tool_turn", False)
    exchange.fallbacks = [] if is_tool_turn else list(plan.fallbacks)  # a tool loop is not rerouted
    try:
        return await route_to(exchange, model, _first_arm(exchange, plan.arm))
    except InvalidRequest as first:
        while exchange.fallbacks:
            arm = exchange.fallbacks.pop(0)
            exchange.plan = plan.falling_back_to(arm)
            exchange.degraded[:] = [f"{arm.name} instead of {plan.arm.name}: {first.message}"]
            try:
                route = await route_to(exchange, model_of(exchange, arm), arm)
            except InvalidRequest:
                continue
            exchange.answered_by = arm
            return route
        exchange.plan = plan
        raise


def model_of(exchange: Exchange, arm: Arm) -> Model:
    """The model that an arm's calls go to, the first of a cascade's."""
    first = _first_arm(exchange, arm)
    assert first.model is not None  # noqa: S101  a cascade leads to an arm with a model
    return exchange.catalog.models[first.model]


def _first_arm(exchange: Exchange, arm: Arm) -> Arm:
    """The arm that is asked first: itself, or of a cascade the cheapest."""
    while arm.cascade:
        assert exchange.policy is not None  # noqa: S101  only a policy has cascades
        arm = exchange.policy.ready.arms[arm.cascade[0]].arm
    return arm


def find_model(ask: Ask, key: Key, catalog: Catalog) -> Model:
    """The configured model asked for.

    Raises :class:`Forbidden` when the key may not use it, or :class:`UnknownModel` when there is
    none; both list those that the key may use.
    """
    model = catalog.models.get(ask.model)
    if model is not None and may_use(key, model.name):
        return model
    names = sorted(name for name in catalog.models if may_use(key, name))
    listed = ", ".join(names[:_LISTED_MODELS]) + (
        ", … (GET /v1/models lists all)" if len(names) > _LISTED_MODELS else ""
    )
    if model is not None:
        raise Forbidden(f"this key may not use the model asked for; it may use: {listed or 'none'}", param="model")
    raise UnknownModel(f"the model asked for is not configured; available: {listed or 'none'}", param="model")


def followed(key: Key, catalog: Catalog) -> list[str]:
    """The policies that may decide for a key: those that it is allowed, and its own."""
    return sorted(each for each in catalog.policies if may_follow(key, each) or each == key.policy)


def find_policy(asked: str | None, key: Key, catalog: Catalog) -> ActivePolicy:
    """The policy that an ask names, or its key, or the configuration. Raises UnknownModel or Forbidden."""
    name = asked or key.policy or catalog.default_policy
    policy = catalog.policies.get(name)
    if policy is not None and (name == key.policy or may_follow(key, name)):
        return policy
    listed = ", ".join(followed(key, catalog)) or "none"
    if policy is None:
        raise UnknownModel(f"there is no policy {name[:80]!r}; this key may follow: {listed}", param="model")
    raise Forbidden(f"this key may not follow policy {name!r}; it may follow: {listed}", param="model")


def named_arm(model: str) -> tuple[str | None, str | None]:
    """The policy and the arm that a name speaks of: ``auto``, ``auto:POLICY``, ``arm:NAME`` or ``arm:POLICY/NAME``."""
    if model.startswith(_ARM):
        policy, _, arm = model.removeprefix(_ARM).rpartition("/")
        return policy or None, arm
    return (model.removeprefix(_POLICY) if model.startswith(_POLICY) else None), None


async def _decided(exchange: Exchange, *, knows_budget: bool = False) -> Plan:
    ask = exchange.ask
    if ask.endpoint.operation is Operation.EMBEDDINGS:
        raise InvalidRequest("a policy chooses between models that answer; name the embedding model", param="model")
    asked, name = named_arm(ask.model)
    exchange.policy = policy = find_policy(asked, exchange.key, exchange.catalog)
    facts, snapshots = await _gather(exchange, policy, knows_budget=knows_budget)
    if name is not None:
        return plan_arm(policy.ready, name, facts, snapshots, reason="the request names an arm")
    plan = decide(policy.ready, facts, policy.profile, snapshots, exchange.house.draw())
    if plan.is_observed:
        exchange.observed = plan
        reason = f"policy {policy.ready.name!r} only observes, so its default arm answers"
        return plan_arm(policy.ready, policy.ready.default_arm, facts, snapshots, reason=reason)
    chosen = explored_from(plan)
    if chosen is not None:
        extra = extra_cost(policy.ready, facts, snapshots, chosen, plan.arm.name)
        exchange.house.explored.add(policy.ready, extra, now=snapshots.now)
    return plan


async def _observe(exchange: Exchange, policy: ActivePolicy) -> None:
    """Record what a policy would have done; whatever becomes of that, the ask is served as it is."""
    try:
        facts, snapshots = await _gather(exchange, policy, knows_budget=False)
        exchange.observed = decide(policy.ready, facts, policy.profile, snapshots, exchange.house.draw())
    except PonderError as refusal:
        assert exchange.plan is not None  # noqa: S101  the model that is served has been planned
        reason = f"policy {policy.ready.name!r} would have refused it: {refusal.message}"
        exchange.observed = replace(exchange.plan, policy=policy.ready.name, reasons=(reason,), is_observed=True)


async def _gather(exchange: Exchange, policy: ActivePolicy, *, knows_budget: bool) -> tuple[Facts, Snapshots]:
    ask, key, house = exchange.ask, exchange.key, exchange.house
    now = house.clock.now()
    prompt = prompt_of(ask.endpoint.dialect, ask.body)
    where = standing(ask.endpoint.dialect, key.id, ask.body)
    kept = None if where.continues is None else await house.sticky.get(where.continues)
    if where.ask is not None:
        exchange.turn = Turn(where.ask, where.ask if kept is None else kept.root)
    if exchange.prediction is None:
        # Who only observes asks no model: it would cost the caller time and money.
        may_ask = kept is None and not policy.ready.is_observed
        exchange.prediction = await predict(exchange, policy, prompt, may_ask=may_ask)
    facts = Facts(
        key=key,
        demand=bounded(exchange.demand, ask),
        prediction=exchange.prediction,
        prompt_tokens=prompt.tokens,
        turns=prompt.turns,
        has_tools=prompt.has_tools,
        has_images=prompt.has_images,
        has_schema=prompt.has_schema,
        is_stream=ask.is_stream,
        is_tool_turn=where.is_tool_turn,
        stored_at=exchange.stored_at,
    )
    left = None
    if knows_budget or policy.reads_budget:
        left = await budget_left(key, house.purse, now=now)
    return facts, Snapshots(
        now=now,
        health=house.health.snapshot(),
        latencies=house.latencies.snapshot().of(policy.ready.name),
        calls_under_way=house.lanes.under_way(),
        queue_depths=house.lanes.waiting(),
        remaining_budget=left,
        sticky_arm=kept.arm if kept is not None and kept.policy == policy.ready.name else None,
        may_explore_dearer=house.explored.has_left(policy.ready, now=now),
        canary_bucket=_bucket(exchange.turn, policy, key),
    )


def _bucket(turn: Turn | None, policy: ActivePolicy, key: Key) -> float:
    """The conversation's place in the canaries of this policy; one that cannot be told takes part in none."""
    if policy.profile is None or turn is None:
        return 1.0
    return share_point(turn.root, f"{policy.ready.name}/{key.id}")
