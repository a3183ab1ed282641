"""Webhooks of the real gateway: told beside the requests, never on their path, and nothing of prompts."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.domain.key import Role
from gateway.domain.rollout import CALIBRATOR
from gateway.domain.tenancy import Author
from gateway.store.changes import Changes
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from tests.hooked import SECRET, Receiver
from tests.http.admin.administrator import Administrator
from tests.store.profiles import changed, document
from tests.upstreams.configuration import one_model
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gateway_process import GatewayProcess, awaited

pytest_plugins = ("tests.upstreams.fixtures",)

PROMPT = "a prompt that no webhook is told, canary"
ASK: Any = {"model": "m", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 50}
ENVIRONMENT = {"HOOK_SECRET": SECRET}


@pytest.fixture(name="receiver")
def _receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def _settings(server: FaultyServer, *urls: str) -> dict[str, Any]:
    webhooks = [{"url": url, "secret_env": "HOOK_SECRET"} for url in urls]
    return one_model(server.address("hints-first"), webhooks=webhooks)


def _ask(gateway: GatewayProcess, secret: str) -> httpx.Response:
    return gateway.post("/v1/chat/completions", json=ASK, headers={"authorization": f"Bearer {secret}"})


def _spend_all(gateway: GatewayProcess, secret: str) -> int:
    """Ask until the budget turns a request away; how many were answered, all of them whole."""
    answered = 0
    while (answer := _ask(gateway, secret)).status_code == 200:
        answered += 1
    assert answer.status_code == 402, answer.text
    return answered


def test_a_webhook_is_told_of_the_soft_limit_and_of_the_end(
    tmp_path: Path, faulty_server: FaultyServer, receiver: Receiver
) -> None:
    """Each event comes once, signed, names the team whose budget it is, and holds no prompt; metrics count it."""
    with GatewayProcess(tmp_path, _settings(faulty_server, f"{receiver.address}/hook"), ENVIRONMENT) as gateway:
        admin = Administrator.of_home(gateway.address, gateway.home)
        team = admin.team(budgets=[{"period": "day", "amount_usd": "0.0006", "soft_share": "0.1"}])
        _, secret = admin.key(team=team["name"])
        assert _spend_all(gateway, secret) > 1
        awaited(lambda: receiver.messages[1:], "both events")
        assert _ask(gateway, secret).status_code == 402
        awaited(lambda: "ponder_webhooks_sent_total 2.0" in gateway.get("/metrics").text, "the count")
    told = {message.json["type"]: message for message in receiver.messages}
    assert len(receiver.messages) == 2
    assert told.keys() == {"budget.soft_limit", "budget.exhausted"}
    for message in receiver.messages:
        assert message.is_genuine
        data = message.json["data"]
        assert (data["account"], data["name"]) == (f"team:{team['id']}", team["name"])
        assert (data["period"], data["limit_usd"], data["soft_share"]) == ("day", "0.0006", "0.1")
        assert "canary" not in message.body.decode()


def test_a_webhook_is_told_of_a_profile_that_the_calibrator_took_back(
    tmp_path: Path, faulty_server: FaultyServer, receiver: Receiver
) -> None:
    """Another process suspends the version in force: the gateway tells why, signed, once."""

    async def take_back(changes: Changes) -> None:
        by = Author(CALIBRATOR, Role.ADMIN, time.time())
        await Profiles(changes).publish(document(), number=1, expires_at=by.at + 1_000, by=by)
        await Rollouts(changes).activate("default", 1, reason="calibrated", by=by)
        await Rollouts(changes).suspend("default", 1, reason="drift: think does worse on math", by=by)

    with GatewayProcess(tmp_path, _settings(faulty_server, f"{receiver.address}/hook"), ENVIRONMENT) as gateway:
        changed(gateway.home, take_back)
        awaited(lambda: "ponder_webhooks_sent_total 1.0" in gateway.get("/metrics").text, "the count")
    [message] = receiver.messages
    assert message.is_genuine
    assert message.json["type"] == "profile.suspended"
    assert message.json["data"]["reason"] == "drift: think does worse on math"
    assert (message.json["data"]["policy"], message.json["data"]["version"]) == ("default", 1)


def test_a_webhook_that_hangs_or_fails_costs_no_request(
    tmp_path: Path, faulty_server: FaultyServer, receiver: Receiver
) -> None:
    """Beside one server that never answers and one that fails, a third is told, and every request is answered."""
    receiver.status = 204
    # The system takes connections to a socket that listens; nobody ever reads from them.
    with Receiver(status=500) as failing, socket.create_server(("127.0.0.1", 0)) as silent:
        urls = (f"http://127.0.0.1:{silent.getsockname()[1]}", failing.address, f"{receiver.address}/hook")
        with GatewayProcess(tmp_path, _settings(faulty_server, *urls), ENVIRONMENT) as gateway:
            admin = Administrator.of_home(gateway.address, gateway.home)
            _, secret = admin.key(budgets=[{"period": "total", "amount_usd": "0.0006", "soft_share": "0.1"}])
            assert _spend_all(gateway, secret) > 1
            awaited(lambda: receiver.messages[1:], "both events")
            assert failing.messages
            states = awaited(lambda: gateway.get("/health/ready").json()["degraded"], "the degraded state")
            assert any("a webhook is not told" in state and "500" in state for state in states)
            assert "Traceback" not in gateway.log


def test_a_restart_delivers_what_was_left(tmp_path: Path, faulty_server: FaultyServer, receiver: Receiver) -> None:
    """What the receiver refused before a restart it gets after it, as the same message."""
    receiver.status = 500
    settings = _settings(faulty_server, f"{receiver.address}/hook")
    with GatewayProcess(tmp_path, settings, ENVIRONMENT) as gateway:
        admin = Administrator.of_home(gateway.address, gateway.home)
        _, secret = admin.key(budgets=[{"period": "total", "amount_usd": "0.0006"}])
        _spend_all(gateway, secret)
        awaited(lambda: receiver.messages, "the first attempt")
        awaited(lambda: "ponder_webhooks_failed_total 1.0" in gateway.get("/metrics").text, "a failure")
    refused = len(receiver.messages)
    receiver.status = 204
    with GatewayProcess(tmp_path, settings, ENVIRONMENT) as gateway:
        awaited(lambda: "ponder_webhooks_sent_total 1.0" in gateway.get("/metrics").text, "the rest")
    assert len(receiver.messages) == refused + 1
    assert len({(message.id, message.body) for message in receiver.messages}) == 1


def test_a_webhook_without_its_secret_is_refused(tmp_path: Path, faulty_server: FaultyServer) -> None:
    """A missing secret ends the start with its name; while running, the changed file is refused and the old serves."""
    settings = _settings(faulty_server, "https://example.com/canary-in-the-path")
    with pytest.raises(RuntimeError, match=r"webhooks\.0: the environment variable HOOK_SECRET") as refused:
        GatewayProcess(tmp_path / "first", settings, {}).__enter__()
    assert "canary-in-the-path" not in str(refused.value)
    with GatewayProcess(tmp_path / "second", _settings(faulty_server), {}) as gateway:
        gateway.configure(settings)
        (state,) = awaited(lambda: gateway.get("/health/ready").json()["degraded"], "the refusal")
        assert "HOOK_SECRET" in state
        assert "canary-in-the-path" not in gateway.log


def test_a_webhook_is_added_while_running(tmp_path: Path, faulty_server: FaultyServer, receiver: Receiver) -> None:
    """A webhook that a changed ponder.yaml adds is told without a restart."""
    with GatewayProcess(tmp_path, _settings(faulty_server), ENVIRONMENT) as gateway:
        admin = Administrator.of_home(gateway.address, gateway.home)
        _, secret = admin.key(budgets=[{"period": "total", "amount_usd": "0.0006"}])
        _spend_all(gateway, secret)
        gateway.configure(_settings(faulty_server, f"{receiver.address}/hook"))
        awaited(lambda: "configuration loaded" in gateway.log, "the reload")
        assert _ask(gateway, secret).status_code == 402
        awaited(lambda: receiver.messages, "the event")
    assert receiver.messages[0].json["type"] == "budget.exhausted"
