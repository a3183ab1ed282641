"""Stored provider keys through the real gateway: they work without a restart, and come out nowhere in clear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.admin.administrator import Administrator
from tests.upstreams import openai_server as provider
from tests.upstreams.configuration import PRICE
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.openai_server import OpenAIServer

pytest_plugins = ("tests.upstreams.fixtures",)

WRONG = "sk-canary-wrong-0123456789abcdef"
TURNS: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(name="settings")
def _settings(openai_server: OpenAIServer) -> dict[str, Any]:
    upstream = {"kind": "openai", "base_url": f"{openai_server.address}/v1", "dialects": ["openai-chat"]}
    return {
        "upstreams": {
            "acme": {**upstream, "api_key": "stored", "retries": 0},
            "other": {**upstream, "api_key_env": "OTHER_KEY"},
        },
        "models": {name: {"upstream": name, "name": "gpt-4.1-mini", "price": PRICE} for name in ("acme", "other")},
    }


@pytest.fixture(name="gateway")
def _gateway(tmp_path: Path, settings: dict[str, Any]) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path, settings, {"OTHER_KEY": provider.KEY}) as process:
        yield process


def _ask(gateway: GatewayProcess, model: str) -> httpx.Response:
    return gateway.post("/v1/chat/completions", json={"model": model, "messages": TURNS})


def _degraded(gateway: GatewayProcess) -> list[str]:
    states: list[str] = gateway.get("/health/ready").json()["degraded"]
    return states


def _wait_for(gateway: GatewayProcess, status: int) -> httpx.Response:
    def find() -> httpx.Response | None:
        answer = _ask(gateway, "acme")
        return answer if answer.status_code == status else None

    answer: httpx.Response = awaited(find, f"an answer {status}")
    return answer


def test_a_key_is_taken_up_changed_and_removed_while_running(gateway: GatewayProcess) -> None:
    """Without its key an upstream refuses and others answer; each change of the key takes effect without a restart."""
    admin = Administrator.of_home(gateway.address, gateway.home)
    refused = _ask(gateway, "acme")
    assert refused.status_code == 502
    assert "ponder provider-keys set acme" in refused.json()["error"]["message"]
    assert _ask(gateway, "other").status_code == 200
    assert _degraded(gateway) == ["upstreams.acme: no key is stored for it: ponder provider-keys set acme"]
    admin.done("PUT", "/provider-keys/acme", {"key": provider.KEY})
    _wait_for(gateway, 200)
    assert _degraded(gateway) == []
    admin.done("PUT", "/provider-keys/acme", {"key": WRONG})
    assert "does not accept the gateway's credentials" in _wait_for(gateway, 502).text
    admin.done("DELETE", "/provider-keys/acme")
    awaited(lambda: "has no key" in _ask(gateway, "acme").text, "the removal")
    assert _ask(gateway, "other").status_code == 200


def test_a_changed_key_is_taken_up_beside_a_broken_file(gateway: GatewayProcess) -> None:
    """A fault in ponder.yaml does not keep a leaked key in use: a new one is taken up by the old configuration."""
    admin = Administrator.of_home(gateway.address, gateway.home)
    gateway.configure("models: [")
    awaited(lambda: "the old one serves" in str(_degraded(gateway)), "the refused file")
    admin.done("PUT", "/provider-keys/acme", {"key": provider.KEY})
    _wait_for(gateway, 200)
    assert "the old one serves" in str(_degraded(gateway))


def test_no_stored_key_comes_out_in_clear(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Set, refused by the provider, rotated, kept over a restart, replaced: the key is in no answer, log or file."""
    told = []
    with GatewayProcess(tmp_path, settings, {"OTHER_KEY": provider.KEY}) as gateway:
        admin = Administrator.of_home(gateway.address, gateway.home)
        told.append(admin.ask("PUT", "/provider-keys/acme", {"key": WRONG}).text)
        told.append(admin.ask("PUT", "/provider-keys/acme", {"key": WRONG, "more": WRONG}).text)
        told.append(admin.ask("PUT", "/provider-keys/acme", {"key": f"{WRONG} {WRONG}"}).text)
        awaited(lambda: "credentials" in _ask(gateway, "acme").text, "the refusal of the provider")
        log = gateway.log
    with GatewayProcess(tmp_path, settings, {"OTHER_KEY": provider.KEY}) as gateway:
        admin = Administrator.of_home(gateway.address, gateway.home)
        refused = _ask(gateway, "acme")
        assert "does not accept the gateway's credentials" in refused.text
        told += [refused.text, str(refused.headers), gateway.get("/metrics").text, gateway.get("/health/ready").text]
        told += [str(admin.get("/provider-keys")), str(admin.get("/audit")), gateway.get("/openapi.json").text]
        told += [admin.ask("DELETE", f"/provider-keys/{WRONG}").text]
        log += gateway.log
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {"ponder.db", "ponder.db-wal"} <= {path.name for path in files}
        assert not [path for path in files if WRONG.encode() in path.read_bytes()]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and WRONG.encode() in path.read_bytes()]
    assert WRONG not in log
    assert not [text for text in told if WRONG in text]
