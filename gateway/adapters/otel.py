"""Spans and measures for an OpenTelemetry collector, by the conventions for generative AI, over OTLP/HTTP.

https://opentelemetry.io/docs/specs/semconv/gen-ai/. Attributes hold names, numbers and codes; neither
prompts and answers nor messages of errors, which may quote them. The packages are those of the extra
``otel``: they are imported once telemetry is asked for, and their threads do the sending.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from gateway.domain.ask import Ask
from gateway.domain.model import Model
from gateway.domain.record import CallRecord, RequestRecord, Result
from gateway.errors import ConfigurationError
from gateway.tracing import CURRENT, Attribute

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

_CLOSE_S: Final = 3.0
_NANOSECONDS: Final = 1_000_000_000
_PROVIDERS: Final = {"gemini": "gcp.gemini", "mistral": "mistral_ai", "xai": "x_ai"}
"""Upstreams that the environment adds, where the conventions know them by another name."""
_SENT: Final = ("max_tokens", "temperature", "top_p", "seed")
"""Of what a call sets, the numbers that the conventions have attributes for."""
_NO_FAULT: Final = frozenset({Result.ANSWERED, Result.CANCELLED, Result.DISCONNECTED})
"""Ends that are nobody's failure: what we stopped ourselves, and whose client left."""
_SERVER_ERROR: Final = 500
# Advised by the conventions, for seconds and for tokens.
_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


