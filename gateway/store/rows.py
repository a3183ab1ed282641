"""Records as rows, and rows as records.

Writing shares a core with serving, so rows are tuples in the order of the table's columns and hold
what the driver takes, without a type conversion per value in between. Reading goes through the
types of :mod:`gateway.store.columns`; a test holds the two together.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import orjson
from sqlalchemy import RowMapping

from gateway.domain.arm import Arm, Strategy
from gateway.domain.chat import Dialect
from gateway.domain.money import from_nanos, to_nanos, usd
from gateway.domain.plan import Ceilings, Dropped, Plan
from gateway.domain.prediction import Anchor
from gateway.domain.record import CallRecord, RequestRecord, Result, StoredText
from gateway.domain.search_record import Fate, SearchDraw, SearchRecord
from gateway.domain.usage import Usage, UsageSource
from gateway.store.base import Unstorable

Row: TypeAlias = tuple[Any, ...]

_MINUTE_S = 60.0
_UUID_BYTES = 16
_LARGEST_INTEGER = 2**63 - 1
_LONGEST_ANSWER_ID = 512
"""Indexed, and PostgreSQL indexes no text beyond 2,700 bytes."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a driver takes ids and times."""

    identity: Callable[[str], str]
    moment: Callable[[float], object]


def _hexadecimal(identity: str) -> str:
    digits = identity.replace("-", "")
    if len(bytes.fromhex(digits)) != _UUID_BYTES:
        raise Unstorable("a request id is not a UUID")
    return digits


def _text_moment(seconds: float) -> str:
    whole = math.floor(seconds)
    micros = round((seconds - whole) * 1_000_000)
    if micros == _MICROS:
        whole, micros = whole + 1, 0
    return f"{_text_second(whole)}.{micros:06d}"


@lru_cache(maxsize=64)
def _text_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


_MICROS = 1_000_000


def _aware_moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


