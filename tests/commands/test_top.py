"""Tests of gateway/commands/top.py, before a real gateway."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.commands.administered import Administered
from tests.commands.conftest import Ponder
from tests.upstreams.configuration import PRICE, SECRETS
from tests.upstreams.gateway_process import REPOSITORY, GatewayProcess
from tests.upstreams.openai_server import OpenAIServer

ENDS_S = 60


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with one model."""
    with OpenAIServer(thinking_field="reasoning_content") as server:
        settings = {
            "upstreams": {
                "near": {"kind": "openai", "base_url": f"{server.address}/v1", "api_key_env": "LOOPBACK_OPENAI"}
            },
            "models": {"good": {"upstream": "near", "name": "qwen3-8b", "price": PRICE}},
        }
        with GatewayProcess(tmp_path_factory.mktemp("top"), settings, SECRETS) as process:
            yield process


@pytest.fixture
def ponder(run: Ponder, gateway: GatewayProcess) -> Administered:
    """Runs commands on the gateway's machine."""
    return Administered(run, gateway)


def _ask(gateway: GatewayProcess) -> str:
    body = {"model": "good", "messages": [{"role": "user", "content": "hi"}]}
    answer = gateway.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    return answer.headers["x-ponder-request-id"]


@pytest.fixture
def traffic(gateway: GatewayProcess) -> Iterator[None]:
    """Requests, one after another, for as long as a test takes."""
    is_over = threading.Event()

    def go() -> None:
        while not is_over.is_set():
            _ask(gateway)

    asking = threading.Thread(target=go)
    asking.start()
    yield
    is_over.set()
    asking.join()


@pytest.mark.usefixtures("traffic")
def test_one_interval_is_told_as_json(ponder: Administered, gateway: GatewayProcess) -> None:
    """Rates by model and upstream, arms on record, budgets with what they have seen, and the gateway's health."""
    gateway.record(_ask(gateway))
    key = ponder.told("keys", "list")[0]["id"]
    ponder.told("budgets", "set", "--key", key, "day", "10")
    view = ponder.told("top", "--once", "--interval", "2")
    assert view["status"] == "ready"
    assert view["requests_per_s"] > 0
    (model,) = view["models"]
    assert (model["model"], model["failed_per_s"]) == ("good", 0)
    assert 0 < model["p50_s"] <= model["p95_s"]
    assert model["spend_usd_per_min"] > 0
    (upstream,) = view["upstreams"]
    assert upstream["upstream"] == "near"
    assert upstream["calls_per_s"] > 0
    assert [arm["arm"] for arm in view["arms"]] == ["good"]
    (budget,) = view["budgets"]
    assert (budget["holder"], budget["period"], budget["amount_usd"]) == ("key", "day", 10)
    assert budget["spent_usd"] > 0


def test_without_the_admin_key_the_rest_is_shown(ponder: Administered) -> None:
    """A wrong admin key leaves out arms and budgets, and says so."""
    view = ponder.told_by({"PONDER_ADMIN_KEY": "wrong"}, "top", "--once", "--interval", "0.2")
    assert (view["arms"], view["budgets"]) == ([], [])
    assert view["note"].startswith("arms and budgets: ")


def test_json_is_for_one_interval(ponder: Administered) -> None:
    """A live view has no JSON; the command line is refused with what is missing."""
    refused = ponder("top", "--json")
    assert refused.exit_code == 2
    assert "--once" in refused.output


def test_no_gateway_is_told(run: Ponder) -> None:
    """Where nothing listens, that is said at once."""
    refused = run("top", "--once")
    assert refused.exit_code == 1
    assert "no gateway answers" in refused.output


def test_the_live_view_ends_with_control_c(gateway: GatewayProcess) -> None:
    """In a terminal the screen is drawn again and again, until an interrupt ends it without an error."""
    terminal, inner = pty.openpty()
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "160", "LINES": "50",
        "PONDER_PORT": str(gateway.port), "PONDER_HOME": str(gateway.home),
    }  # fmt: skip
    command = [sys.executable, "-m", "gateway.cli", "top", "--interval", "0.2"]
    process = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, env=environment)
    os.close(inner)
    seen = b""
    while seen.count(b"in flight") < 3:
        seen += os.read(terminal, 65536)
    process.send_signal(signal.SIGINT)
    draining = threading.Thread(target=_drain, args=(terminal,))
    draining.start()
    assert process.wait(ENDS_S) == 0
    draining.join()
    os.close(terminal)
    assert b"Traceback" not in seen


def _drain(terminal: int) -> None:
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:  # the other end is closed
        pass
