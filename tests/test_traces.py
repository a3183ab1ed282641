"""Spans and measures, as a collector receives them from a gateway process."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.test_searches import PRM, TREE, Served
from tests.upstreams.collector import Collector, SeenSpan
from tests.upstreams.configuration import SECRETS
from tests.upstreams.faulty_server import closed_port
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.openai_server import OpenAIServer
from tests.upstreams.searched_vllm import CONTEXT_TOKENS, MODEL

SERVER, CLIENT, INTERNAL = 2, 3, 1
SECRET_WORDS = "Quokka-7261 sold the marmalade"
COLLECTOR_SECRET = "collector-token-5512"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
POLICY: dict[str, Any] = {
    "policy": "house",
    "arms": {
        "gone": {"model": "gone"},
        "stand-in": {"model": "good"},
        "tree": {"model": MODEL, **TREE},
    },
    "defaults": {"arm": "gone", "reference": "stand-in", "max_cost_usd": 1, "fallbacks": ["stand-in"]},
    "rules": [{"name": "sums are searched", "when": {"category": "math"}, "arm": "tree"}],
}

JUDGED: dict[str, Any] = {
    "policy": "judged",
    "arms": {"one": {"model": "good"}},
    "defaults": {"arm": "one", "reference": "one", "max_cost_usd": 1},
    "classify": {"chain": ["llm"], "llm": {"model": "good", "deadline_s": 20, "max_cost_usd": 0.1}},
}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Where the gateway sends to."""
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAIServer]:
    """A model's server that keeps the headers it got."""
    with OpenAIServer(thinking_field="reasoning_content") as running:
        yield running


@pytest.fixture(scope="module")
def searched() -> Iterator[Served]:
    """What searches draw from."""
    running = Served()
    yield running
    running.stop()


def _configuration(home: Path, provider: OpenAIServer, searched: Served) -> dict[str, Any]:
    for policy in (POLICY, JUDGED):
        folder = home / "policies" / policy["policy"]
        folder.mkdir(parents=True)
        (folder / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False), "utf-8")
        (folder / "cases.yaml").write_text("models: {}\ncases: []\n", "utf-8")
    price = {"input_per_mtok": 1, "output_per_mtok": 2}
    limits = {"price": price, "context_tokens": CONTEXT_TOKENS, "max_output_tokens": 64}
    return {
        "upstreams": {
            "near": {"kind": "openai", "base_url": f"{provider.address}/v1", "api_key_env": "LOOPBACK_OPENAI"},
            "off": {"kind": "openai", "base_url": f"http://127.0.0.1:{closed_port()}/v1", "retries": 0},
            "gpu": {"kind": "vllm", "base_url": f"http://127.0.0.1:{searched.server.port}/v1"},
        },
        "models": {
            "good": {"upstream": "near", "name": "qwen3-8b", **limits},
            "gone": {"upstream": "off", **limits},
            MODEL: {"upstream": "gpu", **limits},
        },
        "verifiers": {"prm": PRM},
        "policies_dir": str(home / "policies"),
        "policy": "house",
    }


