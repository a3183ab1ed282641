"""Tests of gateway/http/front.py: which port serves what."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.http.admin.administrator import Administrator
from tests.upstreams.gateway_process import GatewayProcess

PRIVATE = ("/admin/keys", "/admin", "/metrics", "/dashboard", "/dashboard/x")
PUBLIC = ("/v1/models", "/v1/chat/completions", "/v1/requests/1", "/", "/administrators", "/metricsx")
BOTH = ("/health/live", "/health/ready", "/openapi.json")


@pytest.fixture(scope="module")
def admin_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gateway's PONDER_HOME."""
    return tmp_path_factory.mktemp("front") / "home"


@pytest.fixture(scope="module")
def split(home: Path, admin_port: int) -> Iterator[GatewayProcess]:
    """A gateway whose administration has a port of its own."""
    with GatewayProcess(home, {}, {"PONDER_ADMIN_PORT": str(admin_port)}) as process:
        yield process


def _is_hidden(port: int, path: str, **headers: str) -> bool:
    answer = httpx.get(f"http://127.0.0.1:{port}{path}", headers=headers)
    return answer.status_code == 404 and "at this port" in answer.text


@pytest.mark.parametrize("path", [*PRIVATE, *PUBLIC, *BOTH])
def test_each_port_serves_its_own(split: GatewayProcess, admin_port: int, path: str) -> None:
    """Administration, metrics and dashboard are at the admin port alone, the rest at the other, health at both."""
    assert _is_hidden(split.port, path) is (path in PRIVATE)
    assert _is_hidden(admin_port, path) is (path in PUBLIC)


def test_no_header_changes_the_port(split: GatewayProcess, admin_port: int) -> None:
    """What a client says about host and port decides nothing."""
    for headers in (
        {"host": f"127.0.0.1:{admin_port}"},
        {"x-forwarded-port": str(admin_port), "x-forwarded-host": f"127.0.0.1:{admin_port}"},
        {"forwarded": f"host=127.0.0.1:{admin_port}"},
    ):
        assert _is_hidden(split.port, "/admin/keys", **headers)


def test_what_is_made_at_the_admin_port_works_at_the_other(split: GatewayProcess, admin_port: int, home: Path) -> None:
    """A key issued at one port opens the other at once."""
    _, secret = Administrator.of_home(f"http://127.0.0.1:{admin_port}", home).key()
    answer = httpx.get(f"{split.address}/v1/models", headers={"authorization": f"Bearer {secret}"})
    assert answer.status_code == 200


def test_a_port_that_is_taken_ends_the_start(tmp_path: Path) -> None:
    """When the admin port cannot be had, the start ends and names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(RuntimeError, match=f"cannot listen on 127.0.0.1:{port}"),
            GatewayProcess(tmp_path / "home", {}, {"PONDER_ADMIN_PORT": str(port)}),
        ):
            pass
