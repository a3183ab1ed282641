"""A line that its provider answered in a batch of its own: what it cost, as a record and as the line's end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.dialects.codec import Codec
from gateway.dialects.json_bytes import dumps, loads
from gateway.domain.ask import Ask, Endpoint
from gateway.domain.background import Job, JobState, Outcome
from gateway.domain.chat import Dialect
from gateway.domain.identity import named_request_id
from gateway.domain.model import Model
from gateway.domain.money import ZERO, Usd
from gateway.domain.plan import Plan
from gateway.domain.pricing import cost
from gateway.domain.record import CallRecord, RequestRecord, Result, StoredText
from gateway.domain.usage import Usage
from gateway.errors import Unpriced
from gateway.ports import BatchResult

BATCH_TIER = "batch"
"""The service tier under which prices and records name a provider's batches."""

_OK = 200


@dataclass(frozen=True, slots=True)
class LateAsk:
    """A line as it goes to its provider. ``model`` has the price of batches, if it has one.

    ``output_tokens`` is the most that its answers may have together. ``plan`` is that of an arm, ``degraded`` what
    of it could not be done.
    """

    job: Job
    ask: Ask
    model: Model
    dialect: Dialect
    body: bytes
    output_tokens: int
    requested: Mapping[str, Any]
    sent: Mapping[str, Any]
    stores_text: bool
    plan: Plan | None = None
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SettledLine:
    """A line's record and its end."""

    record: RequestRecord
    outcome: Outcome


def at_batch_price(model: Model) -> Model | None:
    """The model as its provider's batches charge for it; None where no price for them is known."""
    tier = model.price.tiers.get(BATCH_TIER) if model.price is not None else None
    if model.price is None or tier is None:
        return None
    return replace(model, price=replace(model.price, standard=tier, tiers={}, off_peak=None))


def request_id_of(job: Job) -> str:
    """The id of a line's one request, a UUIDv7 of its batch's moment: the same whenever it is asked for.

    So a line that is settled twice, since a process ended in between, is on record once.
    """
    return named_request_id(job.created_at, job.id)


def settled(
    late: LateAsk, result: BatchResult, endpoint: Endpoint, codecs: Mapping[Dialect, Codec], *, now: float
) -> SettledLine:
    """What a line's result means."""
    job, model = late.job, late.model
    is_answered = result.status == _OK
    raw = result.body or b"{}"
    document: Mapping[str, Any] = loads(raw)
    spoken = _dialect_of(document) or endpoint.dialect
    usage = codecs[spoken].find_usage(document) if is_answered else None
    usage = None if usage is None else replace(usage, service_tier=BATCH_TIER)
    amount = _amount(usage, model, now) if is_answered else ZERO
    status = result.status
    error = None if is_answered else f"upstream_refused: the provider's batch answered {status} for this line"
    call = CallRecord(
        attempt=1,
        upstream=model.upstream,
        model=model.upstream_name,
        requested=late.requested,
        sent=late.sent,
        result=Result.ANSWERED if is_answered else Result.REFUSED,
        started_at=job.created_at,
        total_s=now - job.created_at,
        status=status,
        usage=usage,
        cost=amount,
        error=error,
    )
    body = raw
    if is_answered and spoken is not endpoint.dialect:
        body = dumps(codecs[endpoint.dialect].render_answer(codecs[spoken].read_answer(document)))
    record = _record(late, call, endpoint, document if is_answered else {}, body)
    state = JobState.COMPLETED if is_answered else JobState.FAILED
    return SettledLine(record, Outcome(state, status, record.id, body))


def _record(
    late: LateAsk, call: CallRecord, endpoint: Endpoint, answer: Mapping[str, Any], body: bytes
) -> RequestRecord:
    job = late.job
    answer_id = answer.get("id")
    return RequestRecord(
        id=request_id_of(job),
        started_at=job.created_at,
        key_id=job.key_id,
        dialect=endpoint.dialect,
        endpoint=endpoint.path,
        model_asked=late.ask.model[:200],
        stream=False,
        result=call.result,
        status=call.status or 0,
        cost=call.cost or ZERO,
        is_cost_complete=call.cost is not None,
        total_s=call.total_s,
        first_byte_s=None,
        plan=late.plan,
        calls=(call,),
        degraded=late.degraded,
        answer_id=answer_id if isinstance(answer_id, str) else None,
        error=call.error,
        tags=late.ask.hints.tags,
        text=StoredText(late.ask.raw, body) if late.stores_text else None,
    )


def _dialect_of(answer: Mapping[str, Any]) -> Dialect | None:
    """The dialect of an answer in which it is not its line's own; None for chat completions, embeddings and errors."""
    if answer.get("object") == "response":
        return Dialect.OPENAI_RESPONSES
    return Dialect.ANTHROPIC_MESSAGES if answer.get("type") == "message" else None


def _amount(usage: Usage | None, model: Model, at: float) -> Usd | None:
    """What an answer cost; None when nobody can know."""
    if usage is None or model.price is None:
        return None
    try:
        return cost(usage, model.price, at=at)
    except Unpriced:  # a web search that the price has no fee for
        return None