@pytest.fixture(scope="module")
def gateway(
    collector: Collector, provider: OpenAIServer, searched: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway that tells the collector what it does."""
    home = tmp_path_factory.mktemp("traces")
    settings = _configuration(home, provider, searched)
    settings["telemetry"] = {"otlp_endpoint": f"{collector.address}/"}
    environment = {
        **SECRETS,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_METRIC_EXPORT_INTERVAL": "100",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{COLLECTOR_SECRET}",
    }
    with GatewayProcess(home / "home", settings, environment) as running:
        yield running


def _ask(gateway: GatewayProcess, model: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": SECRET_WORDS}], "max_tokens": 64, **more}
    answer = gateway.post("/v1/chat/completions", json=body, headers=headers or {})
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer


def _root(collector: Collector, answer: httpx.Response) -> SeenSpan:
    request_id = answer.headers["x-ponder-request-id"]

    def find() -> SeenSpan | None:
        return next((each for each in collector.spans if each.attributes.get("ponder.request.id") == request_id), None)

    found: SeenSpan = awaited(find, f"the span of {request_id}")
    return found


def test_a_request_is_one_tree(gateway: GatewayProcess, collector: Collector, provider: OpenAIServer) -> None:
    """A plain request is a server span with its decision and its call below; the upstream is told of the call."""
    answer = _ask(gateway, "good")
    root = _root(collector, answer)
    assert collector.tree(root) == ("POST /v1/chat/completions", [("chat good", []), ("decide", [])])
    assert (root.kind, root.parent_id, root.has_failed) == (SERVER, "", False)
    assert root.attributes["http.response.status_code"] == 200
    assert root.attributes["gen_ai.request.model"] == "good"
    (call,) = (each for each in collector.below(root.span_id) if each.name == "chat good")
    assert call.kind == CLIENT
    usage = answer.json()["usage"]
    assert {name: value for name, value in call.attributes.items() if name.startswith("gen_ai.")}.items() >= {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "near",
        "gen_ai.request.model": "good",
        "gen_ai.response.model": "qwen3-8b",
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
    }.items()
    assert provider.last.headers["traceparent"].startswith(f"00-{root.trace_id}-{call.span_id}-")
    assert 0 < call.seconds <= root.seconds
    assert gateway.log_line(root.attributes["ponder.request.id"])["trace_id"] == root.trace_id


def test_a_clients_trace_is_continued(gateway: GatewayProcess, collector: Collector, provider: OpenAIServer) -> None:
    """The client's ``traceparent`` is the parent, its ``tracestate`` goes on; what it does not sample is not sent."""
    sent = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1"}
    root = _root(collector, _ask(gateway, "good", sent))
    assert (root.trace_id, root.parent_id) == (TRACE, CALLER)
    assert provider.last.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert provider.last.headers["traceparent"].split("-")[2] not in {CALLER, root.span_id}
    assert provider.last.headers["tracestate"] == "vendor=1"
    unsampled = _ask(gateway, "good", {"traceparent": f"00-{TRACE}-{CALLER}-00"})
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-00", provider.last.headers["traceparent"])
    _root(collector, _ask(gateway, "good"))  # sent after it, so it would have come before
    unwanted = unsampled.headers["x-ponder-request-id"]
    assert not [each for each in collector.spans if each.attributes.get("ponder.request.id") == unwanted]


def test_a_streamed_answer_ends_with_its_span(gateway: GatewayProcess, collector: Collector) -> None:
    """The span of a stream has the time to its first event, and its call has the usage."""
    root = _root(collector, _ask(gateway, "good", stream=True))
    assert root.attributes["gen_ai.request.stream"] is True
    assert 0 < root.attributes["gen_ai.response.time_to_first_chunk"] <= root.seconds
    (call,) = (each for each in collector.below(root.span_id) if each.name == "chat good")
    assert call.attributes["gen_ai.usage.output_tokens"] > 0


def test_a_fallback_has_both_calls(gateway: GatewayProcess, collector: Collector) -> None:
    """A request that fell back shows the call that failed, with its code alone, beside the one that answered."""
    answer = _ask(gateway, "auto", ponder={"category": "chat"})
    root = _root(collector, answer)
    assert collector.tree(root) == (
        "POST /v1/chat/completions",
        [("chat gone", []), ("chat good", []), ("decide", [])],
    )
    calls = {each.name: each for each in collector.below(root.span_id)}
    assert calls["chat gone"].has_failed
    assert calls["chat gone"].attributes["error.type"] == "upstream_failed"
    assert not calls["chat good"].has_failed
    assert not root.has_failed
    assert root.attributes.items() >= {"ponder.policy": "house", "ponder.degraded": True}.items()


def test_a_question_to_a_judge_is_part_of_the_tree(gateway: GatewayProcess, collector: Collector) -> None:
    """Where a policy asks a model what kind of ask it is, that question stands below the decision."""
    root = _root(collector, _ask(gateway, "auto:judged"))
    question = ("POST /v1/chat/completions", [("chat good", []), ("decide", [])])
    assert collector.tree(root) == (
        "POST /v1/chat/completions",
        [("chat good", []), ("decide", [question])],
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_search_is_a_tree_of_draws_and_scores(gateway: GatewayProcess, collector: Collector, stream: bool) -> None:
    """Every draw and every score of a search is a span with its calls below, and draws name the one they continue."""
    answer = _ask(gateway, "auto", ponder={"category": "math"}, stream=stream)
    root = _root(collector, answer)
    (search,) = (each for each in collector.below(root.span_id) if each.name == "search")
    inner = collector.below(search.span_id)
    draws = {each.attributes["ponder.draw"]: each for each in inner if each.name == "draw"}
    record = gateway.record(answer.headers["x-ponder-request-id"])
    assert set(draws) == {each["draw"] for each in record["search"]["draws"]}
    assert {number: each.attributes.get("ponder.draw.parent") for number, each in draws.items()} == {
        each["draw"]: each["parent"] for each in record["search"]["draws"]
    }
    scores = [each for each in inner if each.name == "score"]
    assert scores
    assert all(each.attributes["ponder.verifier"] == "prm" for each in scores)
    calls = [call for part in (search, *inner) for call in collector.below(part.span_id) if call.kind == CLIENT]
    assert len(calls) == len(record["calls"])
    assert root.attributes["ponder.strategy"] == "dvts"
    assert not [each for each in collector.below(root.span_id) if each.kind == CLIENT]


def test_measures_follow_the_conventions(gateway: GatewayProcess, collector: Collector) -> None:
    """Durations, tokens and dollars arrive under the names of the conventions; labels are of the configuration."""
    _ask(gateway, "good", stream=True)
    names = {
        "gen_ai.client.token.usage", "gen_ai.client.operation.duration", "gen_ai.server.request.duration",
        "gen_ai.server.time_to_first_token", "ponder.cost",
    }  # fmt: skip
    awaited(lambda: names <= collector.measures.keys(), "the measures")
    labels = {name for points in collector.measures.values() for point in points for name in point}
    assert labels <= {
        "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.token.type", "error.type",
    }  # fmt: skip
    assert {point["gen_ai.token.type"] for point in collector.measures["gen_ai.client.token.usage"]} == {
        "input",
        "output",
    }
    assert any(each["service.name"] == "ponder" for each in collector.resources)


def test_neither_prompts_nor_secrets_are_sent(gateway: GatewayProcess, collector: Collector) -> None:
    """Nothing of a prompt, an answer, a key or a collector's secret is in what is sent, after refusals too."""
    refused = gateway.post("/v1/chat/completions", json={"model": SECRET_WORDS, "messages": []})
    assert refused.status_code == httpx.codes.NOT_FOUND
    answered = _ask(gateway, "good")
    _root(collector, answered)
    text = answered.json()["choices"][0]["message"]["content"]
    sent = b"\n".join(collector.bodies)
    assert b"POST /v1/chat/completions" in sent
    for secret in (SECRET_WORDS, text, gateway.key, COLLECTOR_SECRET, *SECRETS.values()):
        assert secret.encode() not in sent
    assert collector.headers[-1]["authorization"] == f"Bearer {COLLECTOR_SECRET}"
    assert COLLECTOR_SECRET not in gateway.log


def test_without_a_collector_trace_headers_pass_as_they_are(
    provider: OpenAIServer, searched: Served, tmp_path: Path
) -> None:
    """Where nothing is traced, a client's ``traceparent`` reaches the upstream unchanged, and none is made up."""
    with GatewayProcess(tmp_path / "home", _configuration(tmp_path, provider, searched), SECRETS) as gateway:
        _ask(gateway, "good", {"traceparent": f"00-{TRACE}-{CALLER}-01"})
        assert provider.last.headers["traceparent"] == f"00-{TRACE}-{CALLER}-01"
        answer = _ask(gateway, "good")
        assert "traceparent" not in provider.last.headers
        assert "trace_id" not in gateway.log_line(answer.headers["x-ponder-request-id"])


def test_nothing_is_imported_while_telemetry_is_off(tmp_path: Path) -> None:
    """A gateway without telemetry has none of the packages that send it in memory."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom gateway.app import Gateway\nfrom gateway.settings import places\n"
        f"Gateway(places({{'PONDER_HOME': {str(tmp_path)!r}, 'PONDER_CONFIG': {str(tmp_path / 'x.yaml')!r}}}), {{}})\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
