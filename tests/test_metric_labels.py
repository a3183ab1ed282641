"""The labels of metrics: of the configuration alone, whatever is asked, so that their number is bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from gateway.domain.ask import Operation
from gateway.domain.record import Result
from gateway.errors import PonderError
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.openai_server import OpenAIServer

MODELS = {"good", "gone"}
_ROUNDS = 12
_BUILT_IN = {"auto", "unknown"}
_PATHS = re.compile(r"/v1/[a-z_/{}]+|/admin|/dashboard|other")
_WORD = re.compile(r"[a-z_]+")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with two models, of which one answers."""
    with OpenAIServer() as provider:
        price = {"input_per_mtok": 1, "output_per_mtok": 2}
        settings = {
            "upstreams": {"near": {"kind": "openai", "base_url": f"{provider.address}/v1", "api_key_env": "NO_KEY"}},
            "models": {
                "good": {"upstream": "near", "name": "qwen3-8b", "price": price},
                "gone": {"upstream": "near", "name": "not-there", "price": price},
            },
        }
        with GatewayProcess(tmp_path_factory.mktemp("labels"), settings, {"NO_KEY": "x"}) as running:
            yield running


def _series(gateway: GatewayProcess) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    text = gateway.get("/metrics").text
    return {(sample.name, tuple(sorted(sample.labels.items()))) for family in parse(text) for sample in family.samples}


def _ask_anything(gateway: GatewayProcess, number: int) -> None:
    """What nobody asked before: names, paths, methods, headers, keys, tags and users."""
    ask = {"messages": [{"role": "user", "content": f"hello {number}"}], "max_tokens": 8}
    more = {"user": f"user-{number}", "ponder": {"tags": {f"tag{number}": f"value-{number}"}}}
    for model in ("good", "gone", f"model-{number}", f"arm:arm-{number}", f"auto:policy-{number}"):
        gateway.post("/v1/chat/completions", json={"model": model, **ask, **more})
    headers = {"x-ponder-category": f"category-{number}", "user-agent": f"agent/{number}"}
    gateway.post("/v1/messages", json={"model": f"claude-{number}", **ask}, headers=headers)
    gateway.post(f"/v1/{number}", json=ask)
    gateway.get(f"/v1/requests/{number}")
    gateway.get(f"/v1/models/{number}")
    for path in (f"/admin/keys/{number}", f"/dashboard/{number}", f"/{number}", f"/health/{number}"):
        httpx.get(f"{gateway.address}{path}", headers={"authorization": f"Bearer sk-ponder-{number}"})
    httpx.request(f"METHOD{number}", f"{gateway.address}/v1/chat/completions")


def test_no_request_makes_a_label_of_its_own(gateway: GatewayProcess) -> None:
    """After a first round of odd requests, ten more of other names, paths and keys add no series at all."""
    for number in range(2):
        _ask_anything(gateway, number)
    before = _series(gateway)
    for number in range(2, _ROUNDS):
        _ask_anything(gateway, number)
    assert _series(gateway) == before


def test_labels_are_of_known_sets(gateway: GatewayProcess) -> None:
    """Models and upstreams are those of the configuration, endpoints those that there are, the rest our own words."""
    _ask_anything(gateway, 1)
    codes = {"client_gone", *_codes(PonderError)}
    allowed = {
        "model": MODELS | _BUILT_IN,
        "gen_ai_request_model": MODELS | _BUILT_IN,
        "upstream": {"near"},
        "code": codes,
        "result": set(Result),
        "gen_ai_operation_name": set(Operation),
        "gen_ai_token_type": {"input", "cached", "cache_write", "output", "thinking"},
    }
    seen: dict[str, set[str]] = {}
    for _, labels in _series(gateway):
        for name, value in labels:
            seen.setdefault(name, set()).add(value)
    assert all(_PATHS.fullmatch(value) for value in seen.pop("endpoint"))
    assert all(re.fullmatch(r"[\d.]+|\+Inf", value) for value in seen.pop("le"))
    for name, values in seen.items():
        if name in allowed:
            assert values <= allowed[name], name
        else:
            assert all(_WORD.fullmatch(value) for value in values), name


def _codes(kind: type[PonderError]) -> Iterator[str]:
    yield kind.code
    for each in kind.__subclasses__():
        yield from _codes(each)
