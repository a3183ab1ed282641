"""``GET /v1/requests/{id}``: the decision record of one request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response

from gateway.dialects.json_bytes import dumps
from gateway.domain.identity import id_time
from gateway.domain.money import show
from gateway.domain.outcome import Outcome
from gateway.domain.plan import Plan
from gateway.domain.record import CallRecord, RequestRecord
from gateway.domain.search_record import SearchRecord
from gateway.domain.usage import Usage
from gateway.errors import NotFound
from gateway.flow.house import House
from gateway.http.access import admitted
from gateway.http.openapi import UNAUTHENTICATED, refusals


class OutcomeLog(Protocol):
    """Where outcomes can be read."""

    async def of_request(self, request_id: str, begun_at: float, *, key_id: str) -> Sequence[Outcome]: ...


class RequestLog(Protocol):
    """Where finished requests can be read."""

    async def find(self, request_id: str) -> RequestRecord | None: ...


def router(house: House, log: RequestLog, outcomes: OutcomeLog) -> APIRouter:
    """The records of ``log`` and what is known of their answers, for the key that made the request and for roles."""
    routes = APIRouter(tags=["requests"])

    @routes.get(
        "/v1/requests/{request_id}",
        summary="What was asked, decided, sent, spent and got",
        responses=refusals({401: UNAUTHENTICATED, 404: "The key made no request with this id"}),
    )
    async def find_request(request_id: str, request: Request) -> Response:
        key = admitted(request, house)
        record = await log.find(request_id)
        is_visible = record is not None and (record.key_id == key.id or key.role is not None)
        if record is None or not is_visible:
            raise NotFound(
                "no request with this id was made with this key; the id is in the answer's x-ponder-request-id header"
            )
        begun_at = id_time(record.id)
        known = () if begun_at is None else await outcomes.of_request(record.id, begun_at, key_id=record.key_id)
        return Response(dumps(as_json(record, known)), media_type="application/json")

    return routes


def as_json(record: RequestRecord, outcomes: Sequence[Outcome] = ()) -> dict[str, Any]:
    """The record as the API shows it: money as decimal text, times in seconds."""
    return {
        "id": record.id,
        "started_at": _time(record.started_at),
        "key": record.key_id,
        "endpoint": record.endpoint,
        "dialect": record.dialect.value,
        "model_asked": record.model_asked,
        "stream": record.stream,
        "result": record.result.value,
        "status": record.status,
        "finish": record.finish,
        "error": record.error,
        "cost_usd": show(record.cost),
        "is_cost_complete": record.is_cost_complete,
        "charged_usd": show(record.charge),
        "first_byte_s": _seconds(record.first_byte_s),
        "total_s": _seconds(record.total_s),
        "answer_id": record.answer_id,
        "degraded": list(record.degraded),
        "tags": dict(record.tags),
        "plan": None if record.plan is None else _plan(record.plan),
        "calls": [_call(call) for call in record.calls],
        "search": None if record.search is None else _search(record.search),
        "outcomes": [_outcome(outcome) for outcome in outcomes],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "source": outcome.source,
        "score": outcome.score,
        "at": _time(outcome.at),
        "by": outcome.key_id,
        "weight": outcome.weight,
        "probability": outcome.probability,
        "comment": outcome.comment,
    }


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "arm": plan.arm.name,
        "model": plan.arm.model,
        "strategy": plan.arm.strategy.value,
        "effort": plan.arm.effort,
        "thinking_tokens": plan.arm.thinking_tokens,
        "ceilings": {
            "cost_usd": None if plan.ceilings.cost is None else show(plan.ceilings.cost),
            "output_tokens": plan.ceilings.output_tokens,
            "deadline_s": plan.ceilings.deadline_s,
        },
        "reasons": list(plan.reasons),
        "dropped": [{"option": option.option, "reason": option.reason} for option in plan.dropped],
        "policy": plan.policy,
        "policy_digest": plan.policy_digest,
        "profile_version": plan.profile_version,
        "category": plan.category,
        "difficulty": plan.difficulty,
        "propensities": dict(plan.propensities),
        "rule": plan.rule,
        "fallbacks": [arm.name for arm in plan.fallbacks],
        "estimated_cost_usd": None if plan.estimated_cost is None else show(plan.estimated_cost),
        "is_observed": plan.is_observed,
        "facts": dict(plan.facts),
    }


def _search(search: SearchRecord) -> dict[str, Any]:
    return {
        "strategy": search.strategy,
        "seed": search.seed,
        "verifier": search.verifier,
        "reason": search.reason,
        "confidence": search.confidence,
        "draws": [
            {
                "draw": draw.draw,
                "parent": draw.parent,
                "kept_steps": draw.kept_steps,
                "role": draw.role,
                "model": draw.model,
                "fate": draw.fate.value,
                "tokens": draw.tokens,
                "cost_usd": show(draw.cost),
                "scores": list(draw.scores),
                "agrees_with": draw.agrees_with,
                "is_chosen": draw.is_chosen,
            }
            for draw in search.draws
        ],
    }


def _call(call: CallRecord) -> dict[str, Any]:
    return {
        "attempt": call.attempt,
        "upstream": call.upstream,
        "model": call.model,
        "requested": dict(call.requested),
        "sent": dict(call.sent),
        "spent": None if call.usage is None else _usage(call.usage),
        "result": call.result.value,
        "status": call.status,
        "error": call.error,
        "cost_usd": None if call.cost is None else show(call.cost),
        "first_byte_s": _seconds(call.first_byte_s),
        "total_s": _seconds(call.total_s),
        "upstream_request_id": call.upstream_request_id,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "source": usage.source.value,
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        "output_tokens": usage.output_tokens,
        "thinking_tokens": usage.thinking_tokens,
        "service_tier": usage.service_tier,
        "raw": dict(usage.raw),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _seconds(value: float | None) -> float | None:
    return None if value is None else float(round(Decimal(value), 6))
