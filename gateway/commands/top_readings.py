"""What ``ponder top`` shows, from two readings of a gateway's metrics: rates, quantiles and states. Computes only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from prometheus_client.parser import text_string_to_metric_families

_FAILED = frozenset({"failed", "timed_out", "truncated"})
_MINUTE_S = 60

Labels: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A gateway's metrics at one moment, in monotonic seconds: by name, by labels."""

    at: float
    values: Mapping[str, Mapping[Labels, float]]

    def total(self, name: str) -> float:
        """All of a metric's values together."""
        return sum(self.values.get(name, {}).values())

    def by(self, name: str, label: str) -> dict[str, float]:
        """A metric's values, summed by one of its labels."""
        sums: dict[str, float] = defaultdict(float)
        for labels, value in self.values.get(name, {}).items():
            sums[dict(labels).get(label, "")] += value
        return dict(sums)


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model between two readings. Quantiles are None where no request has ended."""

    model: str
    requests_per_s: float
    failed_per_s: float
    spend_usd_per_min: float
    output_tokens_per_s: float
    p50_s: float | None
    p95_s: float | None
    first_token_p50_s: float | None


@dataclass(frozen=True, slots=True)
class UpstreamLine:
    """One upstream: calls under way and waiting now, and how they end."""

    upstream: str
    under_way: int
    waiting: int
    calls_per_s: float
    failed_per_s: float


@dataclass(frozen=True, slots=True)
class ArmLine:
    """One arm among the newest requests on record."""

    arm: str
    requests: int
    share: float
    cost_usd: float
    mean_s: float


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget; what its period has seen so far is None where that is not summed."""

    holder: str
    name: str
    period: str
    amount_usd: float
    spent_usd: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All that is shown."""

    status: str
    degraded: tuple[str, ...]
    interval_s: float
    requests_per_s: float
    failed_per_s: float
    refused_per_s: float
    spend_usd_per_min: float
    in_flight: int
    waiting: int
    models: tuple[ModelLine, ...]
    upstreams: tuple[UpstreamLine, ...]
    arms: tuple[ArmLine, ...]
    budgets: tuple[BudgetLine, ...]
    note: str | None = None
    """What could not be read, and why."""


def read(text: str, at: float) -> Reading:
    """A reading from the exposition text."""
    values: dict[str, dict[Labels, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
    return Reading(at, values)


def between(before: Reading, now: Reading) -> Reading:
    """How much each counter has grown; after a restart, what it has counted since then."""
    grown = {
        name: {
            labels: value - earlier if (earlier := before.values.get(name, {}).get(labels, 0.0)) <= value else value
            for labels, value in values.items()
        }
        for name, values in now.values.items()
    }
    return Reading(now.at - before.at, grown)


def overview(
    before: Reading,
    now: Reading,
    *,
    health: Mapping[str, Any],
    arms: Sequence[ArmLine],
    budgets: Sequence[BudgetLine],
    note: str | None = None,
) -> Overview:
    """Rates between two readings, and the states of the later one."""
    grown = between(before, now)
    seconds = max(grown.at, 1e-9)
    by_result = grown.by("ponder_requests_total", "result")
    return Overview(
        status=str(health.get("status", "unknown")),
        degraded=tuple(health.get("degraded", ())),
        interval_s=grown.at,
        requests_per_s=sum(by_result.values()) / seconds,
        failed_per_s=_failed(by_result) / seconds,
        refused_per_s=grown.total("ponder_refusals_total") / seconds,
        spend_usd_per_min=grown.total("ponder_cost_usd_total") / seconds * _MINUTE_S,
        in_flight=int(now.total("ponder_requests_in_flight")),
        waiting=int(now.total("ponder_upstream_requests_waiting")),
        models=tuple(_models(grown, now, seconds)),
        upstreams=tuple(_upstreams(grown, now, seconds)),
        arms=tuple(arms),
        budgets=tuple(budgets),
        note=note,
    )


def _models(grown: Reading, now: Reading, seconds: float) -> Iterable[ModelLine]:
    requests = grown.by("ponder_requests_total", "model")
    spend = grown.by("ponder_cost_usd_total", "model")
    seen = now.by("ponder_requests_total", "model")
    for model in sorted(seen, key=lambda each: (-requests.get(each, 0.0), -seen[each], each)):
        tokens = _of(grown, "gen_ai_client_token_usage_tokens_total", "gen_ai_request_model", model)
        output = sum(value for labels, value in tokens.items() if dict(labels).get("gen_ai_token_type") == "output")
        results: dict[str, float] = defaultdict(float)
        for labels, value in _of(grown, "ponder_requests_total", "model", model).items():
            results[dict(labels)["result"]] += value
        duration = _of(grown, "gen_ai_server_request_duration_seconds_bucket", "gen_ai_request_model", model)
        first = _of(grown, "gen_ai_server_time_to_first_token_seconds_bucket", "gen_ai_request_model", model)
        yield ModelLine(
            model=model,
            requests_per_s=requests.get(model, 0.0) / seconds,
            failed_per_s=_failed(results) / seconds,
            spend_usd_per_min=spend.get(model, 0.0) / seconds * _MINUTE_S,
            output_tokens_per_s=output / seconds,
            p50_s=quantile(duration, 0.5),
            p95_s=quantile(duration, 0.95),
            first_token_p50_s=quantile(first, 0.5),
        )


def _upstreams(grown: Reading, now: Reading, seconds: float) -> Iterable[UpstreamLine]:
    under_way = now.by("ponder_upstream_calls_under_way", "upstream")
    waiting = now.by("ponder_upstream_requests_waiting", "upstream")
    called = now.by("ponder_upstream_calls_total", "upstream")
    for upstream in sorted({*under_way, *waiting, *called}):
        results: dict[str, float] = defaultdict(float)
        for labels, value in _of(grown, "ponder_upstream_calls_total", "upstream", upstream).items():
            results[dict(labels)["result"]] += value
        yield UpstreamLine(
            upstream=upstream,
            under_way=int(under_way.get(upstream, 0)),
            waiting=int(waiting.get(upstream, 0)),
            calls_per_s=sum(results.values()) / seconds,
            failed_per_s=_failed(results) / seconds,
        )


def quantile(buckets: Mapping[Labels, float], share: float) -> float | None:
    """A quantile of a histogram, evenly within its bucket, as Prometheus' ``histogram_quantile`` has it.

    ``buckets`` are cumulative counts with the label ``le``. None where nothing was counted; the last finite
    bound where the quantile lies beyond it.
    """
    counts: dict[float, float] = defaultdict(float)
    for labels, value in buckets.items():
        counts[float(dict(labels)["le"])] += value
    bounds = sorted(counts)
    if not bounds or counts[bounds[-1]] <= 0:
        return None
    wanted = share * counts[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= wanted:
            if bound == float("inf"):
                return lower
            within = counts[bound] - below
            return lower + (bound - lower) * ((wanted - below) / within if within else 1.0)
        lower, below = bound, counts[bound]
    return lower


def arms_of(requests: Sequence[Mapping[str, Any]]) -> tuple[ArmLine, ...]:
    """The arms of the newest requests, the most used first; a request without an arm counts by its model."""
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in requests:
        groups[each["arm"] or each["model_asked"]].append(each)
    lines = [
        ArmLine(
            arm=arm,
            requests=len(group),
            share=len(group) / len(requests),
            cost_usd=sum(float(each["cost_usd"]) for each in group),
            mean_s=sum(each["total_s"] for each in group) / len(group),
        )
        for arm, group in groups.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-line.requests, line.arm)))


def _of(reading: Reading, name: str, label: str, value: str) -> Mapping[Labels, float]:
    return {labels: number for labels, number in reading.values.get(name, {}).items() if (label, value) in labels}


def _failed(results: Mapping[str, float]) -> float:
    return sum(count for result, count in results.items() if result in _FAILED)
