"""Promise: whatever is sent to an endpoint of our own OpenAPI document, the gateway answers, and without a 5xx."""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import APIOperation, Case, GenerationMode

from tests.upstreams.gateway_process import GatewayProcess

pytest_plugins = ("tests.upstreams.fixtures",)

SEED = 20261122
EXAMPLES = 20
"""For each operation and each of the two modes; all together take half a minute on two cores."""
SERVER_ERROR = 500
MODELS = ["gpt-4.1-mini", "claude-haiku-4-5", "qwen3-8b", "responder", "nobody"]
EMBEDDERS = ["text-embedding-3-small", "nobody"]
MODEL_PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings")
PLAIN_TURN = {
    "type": "object",
    "additionalProperties": False,
    "required": ["role", "content"],
    "properties": {"role": {"enum": ["user"]}, "content": {"type": "string", "minLength": 1}},
}
ODD_TURN = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"enum": ["user", "assistant", "system", "tool"]}, "content": {}},
}


def _odd(body: dict[str, Any], models: list[str]) -> dict[str, Any]:
    """A body as our document has it, for models that there are."""
    changed = {"model": {"enum": models}}
    if "messages" in body["properties"]:
        changed["messages"] = {"type": "array", "items": {"anyOf": [ODD_TURN, {"type": "object"}]}}
    return {**body, "properties": {**body["properties"], **changed}}


def _plain(body: dict[str, Any], models: list[str]) -> dict[str, Any]:
    """A body that providers take: few of the odd ones get as far as an answer."""
    named = {
        "model": {"enum": models[:-1]},
        "messages": {"type": "array", "minItems": 1, "items": PLAIN_TURN},
        "input": {"type": "string", "minLength": 1},
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": 4096},
        "stream": {"type": "boolean"},
    }
    kept = {
        name: named[name] for name in (*body["required"], "stream") if name in body["properties"] or name == "input"
    }
    return {**body, "properties": kept, "additionalProperties": False}


def _operations(gateway: GatewayProcess) -> Iterator[tuple[str, APIOperation[Any, Any, Any], GenerationMode]]:
    """Every operation, with valid and with invalid examples; those that call a model, with plain ones too."""
    document = gateway.get("/openapi.json").json()
    plain: dict[str, Any] = {**document, "paths": {}}
    for path in MODEL_PATHS:
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        models = EMBEDDERS if path == "/v1/embeddings" else MODELS
        plain["paths"][path] = copy.deepcopy(document["paths"][path])
        plain["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"] = _plain(
            content["schema"], models
        )
        content["schema"] = _odd(content["schema"], models)
    for kind, described in (("", document), (" plain", plain)):
        for result in schemathesis.openapi.from_dict(described).get_all_operations():
            operation = result.ok()
            yield f"{operation.label}{kind} valid", operation, GenerationMode.POSITIVE
            if not kind:
                yield f"{operation.label} invalid", operation, GenerationMode.NEGATIVE


def test_no_endpoint_answers_5xx(gateway: GatewayProcess, subtests: pytest.Subtests) -> None:
    """Valid and invalid bodies, parameters and paths are all answered below 500, as our document says they can be."""
    seen: defaultdict[str, set[int]] = defaultdict(set)
    admin_key = (gateway.home / "admin.key").read_text("utf-8").strip()
    for name, operation, mode in _operations(gateway):
        key = admin_key if operation.path.startswith("/admin") else gateway.key
        with subtests.test(name):
            _fuzz(gateway, operation, mode, key, seen[operation.path])
    for path in MODEL_PATHS:
        assert {200, 400, 404} <= seen[path], (path, seen[path])
    assert "Traceback" not in gateway.log
    assert "a fault of the gateway" not in gateway.log


def _fuzz(
    gateway: GatewayProcess, operation: APIOperation[Any, Any, Any], mode: GenerationMode, key: str, seen: set[int]
) -> None:
    documented = operation.definition.raw["responses"].keys()

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Case) -> None:
        answer = case.call(base_url=gateway.address, headers={"authorization": f"Bearer {key}"}, timeout=30)
        assert answer.status_code < SERVER_ERROR, (answer.status_code, answer.text)
        assert str(answer.status_code) in documented, (answer.status_code, answer.text)
        seen.add(answer.status_code)

    attempt()


def test_every_endpoint_asks_for_a_key(gateway: GatewayProcess) -> None:
    """Without a key every documented endpoint but health and metrics answers 401, whatever it is asked."""
    open_to_all = set()
    for path, methods in gateway.get("/openapi.json").json()["paths"].items():
        for method in methods:
            address = gateway.address + re.sub(r"\{\w+\}", "some", path)
            answer = httpx.request(method.upper(), address, content=b"{}", timeout=30)
            if answer.status_code != httpx.codes.UNAUTHORIZED:
                open_to_all.add(path)
    assert open_to_all == {"/health/live", "/health/ready", "/metrics"}
