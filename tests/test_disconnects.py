"""Clients that leave: the upstream is told at once, and the record says what happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.upstreams.configuration import one_model
from tests.upstreams.gated_server import GatedServer
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.raw_client import RawConnection, head

pytest_plugins = ("tests.upstreams.fixtures",)

TURNS: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(name="running")
def _running(tmp_path: Path, gated_server: GatedServer) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path, one_model(gated_server.address), {}) as process:
        yield process


def _request(gateway: GatewayProcess, *, is_stream: bool) -> bytes:
    body = json.dumps({"model": "m", "messages": TURNS, "stream": is_stream}).encode()
    credential = f"authorization: Bearer {gateway.key}"
    return head("/v1/chat/completions", credential, f"content-length: {len(body)}") + body


def _line_of_disconnect(gateway: GatewayProcess) -> dict[str, Any]:
    def find() -> Any:
        lines = [json.loads(line) for line in gateway.log.splitlines() if '"result":"disconnected"' in line]
        return lines[0] if lines else None

    line: dict[str, Any] = awaited(find, "the log line of a client that left")
    return line


def _in_flight(gateway: GatewayProcess) -> bool:
    return "\nponder_requests_in_flight 0.0\n" not in gateway.get("/metrics").text


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_a_client_that_leaves_in_the_middle(
    running: GatewayProcess, gated_server: GatedServer, *, is_stream: bool
) -> None:
    """The upstream's connection is closed while its answer is half sent, and the request is on record as left."""
    with RawConnection(running) as connection:
        connection.send(_request(running, is_stream=is_stream))
        gated_server.wait_until_halfway()
    gated_server.wait_until_caller_leaves()
    line = _line_of_disconnect(running)
    assert (line["status"], line["calls"]) == (499, 1)
    record = running.record(line["request_id"])
    assert (record["result"], record["status"]) == ("disconnected", 499)
    (call,) = record["calls"]
    assert call["result"] == "disconnected"
    if is_stream:
        assert call["spent"]["source"] == "estimated"
        assert call["spent"]["output_tokens"] >= 1
        assert float(record["cost_usd"]) > 0
    else:  # nobody can know what an answer cost whose usage never came: unknown is not zero
        assert call["spent"] is None
        assert record["is_cost_complete"] is False
    assert not _in_flight(running)


def test_leaving_clients_do_not_disturb_the_others(running: GatewayProcess, gated_server: GatedServer) -> None:
    """Of many requests under way, those whose clients stay come to their ends when half of the clients leave."""
    staying = [RawConnection(running) for _ in range(10)]
    leaving = [RawConnection(running) for _ in range(10)]
    for number, connection in enumerate([*staying, *leaving]):
        connection.send(_request(running, is_stream=number % 2 == 0))
        gated_server.wait_until_halfway()
    for connection in leaving:
        connection.__exit__(None, None, None)
    for _ in leaving:
        gated_server.wait_until_caller_leaves()
    gated_server.open()
    for connection in staying:
        with connection:
            response, body = connection.answer()
            assert response.status == 200
            assert b"error" not in body
    awaited(lambda: not _in_flight(running), "the end of all requests")
    assert "Traceback" not in running.log
