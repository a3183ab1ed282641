"""Browsers: locked out by default, let in by configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.upstreams.configuration import one_model
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gateway_process import GatewayProcess

pytest_plugins = ("tests.upstreams.fixtures",)

ORIGIN = "https://app.example.com"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type, x-ponder-category",
}
BODY: Any = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module", name="closed")
def _closed(tmp_path_factory: pytest.TempPathFactory, faulty_server: FaultyServer) -> Iterator[GatewayProcess]:
    settings = one_model(faulty_server.address("hints-first"))
    with GatewayProcess(tmp_path_factory.mktemp("closed"), settings, {}) as process:
        yield process


@pytest.fixture(scope="module", name="opened")
def _opened(tmp_path_factory: pytest.TempPathFactory, faulty_server: FaultyServer) -> Iterator[GatewayProcess]:
    settings = one_model(faulty_server.address("hints-first"), cors={"allow_origins": [ORIGIN]})
    with GatewayProcess(tmp_path_factory.mktemp("opened"), settings, {}) as process:
        yield process


def _cors_headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def test_by_default_no_browser_is_let_in(closed: GatewayProcess) -> None:
    """Without configuration no answer carries a CORS header, and a preflight is no method of the path."""
    preflight = httpx.options(f"{closed.address}{CHAT}", headers=PREFLIGHT)
    assert preflight.status_code == 405
    for answer in (preflight, closed.post(CHAT, json=BODY, headers={"origin": ORIGIN})):
        assert _cors_headers(answer) == {}


def test_a_preflight_of_an_allowed_origin_is_answered(opened: GatewayProcess) -> None:
    """A preflight needs no key, and allows the headers that a client sends."""
    answer = httpx.options(f"{opened.address}{CHAT}", headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in answer.headers["access-control-allow-methods"]
    for name in ("authorization", "content-type", "x-ponder-category"):
        assert name in answer.headers["access-control-allow-headers"]


def test_a_preflight_of_another_origin_is_refused(opened: GatewayProcess) -> None:
    """An origin that is not configured gets no permission."""
    answer = httpx.options(f"{opened.address}{CHAT}", headers={**PREFLIGHT, "origin": "https://evil.example"})
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_can_be_read_by_an_allowed_origin(opened: GatewayProcess, *, stream: bool) -> None:
    """Answers name the origin and expose every header that the gateway documents."""
    answer = opened.post(CHAT, json={**BODY, "stream": stream}, headers={"origin": ORIGIN})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    ours = {name for name in answer.headers if name.startswith("x-ponder-") or name.endswith("request-id")}
    assert ours <= exposed
    assert {"x-ponder-cost-usd", "x-ponder-degraded", "x-ponder-policy", "retry-after"} <= exposed


def test_an_error_can_be_read_by_an_allowed_origin(opened: GatewayProcess) -> None:
    """A browser sees why it was refused."""
    answer = opened.post(CHAT, json=BODY, headers={"origin": ORIGIN, "authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.json()["error"]["type"] == "authentication_error"


def test_another_origin_cannot_read_an_answer(opened: GatewayProcess) -> None:
    """Who is not configured gets an answer that its browser keeps from it."""
    answer = opened.post(CHAT, json=BODY, headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
