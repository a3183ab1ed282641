"""A busy upstream: its queue is bounded and shared fairly; many connections and large bodies stay within bounds."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.admin.administrator import Administrator
from tests.upstreams.configuration import one_model
from tests.upstreams.gated_server import GatedServer
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.raw_client import RawConnection, head

pytest_plugins = ("tests.upstreams.fixtures",)

PLACES, QUEUE = 2, 4
FLOOD = 10
CONNECTIONS = 5_000
BYTES_PER_CONNECTION = 20_000
BODIES = 100_000
TURNS: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(name="busy")
def _busy(tmp_path: Path, gated_server: GatedServer) -> Iterator[GatewayProcess]:
    """A gateway whose upstream takes two calls at a time, and whose queue holds four."""
    settings = one_model(gated_server.address, limits={"bodies_bytes": BODIES})
    settings["upstreams"]["only"] |= {"connections": PLACES, "queue": QUEUE}
    with GatewayProcess(tmp_path, settings, {}) as process:
        yield process


def _waiting(gateway: GatewayProcess, count: int) -> None:
    line = f'ponder_upstream_requests_waiting{{upstream="only"}} {float(count)}\n'
    awaited(lambda: line in gateway.get("/metrics").text, f"{count} waiting requests")


def test_a_flood_is_shortened_and_a_quiet_key_gets_in(busy: GatewayProcess, gated_server: GatedServer) -> None:
    """Of ten requests at once six find a place or a spot; another key's request still gets one, for the flood's newest.

    Those refused are told 429 and when to come back, and cost nothing.
    """
    _, quiet = Administrator.of_home(busy.address, busy.home).key()

    def ask(secret: str) -> httpx.Response:
        body = {"model": "m", "messages": TURNS}
        return httpx.post(f"{busy.address}/v1/chat/completions", json=body, headers={"x-api-key": secret}, timeout=60)

    with ThreadPoolExecutor(FLOOD + 1) as clients:
        flood = [clients.submit(ask, busy.key) for _ in range(FLOOD)]
        _refused(flood, FLOOD - PLACES - QUEUE)
        _waiting(busy, QUEUE)
        late = clients.submit(ask, quiet)
        refused = _refused(flood, FLOOD - PLACES - QUEUE + 1)
        _waiting(busy, QUEUE)
        gated_server.open()
        assert late.result().status_code == 200
        served = [each.result() for each in flood if each.result().status_code == 200]
    assert len(served) == PLACES + QUEUE - 1
    for answer in refused:
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["code"] == "rate_limited"
    record = busy.record(refused[0].headers["x-ponder-request-id"])
    assert (record["result"], record["cost_usd"], record["calls"]) == ("refused", "0", [])


def _refused(flood: list[Future[httpx.Response]], count: int) -> list[httpx.Response]:
    def find() -> Any:
        done = [each.result() for each in flood if each.done()]
        refused = [answer for answer in done if answer.status_code == 429]
        return refused if len(refused) == count else None

    found: list[httpx.Response] = awaited(find, f"{count} refusals")
    return found


def test_bodies_beyond_what_memory_is_for_are_refused(busy: GatewayProcess, gated_server: GatedServer) -> None:
    """While one request's body takes nearly all that bodies may, another's is refused with 503; then it is served."""
    large = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * (BODIES - 200)}]}).encode()
    credential = f"authorization: Bearer {busy.key}"
    with RawConnection(busy) as connection:
        connection.send(head("/v1/chat/completions", credential, f"content-length: {len(large)}") + large)
        gated_server.wait_until_halfway()
        answer = busy.post("/v1/messages", json={"model": "m", "messages": TURNS * 8, "max_tokens": 9})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "limits.bodies_bytes" in answer.json()["error"]["message"]
        gated_server.open()
        connection.answer()
    assert busy.post("/v1/messages", json={"model": "m", "messages": TURNS * 8, "max_tokens": 9}).status_code == 200


def test_five_thousand_connections_take_bounded_memory(busy: GatewayProcess) -> None:
    """Each open connection with half a request takes less than 20 kB, and the gateway serves beside them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    begun = head("/v1/chat/completions", f"authorization: Bearer {busy.key}", "content-length: 200") + b'{"model"'
    before = busy.resident_bytes()
    connections: list[socket.socket] = []
    try:
        for _ in range(CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", busy.port))
            connection.sendall(begun)
            connections.append(connection)
        line = f"ponder_requests_in_flight {float(CONNECTIONS)}\n"
        awaited(lambda: line in busy.get("/metrics").text, "all requests to have begun")
        assert busy.get("/v1/models").status_code == 200
        taken = busy.resident_bytes() - before
    finally:
        for each in connections:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert taken < CONNECTIONS * BYTES_PER_CONNECTION
    awaited(lambda: "ponder_bodies_bytes 0.0\n" in busy.get("/metrics").text, "the bodies to be gone")