def is_asked_for(endpoint: str | None, environment: Mapping[str, str]) -> bool:
    """Whether ponder.yaml, or a variable of OpenTelemetry's own, names a collector."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return endpoint is not None or any(
        environment.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_", "METRICS_")
    )


def check_usable(environment: Mapping[str, str]) -> None:
    """Refuse what is asked for and cannot be done, instead of sending where nobody listens.

    Raises ConfigurationError where the packages are not installed, or a variable asks for another protocol.
    """
    for kind in ("", "TRACES_", "METRICS_"):
        name = f"OTEL_EXPORTER_OTLP_{kind}PROTOCOL"
        protocol = environment.get(name, "").strip()
        if protocol not in {"", "http/protobuf"}:
            raise ConfigurationError(f"{name} is {protocol!r}; spans and measures are sent by http/protobuf only")
    try:
        import opentelemetry.exporter.otlp.proto.http
        import opentelemetry.sdk.trace  # noqa: F401 - whether it is there
    except ImportError as fault:
        raise ConfigurationError(
            "telemetry is configured (telemetry.otlp_endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT), and the "
            "OpenTelemetry packages are not installed; install the extra: pip install 'ponder[otel]'"
        ) from fault


def collector_of(endpoint: str | None, environment: Mapping[str, str]) -> str:
    """The base address of the collector that is asked for."""
    named = (environment.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_", "METRICS_"))
    return endpoint or next(filter(None, named), "")


class OtelTracer:
    """Satisfies :class:`gateway.tracing.Tracer`.

    ``endpoint`` is the collector's base address; with None it is in the variables of OpenTelemetry, as
    headers, resource, sampling and batching always are. Raises ConfigurationError where the packages are
    not installed or a variable asks for what they cannot do.
    """

    def __init__(self, endpoint: str | None, environment: Mapping[str, str], version: str) -> None:
        check_usable(environment)
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = _resource(environment, version)
        self.api: Any = trace
        self.nothing = Context()
        """Without a span: what a library of this process may have made current is none of ours."""
        self.propagator = TraceContextTextMapPropagator()
        self._sends_traces = environment.get("OTEL_TRACES_EXPORTER", "otlp").strip() != "none"
        # Without a sampler, that of OTEL_TRACES_SAMPLER is taken.
        sampler = None if self._sends_traces else ALWAYS_OFF
        self._traces = TracerProvider(sampler, resource, shutdown_on_exit=False)
        if self._sends_traces:
            self._traces.add_span_processor(_span_processor(endpoint))
        readers = [] if environment.get("OTEL_METRICS_EXPORTER", "otlp").strip() == "none" else [_reader(endpoint)]
        self._metrics = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        self.spans = self._traces.get_tracer("ponder", version)
        self.instruments = _Instruments(self._metrics.get_meter("ponder", version))

    def begin(self, ask: Ask) -> OtelTrace:
        return OtelTrace(self, ask)

    def close(self) -> None:
        # A collector that is away is tried for longer than a stop may take, whatever time one asks for.
        until = time.monotonic() + _CLOSE_S
        ending = [Thread(target=end, daemon=True) for end in (self._traces.shutdown, self._metrics.shutdown)]
        for each in ending:
            each.start()
        for each in ending:
            each.join(max(0.0, until - time.monotonic()))

    def headers_of(self, span: Span) -> Mapping[str, str]:
        """What an upstream is told of a span; nothing where no spans are sent at all."""
        carrier: dict[str, str] = {}
        if self._sends_traces:
            self.propagator.inject(carrier, self.api.set_span_in_context(span, self.nothing))
        return carrier


class OtelTrace:
    """The spans of one request. Satisfies :class:`gateway.tracing.Trace`."""

    __slots__ = ("_ask", "_root", "tracer")

    def __init__(self, tracer: OtelTracer, ask: Ask) -> None:
        self.tracer = tracer
        self._ask = ask
        self._root: Span = tracer.spans.start_span(
            f"POST {ask.endpoint.path}",
            tracer.propagator.extract(ask.headers, tracer.nothing),
            kind=tracer.api.SpanKind.SERVER,
            attributes={
                "http.request.method": "POST",
                "http.route": ask.endpoint.path,
                "gen_ai.operation.name": ask.endpoint.operation.value,
                "ponder.request.id": ask.request_id,
            },
            start_time=int(ask.started_at * _NANOSECONDS),
        )

    @property
    def id(self) -> str:
        return f"{self._root.get_span_context().trace_id:032x}"

    def call(self, model: Model, started_at: float) -> _Call:
        tracer, operation = self.tracer, self._ask.endpoint.operation.value
        span: Span = tracer.spans.start_span(
            f"{operation} {model.name}",
            self._here(),
            kind=tracer.api.SpanKind.CLIENT,
            start_time=int(started_at * _NANOSECONDS),
        )
        return _Call(tracer, span, operation, model)

    @contextmanager
    def part(self, name: str, attributes: Mapping[str, Attribute]) -> Iterator[_Part]:
        # Not OpenTelemetry's own current span: its errors would be recorded with their messages.
        span: Span = self.tracer.spans.start_span(name, self._here(), attributes=attributes)
        part = _Part(self, span)
        token = CURRENT.set(part)
        try:
            yield part
        except BaseException as fault:
            span.set_attribute("error.type", getattr(fault, "code", type(fault).__name__))
            raise
        finally:
            CURRENT.reset(token)
            span.end()

    def end(self, record: RequestRecord, model: str) -> None:
        span = self._root
        if span.is_recording():
            span.set_attributes(_of_request(record, model))
            if record.result not in _NO_FAULT:
                span.set_attribute("error.type", _code(record.error) or record.result.value)
                if record.status >= _SERVER_ERROR or record.result is not Result.REFUSED:
                    span.set_status(self.tracer.api.StatusCode.ERROR)
        span.end(int((record.started_at + record.total_s) * _NANOSECONDS))
        self.tracer.instruments.request(record, self._ask.endpoint.operation.value, model)

    def _here(self) -> Context:
        """The context of what is begun now: within the current part, if that is this request's own."""
        part = CURRENT.get()
        span = part.span if isinstance(part, _Part) and part.trace is self else self._root
        context: Context = self.tracer.api.set_span_in_context(span, self.tracer.nothing)
        return context


class _Part:
    """Satisfies :class:`gateway.tracing.Part`."""

    __slots__ = ("span", "trace")

    def __init__(self, trace: OtelTrace, span: Span) -> None:
        self.trace = trace
        self.span = span

    @property
    def headers(self) -> Mapping[str, str]:
        return self.trace.tracer.headers_of(self.span)

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        self.span.set_attributes(attributes)


