"""Tests of gateway/background/late.py: lines that a provider answered in a batch of its own."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.background.late import LateAsk, at_batch_price, request_id_of, settled
from gateway.domain.background import Job, JobState
from gateway.domain.model import Model
from gateway.domain.money import ZERO, usd
from gateway.domain.pricing import Price, per_mtok
from gateway.domain.record import Result
from gateway.http.dialects import ENDPOINTS
from gateway.http.door import read_ask
from gateway.ports import BatchResult
from gateway.wiring import CODECS

CHAT = ENDPOINTS["/v1/chat/completions"]
JOB = Job(
    "batch_req_1_1", "k1", CHAT.path, "m", b'{"model": "m", "max_tokens": 9}', 1_795_000_000.5, 1_795_086_400.5,
    batch_id="batch_1", line=1, custom_id="a",
)  # fmt: skip
FULL = per_mtok(input_per_mtok=Decimal(10), output_per_mtok=Decimal(20))
HALF = per_mtok(input_per_mtok=Decimal(5), output_per_mtok=Decimal(10))
MODEL = Model("m", "up", "gpt", Price(FULL.standard, {"batch": HALF.standard}))
ANSWER = {"id": "chatcmpl-1", "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}


def _late(model: Model = MODEL, **changes: Any) -> LateAsk:
    ask = read_ask(JOB.body, {}, endpoint=CHAT, request_id="", started_at=JOB.created_at, started=0.0)
    late = LateAsk(JOB, ask, at_batch_price(model) or model, CHAT.dialect, b"", 9, {}, {}, stores_text=False)
    return replace(late, **changes)


def _settled(result: BatchResult, model: Model = MODEL) -> tuple[object, ...]:
    record = (line := settled(_late(model), result, CHAT, CODECS, now=1_795_003_600.5)).record
    return line.outcome.state, record.result, record.status, record.cost, record.is_cost_complete


def test_an_answer_costs_the_price_of_batches() -> None:
    """Its tokens are those that the provider counted, at the rates of the batch tier."""
    result = BatchResult(JOB.id, 200, json.dumps(ANSWER).encode())
    assert _settled(result) == (JobState.COMPLETED, Result.ANSWERED, 200, usd("0.0006"), True)


def test_a_refusal_costs_nothing() -> None:
    """What the provider refused is on record with its status, and free."""
    result = BatchResult(JOB.id, 400, b'{"error": {"message": "no"}}')
    assert _settled(result) == (JobState.FAILED, Result.REFUSED, 400, ZERO, True)


def test_an_answer_without_counts_has_no_known_cost() -> None:
    """Nobody knows what it cost, and the record says so."""
    result = BatchResult(JOB.id, 200, b'{"id": "chatcmpl-1"}')
    assert _settled(result) == (JobState.COMPLETED, Result.ANSWERED, 200, ZERO, False)


def test_a_model_without_a_batch_price_has_none() -> None:
    """No discount is assumed: a model whose price lists no batches is not charged as if it did."""
    assert at_batch_price(replace(MODEL, price=FULL)) is None
    assert at_batch_price(replace(MODEL, price=None)) is None


@given(st.text(), st.floats(min_value=0, max_value=2**40))
def test_a_line_has_one_request_id(job_id: str, created_at: float) -> None:
    """It is a UUIDv7 that follows from the line alone."""
    job = replace(JOB, id=job_id.encode("utf-8", "replace").decode(), created_at=created_at)
    identity = uuid.UUID(request_id_of(job))
    assert (identity.version, identity.variant) == (7, uuid.RFC_4122)
    assert request_id_of(job) == str(identity)
    assert request_id_of(replace(job, id=f"{job.id}x")) != str(identity)
