"""Providers that misbehave: what the client sees, what is recorded, and that nothing hangs or ends falsely."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.upstreams.configuration import PRICE, REFUSED
from tests.upstreams.faults import RETRY_AFTER_S
from tests.upstreams.faulty_exchange import ANSWER
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.heard import anthropic_client, openai_client

pytest_plugins = ("tests.upstreams.fixtures",)

TURNS: Any = [{"role": "user", "content": "Hello"}]
WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Client:
    """A client dialect: where it asks, and how its streams end."""

    path: str
    body: dict[str, Any]
    terminal: bytes


CLIENTS = {
    "chat": Client("/v1/chat/completions", {"messages": TURNS}, b"data: [DONE]"),
    "responses": Client("/v1/responses", {"input": TURNS}, b"response.completed"),
    "messages": Client("/v1/messages", {"messages": TURNS, "max_tokens": 99}, b"message_stop"),
}
PAIRS = [
    ("chat", "chat"),
    ("messages", "messages"),
    ("chat", "messages"),
    ("messages", "chat"),
    ("responses", "chat"),
]
"""Client dialect and upstream dialect: both pass-throughs that a fault can meet, and translations."""

COMMON = {
    REFUSED: (502, "failed"),
    "reset-before-headers": (502, "failed"),
    "close-before-headers": (502, "failed"),
    "hang-before-headers": (504, "timed_out"),
    "hang-after-headers": (504, "timed_out"),
    "rate-limited": (429, "failed"),
    "rate-limited-retry-after": (429, "failed"),
    "error-500": (502, "failed"),
    "error-502": (502, "failed"),
    "error-503": (503, "failed"),
    "error-529": (503, "failed"),
    "wrong-content-type": (502, "failed"),
    "error-body-with-200": (502, "failed"),
    "redirect": (502, "failed"),
    "huge-body": (502, "failed"),
    "gzip-answer": (502, "failed"),
}
"""Faults before the first answer event → the status that the client sees and the recorded result."""

WHOLE = {
    **COMMON,
    "malformed-json": (502, "failed"),
    "bad-utf8": (502, "failed"),
    "bad-chunking": (502, "failed"),
    "short-body": (502, "failed"),
}
BEFORE_STREAM = {**COMMON, "empty-stream": (502, "failed"), "error-event-first": (None, "failed")}
IN_STREAM = {
    "cut": "truncated",
    "cut-inside-event": "truncated",
    "reset-mid-stream": "truncated",
    "bad-chunking": "truncated",
    "malformed-json": "truncated",
    "bad-utf8": "truncated",
    "overlong-line": "truncated",
    "error-event": "failed",
    "stall": "timed_out",
}
"""Faults in a stream that has begun → the recorded result."""

UNBILLED = {REFUSED, "rate-limited", "rate-limited-retry-after", "error-500", "error-502", "error-503", "error-529"}
OPENAI_TYPES = {429: "rate_limit_error"}
ANTHROPIC_TYPES = {429: "rate_limit_error", 502: "api_error", 503: "overloaded_error", 504: "timeout_error"}


def ask(gateway: GatewayProcess, pair: tuple[str, str], fault: str, *, stream: bool, **more: Any) -> httpx.Response:
    """Ask a model that has ``fault``, as the pair's client."""
    client = CLIENTS[pair[0]]
    body = {"model": f"{pair[1]}/{fault}", "stream": stream, **client.body, **more}
    return gateway.post(client.path, content=json.dumps(body))


def check_error(answer: httpx.Response, dialect: str, status: int) -> None:
    """An error of the right status, in the dialect's own shape and with its own type."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    if dialect == "messages":
        assert set(body) == {"type", "error", "request_id"}
        assert body["type"] == "error"
        assert body["error"]["type"] == ANTHROPIC_TYPES[status]
        return
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code", "help"}
    assert body["error"]["type"] == OPENAI_TYPES.get(status, "server_error")
    assert body["error"]["code"].startswith("upstream_")


def check_record(gateway: GatewayProcess, answer: httpx.Response, fault: str, result: str) -> dict[str, Any]:
    """The record tells the result, the failed call, and no cost that nobody knows."""
    record = gateway.record(answer.headers["x-ponder-request-id"])
    assert record["result"] == result
    assert record["status"] == answer.status_code
    (call,) = record["calls"]
    assert call["result"] == ("failed" if result == "truncated" else result)
    assert call["error"].startswith("upstream_")
    if fault in UNBILLED:
        assert (record["cost_usd"], record["is_cost_complete"]) == ("0", True)
    return record


def statuses(expected: dict[str, tuple[Any, str]]) -> list[Any]:
    """Parameters for each pair and fault."""
    return [
        pytest.param(pair, fault, *expected[fault], id=f"{pair[0]}-{pair[1]}-{fault}")
        for pair in PAIRS
        for fault in expected
    ]


@pytest.mark.parametrize(("pair", "fault", "status", "result"), statuses(WHOLE))
def test_faults_without_streaming(
    faulty_gateway: GatewayProcess, *, pair: tuple[str, str], fault: str, status: int, result: str
) -> None:
    """A fault is an error of the right status in the client's dialect, recorded, and never retried past its terms."""
    answer = ask(faulty_gateway, pair, fault, stream=False)
    check_error(answer, pair[0], status)
    waits = {"rate-limited-retry-after", "error-503"}
    assert answer.headers.get("retry-after") == (str(RETRY_AFTER_S) if fault in waits else None)
    check_record(faulty_gateway, answer, fault, result)


