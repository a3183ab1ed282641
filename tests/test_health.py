"""Health and metrics: live, ready and degraded, and as many series as there are models."""

from __future__ import annotations

import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.upstreams.configuration import one_model
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gateway_process import GatewayProcess, awaited

pytest_plugins = ("tests.upstreams.fixtures",)

CHAT = "/v1/chat/completions"
TURNS: Any = [{"role": "user", "content": "Hello"}]
SERIES = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ", re.MULTILINE)


@pytest.fixture(name="running")
def _running(tmp_path: Path, faulty_server: FaultyServer) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path, one_model(faulty_server.address("hints-first")), {}) as process:
        yield process


def _health(gateway: GatewayProcess) -> dict[str, Any]:
    """Readiness as a balancer asks for it: without a key."""
    answer = httpx.get(f"{gateway.address}/health/ready")
    assert answer.status_code == 200
    health: dict[str, Any] = answer.json()
    return health


def _wait_for(gateway: GatewayProcess, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        health = _health(gateway)
        return health if health["status"] == status else None

    health: dict[str, Any] = awaited(look, f"the status {status!r}")
    return health


def _series(gateway: GatewayProcess) -> set[str]:
    return {match.group(0) for match in SERIES.finditer(gateway.get("/metrics").text)}


def test_live_and_ready_need_no_key(running: GatewayProcess) -> None:
    """Both probes answer 200 to whoever asks."""
    assert httpx.get(f"{running.address}/health/live").json() == {"status": "live"}
    assert _health(running) == {"status": "ready", "degraded": []}


def test_a_locked_database_degrades_and_loses_nothing(running: GatewayProcess) -> None:
    """While the database cannot be written, requests succeed and readiness says so; then every record is there."""
    with closing(sqlite3.connect(running.home / "ponder.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        ids = []
        for _ in range(5):
            answer = running.post(CHAT, json={"model": "m", "messages": TURNS})
            assert answer.status_code == 200
            ids.append(answer.headers["x-ponder-request-id"])
        health = _wait_for(running, "degraded")
        assert health["degraded"]
        assert running.post(CHAT, json={"model": "m", "messages": TURNS, "stream": True}).status_code == 200
        assert "\nponder_degraded 1.0\n" in running.get("/metrics").text
        database.execute("ROLLBACK")
    assert [running.record(identity)["result"] for identity in ids] == ["answered"] * 5
    _wait_for(running, "ready")


def test_records_made_while_the_database_was_locked_survive_the_process(running: GatewayProcess) -> None:
    """A process that ends while the database is locked leaves its records to the next one."""
    with closing(sqlite3.connect(running.home / "ponder.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        answer = running.post(CHAT, json={"model": "m", "messages": TURNS})
        running.send_signal(signal.SIGKILL)
        running.wait()
        database.execute("ROLLBACK")
    with running as restarted:
        record = restarted.record(answer.headers["x-ponder-request-id"])
    assert (record["result"], record["is_cost_complete"]) == ("answered", True)


def test_a_gateway_without_models_is_degraded(tmp_path: Path) -> None:
    """With nothing configured the gateway serves, says what is missing, and names the command that helps."""
    with GatewayProcess(tmp_path, {}, {}) as gateway:
        health = _health(gateway)
        assert health["status"] == "degraded"
        assert any("ponder doctor" in state for state in health["degraded"])
        answer = gateway.post(CHAT, json={"model": "m", "messages": TURNS})
        assert answer.status_code == 404
        assert "none" in answer.json()["error"]["message"]


def test_metrics_do_not_grow_with_what_callers_send(running: GatewayProcess) -> None:
    """Unknown models, paths, tags and keys add no series: names that callers make up are ``unknown`` or nothing."""

    def ask(number: int) -> None:
        name = f"made-up-{number}"
        tags = {"ponder": {"tags": {name: name}}}
        running.post(CHAT, json={"model": name, "messages": TURNS})
        running.post(CHAT, json={"model": "m", "messages": TURNS, **tags})
        running.post(CHAT, content=b"{", headers={"x-request-id": name})
        running.post(CHAT, json={}, headers={"authorization": f"Bearer {name}"})
        running.post(f"/v1/{name}", json={})
        running.get(f"/v1/models/{name}")

    ask(0)
    first = _series(running)
    for number in range(1, 30):
        ask(number)
    assert _series(running) == first
    text = running.get("/metrics").text
    assert "made-up" not in text
    assert f'ponder_requests_total{{endpoint="{CHAT}",model="unknown",result="refused"}} 30.0' in text
    assert f'ponder_requests_total{{endpoint="{CHAT}",model="m",result="answered"}} 30.0' in text
