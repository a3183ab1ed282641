"""Logs and metrics. Label values come from configuration only, so their number is bounded.

Names follow OpenTelemetry's GenAI conventions where they exist
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/), in Prometheus spelling; ours
begin with ``ponder_``. Neither prompts nor secrets are ever handed to this module.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_FLUSH_S = 0.05
_FLUSH_LINES = 512
# Buckets advised by the conventions for gen_ai.server.request.duration, in seconds.
_DURATION_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)


class JsonFormatter(logging.Formatter):
    """Renders the standard library's log records as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # The type and the place, never the text: a foreign exception's message may quote its input.
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            entry["exception"] = record.exc_info[0].__name__
            if trace is not None:
                code = trace.tb_frame.f_code
                entry["where"] = f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} {code.co_name}"
        return orjson.dumps(entry).decode()


def configure_logging(stream: TextIO) -> None:
    """Send every logger's records to ``stream`` as JSON lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)


class AccessLog:
    """One JSON line per request, written in batches: at most 50 ms late, in order.

    A batch is one write to the descriptor, so lines of several processes do not mix.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add one line; must be called inside the event loop."""
        self._lines.append(orjson.dumps(entry))
        if len(self._lines) >= _FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write out what waits; called by itself and at shutdown."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            self._lines.append(b"")
            text = b"\n".join(self._lines).decode()
            self._lines.clear()
            self._stream.write(text)
            self._stream.flush()


class Meter:
    """The gateway's metrics, with label children looked up once per combination."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "ponder_requests",
            "Requests served, by how they ended.",
            ("endpoint", "model", "result"),
            registry=self.registry,
        )
        self._refusals = Counter(
            "ponder_refusals",
            "Requests refused before a model was chosen.",
            ("endpoint", "code"),
            registry=self.registry,
        )
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from a request's first byte to its answer's last.",
            ("gen_ai_operation_name", "gen_ai_request_model"),
            buckets=_DURATION_BUCKETS,
            registry=self.registry,
        )
        self._first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time to the first answer event of a stream.",
            ("gen_ai_operation_name", "gen_ai_request_model"),
            buckets=_DURATION_BUCKETS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "gen_ai_client_token_usage_tokens",
            "Tokens used; thinking is part of output.",
            ("gen_ai_request_model", "gen_ai_token_type"),
            registry=self.registry,
        )
        self._cost = Counter("ponder_cost_usd", "Dollars spent.", ("model",), registry=self.registry)
        self._calls = Counter(
            "ponder_upstream_calls",
            "Calls to upstreams, by how they ended.",
            ("upstream", "result"),
            registry=self.registry,
        )
        self.in_flight = Gauge("ponder_requests_in_flight", "Requests being served.", registry=self.registry)
        self._children: dict[tuple[str, ...], Callable[[float], None]] = {}

    def request(
        self, *, endpoint: str, model: str, result: str, total_s: float, first_byte_s: float | None, cost_usd: float
    ) -> None:
        """Count one finished request. ``model`` must be a configured name or ``unknown``."""
        self._child(self._requests, endpoint, model, result)(1)
        self._child(self._duration, endpoint, model)(total_s)
        if first_byte_s is not None:
            self._child(self._first_token, endpoint, model)(first_byte_s)
        if cost_usd:
            self._child(self._cost, model)(cost_usd)

    def tokens(self, model: str, kind: str, count: int) -> None:
        """Count tokens of one kind: input, cached, cache_write, output or thinking."""
        if count:
            self._child(self._tokens, model, kind)(count)

    def call(self, upstream: str, result: str) -> None:
        """Count one upstream call."""
        self._child(self._calls, upstream, result)(1)

    def refusal(self, endpoint: str, code: str) -> None:
        """Count a request refused before a model was chosen; ``endpoint`` is a known path or ``other``."""
        self._child(self._refusals, endpoint, code)(1)

    def _child(self, metric: Counter | Histogram, *labels: str) -> Callable[[float], None]:
        key = (metric._name, *labels)
        child = self._children.get(key)
        if child is None:
            labelled = metric.labels(*labels)
            child = labelled.observe if isinstance(labelled, Histogram) else labelled.inc
            self._children[key] = child
        return child

    def watch(self, name: str, help_text: str, read: Callable[[], float], *, is_counter: bool = False) -> None:
        """Expose a number that somebody else keeps, read when metrics are scraped."""
        self.registry.register(_Reading(name, help_text, read, is_counter=is_counter))

    def render(self) -> bytes:
        """The exposition text for ``/metrics``."""
        return generate_latest(self.registry)


class _Reading(Collector):
    def __init__(self, name: str, help_text: str, read: Callable[[], float], *, is_counter: bool) -> None:
        self._name, self._help, self._read, self._is_counter = name, help_text, read, is_counter

    def collect(self) -> list[Metric]:
        family = CounterMetricFamily if self._is_counter else GaugeMetricFamily
        return [family(self._name, self._help, value=self._read())]