@pytest.mark.parametrize(("pair", "fault", "status", "result"), statuses(BEFORE_STREAM))
def test_faults_before_a_stream_begins(
    faulty_gateway: GatewayProcess, *, pair: tuple[str, str], fault: str, status: int | None, result: str
) -> None:
    """Until the first answer event a stream's fault is an ordinary error with its status, not an empty stream."""
    answer = ask(faulty_gateway, pair, fault, stream=True)
    if status is None:  # Anthropic says "overloaded" in its event, OpenAI "server_error"
        status = 503 if pair[1] == "messages" else 502
    check_error(answer, pair[0], status)
    check_record(faulty_gateway, answer, fault, result)


@pytest.mark.parametrize(
    ("pair", "fault", "result"),
    [
        pytest.param(pair, fault, result, id=f"{pair[0]}-{pair[1]}-{fault}")
        for pair in PAIRS
        for fault, result in IN_STREAM.items()
    ],
)
def test_faults_in_a_stream(faulty_gateway: GatewayProcess, *, pair: tuple[str, str], fault: str, result: str) -> None:
    """A stream that breaks ends in an error event of the client's dialect, and never as if it were whole."""
    answer = ask(faulty_gateway, pair, fault, stream=True)
    assert answer.status_code == 200
    client = CLIENTS[pair[0]]
    assert client.terminal not in answer.content
    assert b"A true" in answer.content or b'"A tru' in answer.content
    events = [event for event in answer.content.split(b"\n\n") if event]
    data = json.loads(events[-1].partition(b"data: ")[2])
    if pair[0] == "messages":
        assert events[-1].startswith(b"event: error\n")
        assert data["type"] == "error"
        assert data["error"]["message"]
    elif pair[0] == "chat":
        assert data["error"]["message"]
    else:
        assert data["type"] in ("error", "response.failed")
    record = check_record(faulty_gateway, answer, fault, result)
    spent = record["calls"][0]["spent"]
    assert spent["source"] in ("estimated", "partial", "reported")
    assert spent["output_tokens"] >= 1
    assert float(record["cost_usd"]) > 0


@pytest.mark.parametrize("fault", ["cut", "error-event", "reset-mid-stream"])
def test_official_clients_raise_on_a_broken_stream(faulty_gateway: GatewayProcess, fault: str) -> None:
    """Both official packages raise their own error when a stream breaks; neither takes it for an answer."""
    with openai_client(faulty_gateway) as client, pytest.raises(openai.APIError):
        list(client.chat.completions.create(model=f"chat/{fault}", messages=TURNS, stream=True))
    with (
        anthropic_client(faulty_gateway) as other,
        pytest.raises(anthropic.APIStatusError),
        other.messages.stream(model=f"messages/{fault}", max_tokens=9, messages=TURNS) as stream,
    ):
        stream.get_final_message()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_slow_answers_are_answers(faulty_gateway: GatewayProcess, *, pair: tuple[str, str], stream: bool) -> None:
    """An answer that comes byte by byte reaches the client whole."""
    answer = ask(faulty_gateway, pair, "trickle", stream=stream)
    assert answer.status_code == 200
    assert (CLIENTS[pair[0]].terminal in answer.content) is stream
    record = faulty_gateway.record(answer.headers["x-ponder-request-id"])
    expected = (21 * PRICE["input_per_mtok"] + 9 * PRICE["output_per_mtok"]) / 1_000_000
    assert record["result"] == "answered"
    assert float(record["cost_usd"]) == pytest.approx(expected)
    if not stream:
        assert ANSWER.text in json.dumps(answer.json(), ensure_ascii=False)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", ["rate-limited-once", "failing-once"])
def test_retries_before_the_first_byte(faulty_gateway: GatewayProcess, *, fault: str, stream: bool) -> None:
    """A fault that passes is retried within the upstream's terms; both calls are on record and the client is told."""
    kind = "messages" if stream else "chat"
    answer = ask(faulty_gateway, (kind, kind), fault, stream=stream)
    record = faulty_gateway.record(answer.headers["x-ponder-request-id"])
    if record["calls"][0]["result"] == "failed":  # the server counts calls of all dialects together
        assert "retried" in answer.headers["x-ponder-degraded"]
        assert [call["result"] for call in record["calls"]] == ["failed", "answered"]
        assert [call["attempt"] for call in record["calls"]] == [1, 2]
    assert answer.status_code == 200
    assert record["result"] == "answered"