SQLITE = Form(identity=_hexadecimal, moment=_text_moment)
POSTGRES = Form(identity=str, moment=_aware_moment)


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of some records, by table; ``marks`` has one for each minute that they began in."""

    requests: list[Row]
    draws: list[Row]
    texts: list[Row]
    marks: list[Row]


def empty_batch() -> Batch:
    """A batch without rows, to be filled by :func:`add_rows`."""
    return Batch([], [], [], [])


def add_marks(batch: Batch, records: Iterable[RequestRecord], form: Form) -> None:
    """Add what says that the sums of the records' minutes are out of date (``gateway/store/rollups.py``)."""
    identity = form.identity(str(uuid.uuid4()))
    minutes = {record.started_at // _MINUTE_S * _MINUTE_S for record in records}
    batch.marks.extend((form.moment(minute), identity) for minute in sorted(minutes))


def add_rows(batch: Batch, records: Iterable[RequestRecord], form: Form) -> None:
    """Add the rows of ``records``; raises :class:`Unstorable` when a value has no form in the database."""
    try:
        for record in records:
            _add(batch, record, form)
    except (TypeError, ValueError, OverflowError) as fault:
        raise Unstorable(f"{type(fault).__name__} while a record was made into rows") from None


_NO_PLAN = (None,) * 5


def _add(batch: Batch, record: RequestRecord, form: Form) -> None:
    started_at = form.moment(record.started_at)
    identity = form.identity(record.id)
    plan = record.plan
    batch.requests.append(
        (
            started_at,
            identity,
            record.key_id,
            record.dialect.value,
            record.endpoint,
            record.model_asked,
            record.stream,
            record.result.value,
            record.status,
            to_nanos(record.cost),
            record.is_cost_complete,
            record.total_s,
            record.first_byte_s,
            *(_NO_PLAN if plan is None else (plan.policy, plan.arm.name, plan.category, plan.difficulty, _json(plan))),
            _json(record.degraded) if record.degraded else "[]",
            record.answer_id,
            record.finish,
            record.error,
            _json(record.tags) if record.tags else "{}",
            None if record.charged is None else to_nanos(record.charged),
            None if record.search is None else _json(record.search),
        )
    )
    for number, call in enumerate(record.calls):
        batch.draws.append((started_at, identity, number, record.key_id, *_call_values(call, form)))
    if record.text is not None:
        text = record.text
        batch.texts.append((started_at, identity, text.request, text.answer, _json(text.draws) if text.draws else None))


_NO_USAGE = (None,) * 13


def _call_values(call: CallRecord, form: Form) -> Row:
    return (
        form.moment(call.started_at),
        call.attempt,
        call.upstream,
        call.model,
        call.result.value,
        call.status,
        call.total_s,
        call.first_byte_s,
        None if call.cost is None else to_nanos(call.cost),
        *(_NO_USAGE if call.usage is None else _usage_values(call.usage)),
        _json(call.requested) if call.requested else "{}",
        _json(call.sent) if call.sent else "{}",
        call.error,
        call.upstream_request_id,
    )


def _usage_values(usage: Usage) -> Row:
    return (
        usage.source.value,
        usage.input_tokens,
        usage.cached_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        usage.output_tokens,
        usage.thinking_tokens,
        usage.audio_input_tokens,
        usage.audio_output_tokens,
        usage.web_searches,
        usage.service_tier,
        usage.reported_cost_usd,
        _json(usage.raw) if usage.raw else "{}",
    )


def _json(value: object) -> str:
    return orjson.dumps(value, _plain).decode()


def _plain(value: object) -> object:
    """A value that JSON has no form for, in one that it has: money becomes decimal text."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_Value = TypeVar("_Value")


def scrub(record: RequestRecord) -> RequestRecord:
    """The record with every value one that both databases can hold.

    Clients and upstreams choose some of the text and numbers. Lone surrogates and NULs become the
    replacement character, integers beyond 64 bits are clamped in columns and kept as text in JSON.
    """
    clean = _scrub_fields(record)
    if clean.answer_id is not None:
        clean = replace(clean, answer_id=clean.answer_id[:_LONGEST_ANSWER_ID])
    return clean


def _scrub_fields(value: _Value) -> _Value:
    changes = {field.name: _scrub_value(getattr(value, field.name)) for field in fields(value)}  # type: ignore[arg-type]
    return replace(value, **changes)  # type: ignore[type-var]


def _scrub_value(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return _scrub_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-_LARGEST_INTEGER, min(value, _LARGEST_INTEGER))
    if isinstance(value, Mapping):
        return _scrub_json(value)
    if isinstance(value, tuple):
        return tuple(_scrub_value(item) for item in value)
    return _scrub_fields(value) if is_dataclass(value) and not isinstance(value, type) else value


def _scrub_json(value: Any) -> Any:
    if isinstance(value, str):
        return _scrub_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) <= _LARGEST_INTEGER else str(value)
    if isinstance(value, Mapping):
        return {_scrub_text(str(key)): _scrub_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub_json(item) for item in value]
    return value


def _scrub_text(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def to_record(request: RowMapping, draws: Iterable[RowMapping], text: RowMapping | None) -> RequestRecord:
    """The record that was written as these rows; times come back to the microsecond."""
    return RequestRecord(
        id=request["id"],
        started_at=request["started_at"],
        key_id=request["key_id"],
        dialect=Dialect(request["dialect"]),
        endpoint=request["endpoint"],
        model_asked=request["model_asked"],
        stream=request["is_stream"],
        result=Result(request["result"]),
        status=request["status"],
        cost=from_nanos(request["cost_nanos"]),
        is_cost_complete=request["is_cost_complete"],
        total_s=request["total_s"],
        first_byte_s=request["first_byte_s"],
        plan=None if request["plan"] is None else to_plan(request["plan"]),
        calls=tuple(_to_call(draw) for draw in draws),
        degraded=tuple(request["degraded"]),
        answer_id=request["answer_id"],
        finish=request["finish"],
        error=request["error"],
        tags=request["tags"],
        charged=None if request["charged_nanos"] is None else from_nanos(request["charged_nanos"]),
        text=None if text is None else StoredText(text["request"], text["answer"], text["draws"] or {}),
        search=None if request["search"] is None else to_search(request["search"]),
    )


def _to_call(draw: RowMapping) -> CallRecord:
    return CallRecord(
        attempt=draw["attempt"],
        upstream=draw["upstream"],
        model=draw["model"],
        requested=draw["requested"],
        sent=draw["sent"],
        result=Result(draw["result"]),
        started_at=draw["called_at"],
        total_s=draw["total_s"],
        first_byte_s=draw["first_byte_s"],
        status=draw["status"],
        usage=None if draw["usage_source"] is None else _to_usage(draw),
        cost=None if draw["cost_nanos"] is None else from_nanos(draw["cost_nanos"]),
        error=draw["error"],
        upstream_request_id=draw["upstream_request_id"],
    )


def _to_usage(draw: RowMapping) -> Usage:
    return Usage(
        input_tokens=draw["input_tokens"],
        cached_tokens=draw["cached_tokens"],
        cache_write_5m_tokens=draw["cache_write_5m_tokens"],
        cache_write_1h_tokens=draw["cache_write_1h_tokens"],
        output_tokens=draw["output_tokens"],
        thinking_tokens=draw["thinking_tokens"],
        audio_input_tokens=draw["audio_input_tokens"],
        audio_output_tokens=draw["audio_output_tokens"],
        web_searches=draw["web_searches"],
        service_tier=draw["service_tier"],
        reported_cost_usd=draw["reported_cost_usd"],
        source=UsageSource(draw["usage_source"]),
        raw=draw["raw_usage"],
    )


def to_search(document: Mapping[str, Any]) -> SearchRecord:
    """The search that was stored as this document."""
    draws = (
        {**draw, "fate": Fate(draw["fate"]), "cost": usd(draw["cost"]), "scores": tuple(draw["scores"])}
        for draw in document["draws"]
    )
    return SearchRecord(**{**document, "draws": tuple(SearchDraw(**draw) for draw in draws)})


def to_plan(document: Mapping[str, Any]) -> Plan:
    """The plan that was stored as this document, by this release or an earlier one."""
    ceilings, estimated_cost = document["ceilings"], document.get("estimated_cost")
    known = {
        **document,
        "arm": _to_arm(document["arm"]),
        "ceilings": Ceilings(**{**ceilings, "cost": None if ceilings["cost"] is None else usd(ceilings["cost"])}),
        "reasons": tuple(document["reasons"]),
        "dropped": tuple(Dropped(**item) for item in document["dropped"]),
        "fallbacks": tuple(_to_arm(arm) for arm in document.get("fallbacks", ())),
        "estimated_cost": None if estimated_cost is None else usd(estimated_cost),
    }
    return Plan(**known)


def _to_arm(document: Mapping[str, Any]) -> Arm:
    like = document.get("like")
    known = {
        **document,
        "strategy": Strategy(document["strategy"]),
        "cascade": tuple(document["cascade"]),
        "like": None if like is None else Anchor(like),
    }
    return Arm(**known)
