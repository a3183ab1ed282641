"""Telling operators of a request that has ended: its metrics, and its line in the log of requests."""

from __future__ import annotations

from gateway.domain.ask import Operation
from gateway.domain.record import RequestRecord
from gateway.flow.house import House


def publish(
    house: House, record: RequestRecord, *, operation: Operation, model: str, trace_id: str | None = None
) -> None:
    """Count and log a request; ``model`` is the configured one that it went to last. No prompt is in either."""
    house.meter.request(
        endpoint=record.endpoint,
        operation=operation.value,
        model=model,
        result=record.result.value,
        total_s=record.total_s,
        first_byte_s=record.first_byte_s,
        cost_usd=float(record.cost),
    )
    if record.search is not None:
        for draw in record.search.draws:
            house.meter.draw(record.search.strategy, draw.fate.value)
    usage = record.calls[-1].usage if record.calls else None
    house.access_log.write(
        {
            "time": record.started_at,
            "level": "info",
            "event": "request",
            "request_id": record.id,
            "key": record.key_id,
            "endpoint": record.endpoint,
            "model": model,
            "stream": record.stream,
            "result": record.result.value,
            "status": record.status,
            "calls": len(record.calls),
            "input_tokens": usage.prompt_tokens if usage else None,
            "output_tokens": usage.output_tokens if usage else None,
            "thinking_tokens": usage.thinking_tokens if usage else None,
            "cost_usd": float(record.cost) if record.is_cost_complete else None,
            "first_byte_s": record.first_byte_s,
            "total_s": round(record.total_s, 6),
            "error": record.error.partition(":")[0] if record.error else None,
            **({} if trace_id is None else {"trace_id": trace_id}),
        }
    )
