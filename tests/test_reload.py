"""Hot reload of ``ponder.yaml`` and policies: on change or SIGHUP, whole or not at all, and no request notices."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.admin.administrator import Administrator
from tests.policy.documents import policy_text, write_policy
from tests.upstreams.configuration import one_model
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gated_server import GatedServer
from tests.upstreams.gateway_process import GatewayProcess, awaited

pytest_plugins = ("tests.upstreams.fixtures",)

TURNS: Any = [{"role": "user", "content": "Hello"}]
BROKEN = {
    "not YAML": "models: [",
    "an unknown key": "modells: {}",
    "a model without its upstream": "models: {other: {upstream: nowhere}}",
    "a key that is not set": "upstreams: {x: {kind: openai, api_key_env: NOT_SET_ANYWHERE}}",
    "a day that does not exist": "models: 2026-02-31",
}


@pytest.fixture(name="settings")
def _settings(faulty_server: FaultyServer) -> dict[str, Any]:
    return one_model(faulty_server.address("hints-first"))


@pytest.fixture(name="running")
def _running(tmp_path: Path, settings: dict[str, Any]) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path, settings, {}) as process:
        yield process


def _models(gateway: GatewayProcess) -> list[str]:
    listed = [row["id"] for row in gateway.get("/v1/models").json()["data"]]
    return [name for name in listed if name.partition(":")[0] != "auto"]


def _health(gateway: GatewayProcess) -> dict[str, Any]:
    answer = gateway.get("/health/ready")
    assert answer.status_code == 200
    health: dict[str, Any] = answer.json()
    return health


def _wait_for_models(gateway: GatewayProcess, *names: str) -> None:
    awaited(lambda: _models(gateway) == list(names), f"the models {names}")


def _ask(gateway: GatewayProcess, model: str) -> httpx.Response:
    return gateway.post("/v1/chat/completions", json={"model": model, "messages": TURNS})


def test_a_changed_file_is_applied(running: GatewayProcess, settings: dict[str, Any]) -> None:
    """A model that is renamed in the file answers under its new name without a restart, and no longer under its old."""
    assert _ask(running, "m").status_code == 200
    settings["models"] = {"renamed": settings["models"]["m"]}
    running.configure(settings)
    _wait_for_models(running, "renamed")
    assert _ask(running, "renamed").status_code == 200
    assert _ask(running, "m").status_code == 404
    assert _health(running) == {"status": "ready", "degraded": []}


def test_sighup_reads_the_file_again(running: GatewayProcess) -> None:
    """SIGHUP reads the file even when it has not changed, and ends nothing."""
    running.send_signal(signal.SIGHUP)
    awaited(lambda: "configuration loaded" in running.log, "the reload")
    assert _ask(running, "m").status_code == 200


def test_a_broken_file_keeps_the_old_configuration(running: GatewayProcess, settings: dict[str, Any]) -> None:
    """Whatever is wrong with the file, nothing of it is applied; readiness says so until it is repaired."""
    for text in BROKEN.values():
        running.configure(text)
        health = awaited(lambda: _only_if_degraded(running), "the degraded state")
        assert "the old one serves" in health["degraded"][0]
        assert _models(running) == ["m"]
        assert _ask(running, "m").status_code == 200
        running.configure(settings)
        awaited(lambda: _health(running)["status"] == "ready", "the repair")


def _only_if_degraded(gateway: GatewayProcess) -> dict[str, Any] | None:
    health = _health(gateway)
    return health if health["status"] == "degraded" else None


def _policies(gateway: GatewayProcess) -> dict[str, str]:
    listed = Administrator.of_home(gateway.address, gateway.home).get("/policies")["data"]
    return {policy["name"]: policy["digest"] for policy in listed}


def test_a_broken_policy_keeps_all_old_ones(running: GatewayProcess) -> None:
    """A policy that is added is in force; while one of them is not valid nothing changes, and readiness says so."""
    folder = running.home / "policies"
    write_policy(folder, "ours")
    before = awaited(lambda: found if "ours" in (found := _policies(running)) else None, "the policy")
    write_policy(folder, "ours", policy_text("ours", deadline_s=9) + "armz: {}\n")
    write_policy(folder, "more")
    health = awaited(lambda: _only_if_degraded(running), "the degraded state")
    assert "ours/policy.yaml:4: armz: unknown key" in health["degraded"][0]
    assert _policies(running) == before
    write_policy(folder, "ours", policy_text("ours", deadline_s=9))
    awaited(lambda: _health(running)["status"] == "ready", "the repair")
    after = _policies(running)
    assert after.keys() == {*before, "more"}
    assert after["ours"] != before["ours"]


def test_a_rollback_needs_no_valid_file_and_survives_a_restart(tmp_path: Path, settings: dict[str, Any]) -> None:
    """While the file is broken its last valid version can be rolled back, and after a restart it still is."""
    digests: list[str] = []
    with GatewayProcess(tmp_path, settings, {}) as gateway:
        for count in (1, 2):
            write_policy(gateway.home / "policies", "ours", policy_text("ours", deadline_s=count))
            awaited(lambda: _policies(gateway).get("ours") not in (None, *digests), "the version")
            digests.append(_policies(gateway)["ours"])
        write_policy(gateway.home / "policies", "ours", "broken")
        awaited(lambda: _only_if_degraded(gateway), "the degraded state")
        Administrator.of_home(gateway.address, gateway.home).done("POST", "/policies/ours/rollback")
        assert _policies(gateway)["ours"] == digests[0]
        write_policy(gateway.home / "policies", "ours", policy_text("ours", deadline_s=2))
    with GatewayProcess(tmp_path, settings, {}) as gateway:
        assert _policies(gateway)["ours"] == digests[0]
        Administrator.of_home(gateway.address, gateway.home).done("POST", "/policies/ours/release")
        assert _policies(gateway)["ours"] == digests[1]


def test_a_removed_file_keeps_the_old_configuration(running: GatewayProcess) -> None:
    """A file that vanishes is a fault of the file, not a wish for defaults."""
    (running.home / "ponder.yaml").unlink()
    health = awaited(lambda: _only_if_degraded(running), "the degraded state")
    assert "ponder.yaml is gone" in health["degraded"][0]
    assert _ask(running, "m").status_code == 200


def test_what_needs_a_restart_is_told(running: GatewayProcess, settings: dict[str, Any]) -> None:
    """A change that only a restart applies is not dropped in silence, and the rest of the file is applied."""
    settings["models"]["second"] = settings["models"]["m"]
    running.configure({**settings, "cors": {"allow_origins": ["https://example.com"]}})
    _wait_for_models(running, "m", "second")
    assert _health(running)["degraded"] == ["changes that take effect at the next start: cors"]


def test_a_stream_outlives_the_removal_of_its_upstream(tmp_path: Path, gated_server: GatedServer) -> None:
    """A reload takes an upstream away; the stream that it had begun comes to its end and is recorded."""
    settings = one_model(gated_server.address)
    with GatewayProcess(tmp_path, settings, {}) as gateway:
        headers = {"authorization": f"Bearer {gateway.key}"}
        body = {"model": "m", "messages": TURNS, "stream": True}
        with httpx.stream(
            "POST", f"{gateway.address}/v1/chat/completions", json=body, headers=headers, timeout=30
        ) as answer:
            gated_server.wait_until_halfway()
            other = {"upstreams": {"new": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}}
            gateway.configure({**other, "models": {"n": {"upstream": "new", "price": "free"}}})
            _wait_for_models(gateway, "n")
            gated_server.open()
            assert b"data: [DONE]" in answer.read()
        record = gateway.record(answer.headers["x-ponder-request-id"])
    assert record["result"] == "answered"
    assert record["calls"][0]["upstream"] == "only"
    assert float(record["cost_usd"]) > 0
