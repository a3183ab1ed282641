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
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate
from typing import Any, TextIO

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_FLUSH_S = 0.05
_FLUSH_LINES = 512
# Buckets advised by the conventions for gen_ai.server.request.duration, in seconds.
_DURATION_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)


def iso_time(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC with milliseconds, as every log line has it."""
    seconds, thousandths = divmod(int(at * 1000), 1000)
    return f"{_whole_second(seconds)}.{thousandths:03d}+00:00"


@lru_cache(maxsize=16)
def _whole_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class JsonFormatter(logging.Formatter):
    """Renders the standard library's log records as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": iso_time(record.created),
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

    A batch is one write to the descriptor, so lines of several processes do not mix. A log that
    cannot be written (a full disk, a reader that has gone) loses lines and never a request.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self.lost = 0
        """Lines that could not be written."""

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
            lines, self._lines = self._lines, []
            try:
                self._stream.write(b"\n".join(lines).decode())
                self._stream.flush()
            except OSError:
                self.lost += len(lines) - 1


class Meter:
    """The gateway's metrics.

    Counting is a dictionary look-up and an addition: the event loop is the only writer, so
    prometheus_client's locks would buy nothing and cost more than the rest of a request's
    bookkeeping. Exposition is prometheus_client's.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.in_flight = 0
        self._requests = self._counter(
            "ponder_requests", "Requests served, by how they ended.", "endpoint", "model", "result"
        )
        self._refusals = self._counter(
            "ponder_refusals", "Requests refused before a model was chosen.", "endpoint", "code"
        )
        self._tokens = self._counter(
            "gen_ai_client_token_usage_tokens",
            "Tokens used; thinking is part of output.",
            "gen_ai_request_model",
            "gen_ai_token_type",
        )
        self._cost = self._counter("ponder_cost_usd", "Dollars spent.", "model")
        self._calls = self._counter(
            "ponder_upstream_calls", "Calls to upstreams, by how they ended.", "upstream", "result"
        )
        self._emptied = self._counter(
            "ponder_answers_emptied", "Answers that are empty because thinking used up their output limit.", "model"
        )
        self._draws = self._counter(
            "ponder_search_draws", "Draws of searches, by what became of them.", "strategy", "fate"
        )
        self._unscored = self._counter("ponder_scores_missed", "Chains that a verifier gave no score for.", "verifier")
        self._duration = self._histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from a request's first byte to its answer's last.",
        )
        self._first_token = self._histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time to the first answer event of a stream.",
        )
        self.watch("ponder_requests_in_flight", "Requests being served.", lambda: self.in_flight)

    def request(
        self,
        *,
        endpoint: str,
        operation: str,
        model: str,
        result: str,
        total_s: float,
        first_byte_s: float | None,
        cost_usd: float,
    ) -> None:
        """Count one finished request. ``model`` must be a configured name or ``unknown``."""
        self._requests.add((endpoint, model, result), 1)
        self._duration.add((operation, model), total_s)
        if first_byte_s is not None:
            self._first_token.add((operation, model), first_byte_s)
        if cost_usd:
            self._cost.add((model,), cost_usd)

    def tokens(self, model: str, kind: str, count: int) -> None:
        """Count tokens of one kind: input, cached, cache_write, output or thinking."""
        if count:
            self._tokens.add((model, kind), count)

    def call(self, upstream: str, result: str) -> None:
        """Count one upstream call."""
        self._calls.add((upstream, result), 1)

    def emptied(self, model: str) -> None:
        """Count an answer of which thinking has left nothing."""
        self._emptied.add((model,), 1)

    def draw(self, strategy: str, fate: str) -> None:
        """Count one draw of a search."""
        self._draws.add((strategy, fate), 1)

    def unscored(self, verifier: str) -> None:
        """Count a chain that a configured verifier gave no score for."""
        self._unscored.add((verifier,), 1)

    def refusal(self, endpoint: str, code: str) -> None:
        """Count a request refused before a model was chosen; ``endpoint`` is a known path or ``other``."""
        self._refusals.add((endpoint, code), 1)

    def watch(self, name: str, help_text: str, read: Callable[[], float], *, is_counter: bool = False) -> None:
        """Expose a number that somebody else keeps, read when metrics are scraped."""
        self.registry.register(_Readings(name, help_text, (), lambda: {(): read()}, is_counter=is_counter))

    def watch_each(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str],
        read: Callable[[], Mapping[tuple[str, ...], float]],
        *,
        is_counter: bool = False,
    ) -> None:
        """Expose numbers that somebody else keeps, by the values of their labels."""
        self.registry.register(_Readings(name, help_text, labels, read, is_counter=is_counter))

    def render(self) -> bytes:
        """The exposition text for ``/metrics``."""
        return generate_latest(self.registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> _Counter:
        counter = _Counter(name, help_text, labels)
        self.registry.register(counter)
        return counter

    def _histogram(self, name: str, help_text: str) -> _Histogram:
        histogram = _Histogram(name, help_text, ("gen_ai_operation_name", "gen_ai_request_model"))
        self.registry.register(histogram)
        return histogram


class _Counter(Collector):
    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        self._name, self._help, self._labels = name, help_text, labels
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], amount: float) -> None:
        self._values[labels] = self._values.get(labels, 0.0) + amount

    def collect(self) -> list[Metric]:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return [family]


class _Histogram(Collector):
    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        self._name, self._help, self._labels = name, help_text, labels
        self._cells: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def add(self, labels: tuple[str, ...], value: float) -> None:
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = ([0] * (len(_DURATION_BUCKETS) + 1), [0.0])
        counts, total = cell
        counts[bisect_left(_DURATION_BUCKETS, value)] += 1
        total[0] += value

    def collect(self) -> list[Metric]:
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        bounds = [*map(str, _DURATION_BUCKETS), "+Inf"]
        for labels, (counts, total) in self._cells.items():
            family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total[0])
        return [family]


class _Readings(Collector):
    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str],
        read: Callable[[], Mapping[tuple[str, ...], float]],
        *,
        is_counter: bool,
    ) -> None:
        self._name, self._help, self._labels, self._read = name, help_text, labels, read
        self._family = CounterMetricFamily if is_counter else GaugeMetricFamily

    def collect(self) -> list[Metric]:
        family = self._family(self._name, self._help, labels=self._labels)
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        return [family]
