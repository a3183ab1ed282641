"""The limits on what a request may be, and what a slow or unknown caller can keep busy: itself alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.upstreams.configuration import one_model
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.raw_client import RawConnection, chunked, head

pytest_plugins = ("tests.upstreams.fixtures",)

LIMIT = 20_000
HEADER_LIMIT = 4096
TURNS: Any = [{"role": "user", "content": "Hello"}]
PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/messages/count_tokens")
DAWDLERS = 40


@pytest.fixture(scope="module", name="limited")
def _limited(tmp_path_factory: pytest.TempPathFactory, faulty_server: FaultyServer) -> Iterator[GatewayProcess]:
    limits = {"body_bytes": LIMIT, "header_bytes": HEADER_LIMIT}
    settings = one_model(faulty_server.address("hints-first"), limits=limits)
    with GatewayProcess(tmp_path_factory.mktemp("limited"), settings, {}) as process:
        yield process


def _body(size: int) -> bytes:
    """A good request of exactly this many bytes."""
    body = json.dumps({"model": "m", "messages": TURNS}).encode()
    return body + b" " * (size - len(body))


def _authorized(gateway: GatewayProcess) -> str:
    return f"authorization: Bearer {gateway.key}"


@pytest.mark.parametrize("is_chunked", [False, True], ids=["content-length", "chunked"])
def test_a_body_at_the_limit_is_served(limited: GatewayProcess, *, is_chunked: bool) -> None:
    """As many bytes as the limit says are accepted, however they are framed."""
    body = _body(LIMIT)
    content: Any = iter([body[:7000], body[7000:]]) if is_chunked else body
    assert limited.post("/v1/chat/completions", content=content).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["content-length", "chunked"])
def test_a_body_beyond_the_limit_is_refused(limited: GatewayProcess, path: str, *, is_chunked: bool) -> None:
    """One byte more is a 413 in the dialect's shape that names the limit and its setting."""
    body = _body(LIMIT + 1)
    content: Any = iter([body[:7000], body[7000:]]) if is_chunked else body
    answer = limited.post(path, content=content)
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert str(LIMIT) in error["message"]
    assert "limits.body_bytes" in error["message"]
    if path.startswith("/v1/messages"):
        assert error["type"] == "request_too_large"


def test_a_body_announced_too_large_is_refused_before_it_comes(limited: GatewayProcess) -> None:
    """A Content-Length beyond the limit is enough to refuse: no byte of the body is waited for."""
    with RawConnection(limited) as connection:
        connection.send(head("/v1/chat/completions", _authorized(limited), f"content-length: {LIMIT + 1}"))
        response, _ = connection.answer()
    assert response.status == 413


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("credential", [[], ["authorization: Bearer sk-wrong"]], ids=["no key", "wrong key"])
def test_a_caller_without_a_key_is_refused_before_its_body(
    limited: GatewayProcess, path: str, credential: list[str]
) -> None:
    """Who has no key is answered 401 on the head alone, and is not even invited to send a body."""
    with RawConnection(limited) as connection:
        connection.send(head(path, *credential, "content-length: 1000", "expect: 100-continue"))
        response, body = connection.answer()
    assert response.status == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert json.loads(body)["error"]["type"] == "authentication_error"


def test_a_caller_with_a_key_is_invited_to_send_its_body(limited: GatewayProcess) -> None:
    """``Expect: 100-continue`` of a known caller is answered, and then its request."""
    body = _body(200)
    with RawConnection(limited) as connection:
        connection.send(
            head(
                "/v1/chat/completions",
                _authorized(limited),
                f"content-length: {len(body)}",
                "expect: 100-continue",
            )
        )
        connection.send(body)
        response, _ = connection.answer()
    assert response.status == 200


def test_slow_bodies_keep_nobody_waiting(limited: GatewayProcess) -> None:
    """Forty requests whose bodies stop halfway leave the others served, and are served themselves when they go on."""
    body = _body(500)
    with ExitStack() as stack:
        slow = [stack.enter_context(RawConnection(limited)) for _ in range(DAWDLERS)]
        for connection in slow:
            connection.send(
                head("/v1/chat/completions", _authorized(limited), f"content-length: {len(body)}") + body[:100]
            )
        for _ in range(3):
            assert limited.post("/v1/chat/completions", content=body).status_code == 200
        for connection in slow:
            connection.send(body[100:])
        assert {connection.answer()[0].status for connection in slow} == {200}


def test_a_body_that_breaks_off_costs_nothing(limited: GatewayProcess, faulty_server: FaultyServer) -> None:
    """A caller that leaves inside its own body reaches no model."""
    calls = faulty_server.calls["hints-first"]
    with RawConnection(limited) as connection:
        connection.send(head("/v1/chat/completions", _authorized(limited), "content-length: 500") + _body(100))
    assert limited.post("/v1/chat/completions", content=_body(200)).status_code == 200
    assert faulty_server.calls["hints-first"] == calls + 1


@pytest.mark.parametrize(("size", "status"), [(HEADER_LIMIT - 1000, 200), (HEADER_LIMIT + 1000, 431)])
def test_the_limit_on_headers_is_the_configured_one(limited: GatewayProcess, size: int, status: int) -> None:
    """Headers within ``limits.header_bytes`` are accepted, and larger ones refused with 431."""
    with RawConnection(limited) as connection:
        body = _body(200)
        connection.send(
            head("/v1/chat/completions", _authorized(limited), "x: " + "y" * size, f"content-length: {len(body)}")
            + body
        )
        assert connection.answer()[0].status == status


@pytest.mark.parametrize(
    "framing",
    [
        ["content-length: 10", "transfer-encoding: chunked"],
        ["content-length: 10", "content-length: 11"],
        ["content-length: -1"],
        ["content-length: " + "9" * 5000],
        ["transfer-encoding: gzip, chunked, gzip"],
    ],
    ids=["both", "two lengths", "negative", "absurd", "unknown coding"],
)
def test_ambiguous_framing_reaches_no_model(
    limited: GatewayProcess, faulty_server: FaultyServer, framing: list[str]
) -> None:
    """A request whose end two parsers could see in two places is refused, or read in the one way the standard says."""
    calls = faulty_server.calls["hints-first"]
    with RawConnection(limited) as connection:
        connection.send(head("/v1/chat/completions", _authorized(limited), *framing) + chunked(b"{}"))
        response, _ = connection.answer()
    assert response.status in (400, 413, 431)
    assert faulty_server.calls["hints-first"] == calls
