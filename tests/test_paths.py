"""Paths, methods and ids: what is served where, and what never reaches a model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.upstreams.configuration import PRICE
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.raw_client import RawConnection, head

pytest_plugins = ("tests.upstreams.fixtures",)

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TURNS: Any = [{"role": "user", "content": "Hello"}]
POST_PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings")
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "chat", "messages": TURNS},
    "/v1/responses": {"model": "chat", "input": TURNS},
    "/v1/messages": {"model": "messages", "messages": TURNS, "max_tokens": 9},
    "/v1/messages/count_tokens": {"model": "chat", "messages": TURNS},
    "/v1/embeddings": {"model": "chat", "input": "x"},
}


@pytest.fixture(scope="module", name="served")
def _served(tmp_path_factory: pytest.TempPathFactory, faulty_server: FaultyServer) -> Iterator[GatewayProcess]:
    address = faulty_server.address("hints-first")
    settings = {
        "upstreams": {
            "chat": {"kind": "openai", "base_url": f"{address}/v1", "dialects": ["openai-chat"]},
            "messages": {"kind": "anthropic", "base_url": address},
        },
        "models": {name: {"upstream": name, "name": "m", "price": PRICE} for name in ("chat", "messages")},
    }
    with GatewayProcess(tmp_path_factory.mktemp("served"), settings, {}) as process:
        yield process


def _check_shape(path: str, body: dict[str, Any]) -> None:
    if path.startswith("/v1/messages"):
        assert set(body) == {"type", "error", "request_id"}
        assert set(body["error"]) == {"type", "message", "help"}
    else:
        assert set(body["error"]) == {"message", "type", "param", "code", "help"}


@pytest.mark.parametrize("path", POST_PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_other_methods_are_refused(served: GatewayProcess, method: str, path: str) -> None:
    """A path that takes POST answers other methods with 405 and says so, in the dialect's own shape."""
    answer = httpx.request(method, f"{served.address}{path}", headers={"authorization": f"Bearer {served.key}"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method == "HEAD":
        assert answer.content == b""
    else:
        _check_shape(path, answer.json())


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/chat", "/v1/requests/x", "/health/ready", "/metrics"])
def test_paths_that_are_read_take_get(served: GatewayProcess, path: str) -> None:
    """A path that takes GET answers POST with 405 and names GET."""
    answer = served.post(path, json={})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    _check_shape(path, answer.json())


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/completions", "/v1/messages/batches", "/v2/messages"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_paths_are_not_found(served: GatewayProcess, method: str, path: str) -> None:
    """What is not served is a 404 in the shape of the path's dialect."""
    answer = httpx.request(method, f"{served.address}{path}", headers={"authorization": f"Bearer {served.key}"})
    assert answer.status_code == 404
    _check_shape(path, answer.json())


TRICKS = (
    "//v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/", "/v1/./chat/completions",
    "/x/../v1/chat/completions", "/v1/%2e%2e/v1/chat/completions", "/v1/chat%2fcompletions",
    "/v1/%63hat/completions", "/V1/CHAT/COMPLETIONS", "/v1/chat/completions%00", "/v1/chat/completions;a=b",
    "/v1/chat/completions?key=x", "/v1/chat/completions#x", "/v1/chat\\completions", "/v1/chat/completions%20",
    "http://elsewhere/v1/chat/completions", "//elsewhere/v1/chat/completions", "/health/../v1/chat/completions",
    "/%2fv1/chat/completions", "/v1/models/../chat/completions", "*", "/health/live/v1/chat/completions",
)  # fmt: skip


@pytest.mark.parametrize("target", TRICKS)
def test_no_spelling_of_a_path_goes_around_the_key(
    served: GatewayProcess, faulty_server: FaultyServer, target: str
) -> None:
    """However a path is written, no model is called without a key, and none for a path that is not the endpoint's."""
    calls = faulty_server.calls["hints-first"]
    body = json.dumps(BODIES["/v1/chat/completions"]).encode()
    with RawConnection(served) as connection:
        connection.send(head(target, f"content-length: {len(body)}") + body)
        response, _ = connection.answer()
    assert response.status in (400, 401, 404, 405)
    assert faulty_server.calls["hints-first"] == calls


@pytest.mark.parametrize(
    ("path", "stream"), [*((path, False) for path in POST_PATHS), *((path, True) for path in POST_PATHS[:3])]
)
def test_every_answer_names_its_request(served: GatewayProcess, path: str, *, stream: bool) -> None:
    """Answers carry one new id under our name and under those that the official clients read."""
    answer = served.post(path, json={**BODIES[path], "stream": stream}, headers={"x-request-id": "of-the-client"})
    assert answer.status_code == 200, answer.text
    identity = answer.headers["x-ponder-request-id"]
    assert UUID7.fullmatch(identity)
    assert answer.headers["x-request-id"] == answer.headers["request-id"] == identity
    assert served.record(identity)["id"] == identity


@pytest.mark.parametrize(
    ("path", "body", "key", "status"),
    [
        *((path, b"{", None, 400) for path in POST_PATHS),
        *((path, b"{}", "wrong", 401) for path in POST_PATHS),
        *((path, b'{"model": "nope"}', None, 404) for path in POST_PATHS),
        ("/v1/nowhere", b"{}", None, 404),
        ("/v1/models", b"{}", None, 405),
    ],
)
def test_every_error_names_its_request(
    served: GatewayProcess, path: str, body: bytes, key: str | None, *, status: int
) -> None:
    """Errors carry an id as answers do, and in Anthropic's shape the body repeats it."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = served.post(path, content=body, headers=headers)
    assert answer.status_code == status
    identity = answer.headers["x-ponder-request-id"]
    assert UUID7.fullmatch(identity)
    assert answer.headers["x-request-id"] == answer.headers["request-id"] == identity
    _check_shape(path, answer.json())
    assert answer.json().get("request_id") in (None, identity)


def test_counting_tokens_does_not_stream(served: GatewayProcess) -> None:
    """``stream: true`` changes nothing where nothing streams: the count is JSON, and the record says so."""
    answer = served.post("/v1/messages/count_tokens", json={**BODIES["/v1/messages/count_tokens"], "stream": True})
    assert answer.status_code == 200
    assert answer.json()["input_tokens"] > 0
    assert served.record(answer.headers["x-ponder-request-id"])["stream"] is False


def test_embeddings_that_stream_are_a_failure(served: GatewayProcess) -> None:
    """A server that streams where no stream is defined has failed: its events are not passed off as an answer."""
    answer = served.post("/v1/embeddings", json={**BODIES["/v1/embeddings"], "stream": True})
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_failed"
