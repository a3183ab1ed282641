"""Shutdown on SIGTERM: what is under way is finished and recorded, and the exit code says that all went well."""

from __future__ import annotations

import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.upstreams.configuration import one_model
from tests.upstreams.gated_server import GatedServer
from tests.upstreams.gateway_process import GatewayProcess, awaited

pytest_plugins = ("tests.upstreams.fixtures",)

TURNS: Any = [{"role": "user", "content": "Hello"}]


def _refuses_connections(gateway: GatewayProcess) -> bool:
    try:
        httpx.get(f"{gateway.address}/health/live", timeout=2)
    except httpx.TransportError:
        return True
    return False


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_finished_and_recorded(
    tmp_path: Path, gated_server: GatedServer, stop: signal.Signals
) -> None:
    """New connections are refused at once; a stream and a whole answer in flight end well and are in the database."""
    with GatewayProcess(tmp_path, one_model(gated_server.address), {}) as gateway, ThreadPoolExecutor() as threads:
        bodies = [{"model": "m", "messages": TURNS, "stream": is_stream} for is_stream in (True, False)]
        asked = [threads.submit(gateway.post, "/v1/chat/completions", json=body) for body in bodies]
        for _ in asked:
            gated_server.wait_until_halfway()
        gateway.send_signal(stop)
        awaited(lambda: _refuses_connections(gateway), "a closed door")
        gated_server.open()
        answers = [future.result() for future in asked]
        assert gateway.wait() == 0
    assert [answer.status_code for answer in answers] == [200, 200]
    assert b"data: [DONE]" in answers[0].content
    assert answers[1].json()["choices"]
    with sqlite3.connect(tmp_path / "ponder.db") as database:
        rows = database.execute("SELECT id, result FROM requests").fetchall()
    database.close()
    ids = {answer.headers["x-ponder-request-id"].replace("-", "") for answer in answers}
    assert {str(row[0]).replace("-", "") for row in rows} == ids
    assert {row[1] for row in rows} == {"answered"}
    assert "Traceback" not in gateway.log


def test_a_gateway_that_leaves_says_so_first_and_serves_on(tmp_path: Path, gated_server: GatedServer) -> None:
    """During its notice it is not ready, answers what still comes, and asks each client to go; then it ends."""
    gated_server.open()
    configuration = one_model(gated_server.address, shutdown={"notice_s": 2})
    with GatewayProcess(tmp_path, configuration, {}) as gateway, httpx.Client(base_url=gateway.address) as client:
        assert client.get("/health/ready").status_code == 200
        gateway.send_signal(signal.SIGTERM)
        refusal = awaited(lambda: _unready(client), "a word that it stops")
        assert refusal.json()["status"] == "stopping"
        assert refusal.headers["connection"] == "close"
        answer = gateway.post("/v1/chat/completions", json={"model": "m", "messages": TURNS})
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        assert gateway.wait() == 0


def _unready(client: httpx.Client) -> httpx.Response | None:
    answer = client.get("/health/ready")
    return answer if answer.status_code == 503 else None


def test_an_idle_gateway_ends_with_zero(tmp_path: Path) -> None:
    """Without anything under way SIGTERM ends the process with exit code 0, kept connections or not."""
    with (
        GatewayProcess(tmp_path, one_model("http://127.0.0.1:9"), {}) as gateway,
        httpx.Client(base_url=gateway.address) as client,
    ):
        assert client.get("/health/live").status_code == 200
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait() == 0
