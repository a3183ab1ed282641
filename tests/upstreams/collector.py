"""A collector for tests: a real server of OTLP over HTTP that keeps spans and measures, as protobuf has them."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.upstreams.listening import LoopThread


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """One span as it arrived."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    has_failed: bool
    seconds: float
    attributes: dict[str, Any]


@dataclass(slots=True)
class Collector:
    """Serves at ``address`` between entering and leaving."""

    spans: list[SeenSpan] = field(default_factory=list)
    measures: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By name: the attributes of each series."""
    resources: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    address: str = ""
    _thread: LoopThread | None = None
    _runner: web.AppRunner | None = None

    def below(self, span_id: str) -> list[SeenSpan]:
        """The spans whose parent this is, by when they arrived."""
        return [span for span in self.spans if span.parent_id == span_id]

    def tree(self, root: SeenSpan) -> Any:
        """The names of a span and of those below it, siblings in order of their names."""
        return root.name, sorted(self.tree(span) for span in self.below(root.span_id))

    async def _traces(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await self._body(request))
        for resource in message.resource_spans:
            self.resources.append(_attributes(resource.resource.attributes))
            self.spans += [
                SeenSpan(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    kind=span.kind,
                    has_failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    attributes=_attributes(span.attributes),
                )
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        return web.Response(content_type="application/x-protobuf")

    async def _metrics(self, request: web.Request) -> web.Response:
        message = ExportMetricsServiceRequest.FromString(await self._body(request))
        for resource in message.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = metric.histogram.data_points or metric.sum.data_points
                    self.measures[metric.name] = [_attributes(point.attributes) for point in points]
        return web.Response(content_type="application/x-protobuf")

    async def _body(self, request: web.Request) -> bytes:
        body = await request.read()
        if request.headers.get("content-encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.bodies.append(body)
        return body

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_post("/v1/traces", self._traces)
        application.router.add_post("/v1/metrics", self._metrics)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def __enter__(self) -> Collector:
        self._thread = LoopThread("collector")
        self._thread.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        assert self._runner is not None
        self._thread.run(self._runner.cleanup())
        self._thread.close()


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
