"""Lines that a provider is to answer later: the model that each goes to, and what is asked of it there.

A line names a model, or an arm of a policy that makes a single call to one. An arm's line is planned and put into its
provider's words as a live request of it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.background.late import LateAsk, at_batch_price
from gateway.dialects.asked import prompt_of
from gateway.dialects.json_bytes import dumps, splice
from gateway.domain.ask import Ask, Endpoint, Operation
from gateway.domain.background import Job
from gateway.domain.chat import Dialect
from gateway.domain.key import Key, may_take, may_use
from gateway.domain.model import Model
from gateway.errors import InvalidRequest, PonderError, Unauthenticated, UnknownModel
from gateway.flow.classifying import predict
from gateway.flow.deciding import find_policy, is_decided_by_policy, named_arm, plan_route
from gateway.flow.demand import demand_of
from gateway.flow.effort_fields import effort_fields
from gateway.flow.exchange import Exchange
from gateway.flow.house import Catalog, House
from gateway.http.dialects import ENDPOINTS
from gateway.http.door import read_ask
from gateway.ports import BatchApi

PATHS: Final = {each.dialect: path for path, each in ENDPOINTS.items() if each.operation is Operation.CHAT}
"""Where each dialect is spoken, which is what a batch at a provider names as its endpoint."""


def batch_api(catalog: Catalog, upstream: str) -> BatchApi | None:
    """The batches of an upstream that is OpenAI itself or speaks Anthropic's dialect; None of all others."""
    server = catalog.upstreams.get(upstream)
    api: BatchApi | None = getattr(server, "batches", None)
    if server is None or api is None:
        return None
    is_own = catalog.terms[upstream].is_openai or Dialect.ANTHROPIC_MESSAGES in server.dialects
    return api if is_own else None


def late_model(name: str, key: Key, catalog: Catalog) -> Model | None:
    """The model that lines for this name go to: one that is called so, or that of an arm that calls it once.

    None for all others, and where the key may not use it.
    """
    model = catalog.models.get(name)
    if model is None and is_decided_by_policy(name):
        model = _model_of_arm(name, key, catalog)
    return model if model is not None and may_use(key, model.name) else None


def _model_of_arm(name: str, key: Key, catalog: Catalog) -> Model | None:
    policy_name, arm_name = named_arm(name)
    if arm_name is None:
        return None
    try:
        policy = find_policy(policy_name, key, catalog)
    except PonderError:
        return None
    arm = policy.ready.arms.get(arm_name)
    is_single = arm is not None and arm.problem is None and not arm.is_search
    return arm.legs[0].model if arm is not None and is_single and may_take(key, arm_name) else None


async def late_ask(job: Job, endpoint: Endpoint, key: Key | None, house: House) -> LateAsk:
    """The line as its provider is asked it. Raises PonderError where it can be answered by a live call alone.

    ``key`` is None for one that is not valid any more, whose lines for an arm are no one's to plan.
    """
    ask = _read(job, endpoint)
    if house.catalog.models.get(ask.model) is None and is_decided_by_policy(ask.model):
        if key is None:
            raise Unauthenticated("the key of the batch is not valid any more")
        return await _of_arm(job, ask, key, house)
    if job.model not in house.catalog.models:
        raise UnknownModel("a model of the batch is not configured any more")
    return plain_ask(job, endpoint, house, upstream="")


def plain_ask(job: Job, endpoint: Endpoint, house: House, *, upstream: str) -> LateAsk:
    """The line as its model is asked it, whatever policies say.

    A model that is not configured any more has no price, and was at this upstream.
    """
    ask, catalog = _read(job, endpoint), house.catalog
    model = catalog.models.get(job.model) or Model(job.model, upstream, job.model, None)
    told = effort_fields(ask.body)
    return LateAsk(
        job=job,
        ask=ask,
        model=at_batch_price(model) or model,
        dialect=endpoint.dialect,
        body=splice(ask.raw, {"model": model.upstream_name}),
        output_tokens=0 if endpoint.operation is Operation.EMBEDDINGS else _most(ask, model, None),
        requested=told,
        sent=told,
        stores_text=catalog.stores_text,
    )


def _read(job: Job, endpoint: Endpoint) -> Ask:
    """What a line asks; of one that has ended, and whose body is gone, only of which model."""
    body = job.body or dumps({"model": job.model})
    return read_ask(body, {}, endpoint=endpoint, request_id="", started_at=job.created_at, started=0.0)


async def _of_arm(job: Job, ask: Ask, key: Key, house: House) -> LateAsk:
    exchange = Exchange(ask, key, replace(house, tracer=None))
    policy = find_policy(named_arm(ask.model)[0], key, exchange.catalog)
    prompt = prompt_of(ask.endpoint.dialect, ask.body)
    # No model is asked what kind of ask it is: that would be a live call for every line.
    exchange.prediction = await predict(exchange, policy, prompt, may_ask=False)
    route = await plan_route(exchange)
    model = exchange.model
    if exchange.is_search or model is None or model.name != job.model or route.tags is not None:
        raise InvalidRequest("the arm is another by now, or makes more than one call, as no provider's batch does")
    assert exchange.plan is not None  # noqa: S101  a route is planned
    return LateAsk(
        job=job,
        ask=ask,
        model=at_batch_price(model) or model,
        dialect=route.dialect,
        body=route.body,
        output_tokens=_most(ask, model, exchange.plan.ceilings.output_tokens),
        requested=route.requested,
        sent=route.sent,
        plan=exchange.recorded_plan,
        degraded=tuple(exchange.degraded),
        stores_text=exchange.stores_text,
    )


def _most(ask: Ask, model: Model, planned: int | None) -> int:
    demand = demand_of(ask)
    return (demand.output_tokens_asked or planned or model.max_output_tokens or 0) * demand.candidates