def test_endless_streams_end_at_the_deadline(faulty_gateway: GatewayProcess) -> None:
    """A stream that never ends is stopped at the request's deadline with an error event."""
    answer = ask(faulty_gateway, ("chat", "chat"), "endless-stream", stream=True, ponder={"deadline_s": 1})
    assert answer.status_code == 200
    assert b"[DONE]" not in answer.content
    assert b'data: {"error":' in answer.content
    record = check_record(faulty_gateway, answer, "endless-stream", "timed_out")
    assert record["calls"][0]["spent"]["output_tokens"] > 10


def test_whole_answers_end_at_the_deadline(faulty_gateway: GatewayProcess) -> None:
    """A hint tightens the deadline of an answer that would hang longer."""
    answer = ask(faulty_gateway, ("chat", "chat"), "hang-before-headers", stream=False, ponder={"deadline_s": 0.1})
    check_error(answer, "chat", 504)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_client_that_leaves_a_stream_stops_the_upstream(
    faulty_gateway: GatewayProcess, faulty_server: FaultyServer, pair: tuple[str, str]
) -> None:
    """When a client hangs up, the upstream call is cancelled, and what was generated is charged and marked."""
    before = faulty_server.left["endless-stream"]
    body = {"model": f"{pair[1]}/endless-stream", "stream": True, **CLIENTS[pair[0]].body}
    headers = {"authorization": f"Bearer {faulty_gateway.key}"}
    with httpx.stream(
        "POST", f"{faulty_gateway.address}{CLIENTS[pair[0]].path}", json=body, headers=headers, timeout=WAIT_S
    ) as answer:
        request_id = answer.headers["x-ponder-request-id"]
        received = 0
        for piece in answer.iter_bytes():
            received += len(piece)
            if received > 5000:
                break
    _wait_until(lambda: faulty_server.left["endless-stream"] > before)
    record = faulty_gateway.record(request_id)
    assert (record["result"], record["status"]) == ("disconnected", 499)
    assert float(record["cost_usd"]) > 0
    assert record["calls"][0]["spent"]["source"] in ("estimated", "partial")


def test_a_client_that_leaves_before_the_answer_stops_the_upstream(
    faulty_gateway: GatewayProcess, faulty_server: FaultyServer
) -> None:
    """A client that hangs up while waiting for a whole answer cancels the upstream call at once."""
    calls, left = faulty_server.calls["endless-stream"], faulty_server.left["endless-stream"]
    body = json.dumps({"model": "chat/endless-stream", "messages": TURNS}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {faulty_gateway.key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", faulty_gateway.port), timeout=WAIT_S) as connection:
        connection.sendall(head.encode() + body)
        _wait_until(lambda: faulty_server.calls["endless-stream"] > calls)
    _wait_until(lambda: faulty_server.left["endless-stream"] > left)


def _wait_until(claim: Any) -> None:
    end = time.monotonic() + WAIT_S
    while not claim():
        assert time.monotonic() < end, f"not within {WAIT_S} s"
        time.sleep(0.02)


@pytest.mark.parametrize("fault", ["stale-connection", "hints-first", "second-answer"])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_odd_connections_serve_every_caller_its_own_answer(
    faulty_gateway: GatewayProcess, *, pair: tuple[str, str], fault: str
) -> None:
    """Connections that die idle, speak too early or answer twice cost no caller an answer."""
    for _ in range(3):
        answer = ask(faulty_gateway, pair, fault, stream=False)
        assert answer.status_code == 200, answer.text
        assert ANSWER.text in json.dumps(answer.json(), ensure_ascii=False)


def test_redirects_are_not_followed(faulty_gateway: GatewayProcess, faulty_server: FaultyServer) -> None:
    """A redirect to a metadata address is an upstream failure, and its address is not repeated to the client."""
    answer = ask(faulty_gateway, ("chat", "chat"), "redirect", stream=False)
    assert answer.status_code == 502
    assert "169.254" not in answer.text


def test_the_gateway_is_well_after_all_that(faulty_gateway: GatewayProcess) -> None:
    """After every fault the gateway is ready, holds no request open, and logged no fault of its own."""
    assert faulty_gateway.get("/health/ready").json() == {"status": "ready", "degraded": []}
    metrics = faulty_gateway.get("/metrics").text
    (in_flight,) = [line for line in metrics.splitlines() if line.startswith("ponder_requests_in_flight ")]
    assert float(in_flight.split()[-1]) == 0
    assert "Traceback" not in faulty_gateway.log