class _Call:
    """Satisfies :class:`gateway.tracing.CallSpan`."""

    __slots__ = ("_model", "_operation", "_span", "_tracer")

    def __init__(self, tracer: OtelTracer, span: Span, operation: str, model: Model) -> None:
        self._tracer = tracer
        self._span = span
        self._operation = operation
        self._model = model

    @property
    def headers(self) -> Mapping[str, str]:
        return self._tracer.headers_of(self._span)

    def end(self, record: CallRecord) -> None:
        span = self._span
        common: dict[str, Attribute] = {
            "gen_ai.operation.name": self._operation,
            "gen_ai.provider.name": _PROVIDERS.get(record.upstream, record.upstream),
            "gen_ai.request.model": self._model.name,
        }
        if record.result not in _NO_FAULT:
            common["error.type"] = _code(record.error) or record.result.value
        if span.is_recording():
            span.set_attributes(common | _of_call(record))
            if record.result not in _NO_FAULT:
                span.set_status(self._tracer.api.StatusCode.ERROR)
        span.end(int((record.started_at + record.total_s) * _NANOSECONDS))
        self._tracer.instruments.call(record, common)


class _Instruments:
    """The measures of the conventions, and dollars. Their labels come from the configuration, as at ``/metrics``."""

    def __init__(self, meter: Any) -> None:
        def seconds(name: str, description: str) -> Any:
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS)

        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of a call to a model.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._call = seconds("gen_ai.client.operation.duration", "How long a call to a model took.")
        self._request = seconds("gen_ai.server.request.duration", "From a request's first byte to its answer's last.")
        self._first_token = seconds("gen_ai.server.time_to_first_token", "To the first answer event of a stream.")
        self._cost = meter.create_counter("ponder.cost", "{USD}", "Dollars spent.")

    def call(self, record: CallRecord, common: Mapping[str, Attribute]) -> None:
        self._call.record(record.total_s, common)
        if record.usage is not None:
            kinds = {"input": record.usage.prompt_tokens, "output": record.usage.output_tokens}
            for kind, tokens in kinds.items():
                self._tokens.record(tokens, {**common, "gen_ai.token.type": kind})

    def request(self, record: RequestRecord, operation: str, model: str) -> None:
        labels = {"gen_ai.operation.name": operation, "gen_ai.request.model": model}
        if record.first_byte_s is not None:
            self._first_token.record(record.first_byte_s, labels)
        if record.result is not Result.ANSWERED:
            labels["error.type"] = record.result.value
        self._request.record(record.total_s, labels)
        if record.cost:
            self._cost.add(float(record.cost), {"gen_ai.request.model": model})


def _resource(environment: Mapping[str, str], version: str) -> Any:
    from opentelemetry.sdk.resources import Resource

    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({"service.version": version} | ({} if named else {"service.name": "ponder"}))


def _span_processor(endpoint: str | None) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint and f"{endpoint}/v1/traces"))


def _reader(endpoint: str | None) -> Any:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    return PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint and f"{endpoint}/v1/metrics"))


def _of_request(record: RequestRecord, model: str) -> dict[str, Attribute]:
    found: dict[str, Attribute | None] = {
        "http.response.status_code": record.status,
        "gen_ai.request.model": model,
        "gen_ai.request.stream": record.stream,
        "gen_ai.response.time_to_first_chunk": record.first_byte_s,
        "ponder.key.id": record.key_id,
        "ponder.result": record.result.value,
        "ponder.cost_usd": float(record.cost) if record.is_cost_complete else None,
        "ponder.degraded": bool(record.degraded),
    }
    if record.plan is not None:
        plan = record.plan
        found |= {
            "ponder.policy": plan.policy,
            "ponder.rule": plan.rule,
            "ponder.arm": plan.arm.name,
            "ponder.strategy": plan.arm.strategy.value,
            "ponder.category": plan.category,
            "ponder.difficulty": plan.difficulty,
        }
    return {name: value for name, value in found.items() if value is not None}


def _of_call(record: CallRecord) -> dict[str, Attribute]:
    found: dict[str, Any] = {
        f"gen_ai.request.{name}": record.sent[name] for name in _SENT if isinstance(record.sent.get(name), int | float)
    }
    found |= {
        "ponder.attempt": record.attempt,
        "ponder.result": record.result.value,
        "gen_ai.response.model": record.model,
        "gen_ai.response.time_to_first_chunk": record.first_byte_s,
        "http.response.status_code": record.status,
        "ponder.cost_usd": None if record.cost is None else float(record.cost),
    }
    if (usage := record.usage) is not None:
        found |= {
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.thinking_tokens or None,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens or None,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
            or None,
        }
    return {name: value for name, value in found.items() if value is not None}


def _code(error: str | None) -> str | None:
    """The code of an error that is on record as ``code: message``."""
    return None if error is None else error.partition(":")[0]
