"""Whether telemetry is asked for, and what is refused of it."""

from __future__ import annotations

import re
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from gateway.adapters import otel
from gateway.adapters.otel import OtelTracer, is_asked_for
from gateway.domain.ask import Ask
from gateway.domain.chat import Dialect
from gateway.domain.record import Result
from gateway.errors import ConfigurationError
from gateway.tracing import trace_headers
from tests.flow.scripted import arrival
from tests.store.records import FULL
from tests.upstreams.collector import Collector
from tests.upstreams.faulty_server import closed_port

AT = "http://127.0.0.1:4318"
_CONVENTIONS = (("attributes", "gen_ai_attributes.py"), ("metrics", "gen_ai_metrics.py"))


@pytest.mark.parametrize(
    ("endpoint", "environment", "expected"),
    [
        (None, {}, False),
        (AT, {}, True),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": AT}, True),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": AT}, True),
        (None, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": AT}, True),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (None, {"OTEL_SERVICE_NAME": "ponder"}, False),
        (AT, {"OTEL_SDK_DISABLED": "True"}, False),
    ],
)
def test_telemetry_is_off_until_a_collector_is_named(
    endpoint: str | None, environment: dict[str, str], expected: bool
) -> None:
    """The setting or a standard variable turns it on, and the standard switch turns it off."""
    assert is_asked_for(endpoint, environment) is expected


def test_a_protocol_that_is_not_built_in_is_refused() -> None:
    """A variable that asks for gRPC is an error at start that names it, instead of silence."""
    with pytest.raises(ConfigurationError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'.*http/protobuf"):
        OtelTracer(AT, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "1")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages of the extra, telemetry that is configured is an error that says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'ponder\[otel\]'"):
        OtelTracer(AT, {}, "1")


async def _ask() -> Ask:
    return await arrival(Dialect.OPENAI_CHAT, is_stream=False).read()


async def test_what_waits_is_sent_at_the_end() -> None:
    """Closing sends spans and measures that wait, without anybody's schedule."""
    with Collector() as collector:
        tracer = OtelTracer(collector.address, {}, "1")
        trace = tracer.begin(await _ask())
        trace.end(FULL, "good")
        tracer.close()
        (span,) = collector.spans
    assert span.attributes["ponder.result"] == FULL.result.value
    assert "gen_ai.server.request.duration" in collector.measures


async def test_each_half_can_be_left_out() -> None:
    """With ``none`` for its exporter, spans are not sent and upstreams not told, or measures are not."""
    with Collector() as collector:
        tracer = OtelTracer(collector.address, {"OTEL_TRACES_EXPORTER": "none"}, "1")
        trace = tracer.begin(await _ask())
        with trace.part("decide", {}) as part:
            assert part.headers == {}
        trace.end(FULL, "good")
        tracer.close()
        assert (collector.spans, len(collector.measures) > 0) == ([], True)
        collector.measures.clear()
        tracer = OtelTracer(collector.address, {"OTEL_METRICS_EXPORTER": "none"}, "1")
        tracer.begin(await _ask()).end(FULL, "good")
        tracer.close()
        assert (len(collector.spans), collector.measures) == (1, {})


async def test_a_collector_that_is_away_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing gives up while the packages' own threads still try."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "9")
    before = set(threading.enumerate())
    tracer = OtelTracer(f"http://127.0.0.1:{closed_port()}", {}, "1")
    tracer.begin(await _ask()).end(FULL, "good")
    tracer.close()
    still_trying = set(threading.enumerate()) - before
    assert still_trying
    for thread in still_trying:
        # They wait by chance, with the generator that property tests watch.
        thread.join()


@pytest.mark.parametrize(
    ("result", "status", "expected"),
    [
        (Result.ANSWERED, 200, False),
        (Result.DISCONNECTED, 499, False),
        (Result.REFUSED, 404, False),
        (Result.REFUSED, 503, True),
        (Result.FAILED, 502, True),
        (Result.TRUNCATED, 200, True),
    ],
)
async def test_only_failures_of_the_server_are_errors(result: Result, status: int, expected: bool) -> None:
    """A refusal that is the client's own fault and a client that leaves are no errors of the span."""
    with Collector() as collector:
        tracer = OtelTracer(collector.address, {"OTEL_METRICS_EXPORTER": "none"}, "1")
        tracer.begin(await _ask()).end(replace(FULL, result=result, status=status), "good")
        tracer.close()
        assert [span.has_failed for span in collector.spans] == [expected]


async def test_work_of_another_request_is_not_taken_for_ones_own() -> None:
    """A call that is begun while a part of another request is current stands below its own request."""
    with Collector() as collector:
        tracer = OtelTracer(collector.address, {"OTEL_METRICS_EXPORTER": "none"}, "1")
        outer, inner = tracer.begin(await _ask()), tracer.begin(await _ask())
        with outer.part("decide", {}), inner.part("search", {}):
            assert trace_headers()["traceparent"]
        assert trace_headers() == {}
        for trace in (inner, outer):
            trace.end(FULL, "good")
        tracer.close()
        search, decide, *roots = collector.spans
        assert (search.name, decide.name) == ("search", "decide")
        assert [search.parent_id, decide.parent_id] == [root.span_id for root in roots]


def test_names_are_those_of_the_conventions() -> None:
    """Each attribute, measure and provider that begins as theirs is one of the installed package, and not removed.

    The conventions have moved to a place of their own, which the package calls deprecated; the names have not changed.
    """
    source = Path(otel.__file__).read_text("utf-8")
    used = set(re.findall(r"\"(gen_ai\.[a-z_.]+)\"", source)) | {f"gen_ai.request.{name}" for name in otel._SENT}
    folder = Path(gen_ai_attributes.__file__).parents[1]
    text = "".join((folder / kind / name).read_text("utf-8") for kind, name in _CONVENTIONS)
    noted = re.findall(r'^GEN_AI_\w+: Final = "([\w.]+)"\n(?:"""\n(.*?)\n"""\n)?', text, re.MULTILINE)
    current = {name for name, note in noted if not note or "Moved to" in note}
    assert len(current) > 50
    assert {"gen_ai.usage.input_tokens", "gen_ai.client.token.usage"} <= used
    assert used <= current
    providers = {each.value for each in gen_ai_attributes.GenAiProviderNameValues}
    assert set(otel._PROVIDERS.values()) <= providers
