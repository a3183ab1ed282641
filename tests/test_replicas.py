"""Two gateways that share a database and a Redis: a conversation keeps its arm, and a rollback reaches both."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.adapters.redis_server import RedisServer
from tests.http.admin.administrator import Administrator
from tests.policy.documents import write_policy
from tests.upstreams.configuration import one_model
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gateway_process import GatewayProcess, awaited

pytest_plugins = ("tests.upstreams.fixtures",)

ADMIN = "an-admin-key-for-both-of-them"
SUM: Any = {"role": "user", "content": "What is 17 * 23?"}
POEM: Any = {"role": "user", "content": "Write a short poem about the sea at night."}


def _policy(arm: str) -> str:
    """Sums go to ``think``, everything else to ``arm``."""
    document = {
        "policy": "house",
        "arms": {"fast": {"model": "m"}, "think": {"model": "n"}},
        "defaults": {"arm": arm, "reference": arm, "max_cost_usd": 1},
        "classify": {"chain": ["rules"], "rules": [{"when": {"tag": {"kind": "sum"}}, "category": "math"}]},
        "rules": [{"name": "sums", "when": {"category": "math"}, "arm": "think"}],
    }
    return yaml.safe_dump(document, sort_keys=False)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """The Redis of both."""
    # Not pytest's temporary folder: its path is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="ponder-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, redis: RedisServer, faulty_server: FaultyServer
) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    """Two gateways with homes of their own."""
    folder = tmp_path_factory.mktemp("replicas")
    settings = one_model(faulty_server.address("hints-first"), policy="house")
    settings["models"]["n"] = settings["models"]["m"]
    shared = {
        "PONDER_DATABASE_URL": f"sqlite:///{folder}/shared.db",
        "PONDER_REDIS_URL": redis.url,
        "PONDER_PEPPER": "a-pepper-that-both-of-them-have",
        "PONDER_ADMIN_KEY": ADMIN,
    }
    for name in ("one", "two"):
        write_policy(folder / name / "policies", "house", _policy("fast"))
    with (
        GatewayProcess(folder / "one", settings, shared) as one,
        GatewayProcess(folder / "two", settings, shared) as two,
    ):
        yield one, two


@pytest.fixture(scope="module")
def secret(pair: tuple[GatewayProcess, GatewayProcess]) -> str:
    """A key that both know."""
    issued = Administrator(pair[0].address, ADMIN).key()[1]
    headers = {"authorization": f"Bearer {issued}"}
    awaited(lambda: httpx.get(f"{pair[1].address}/v1/models", headers=headers).is_success, "the key")
    return issued


def _arm(gateway: GatewayProcess, secret: str, *turns: Any, **tags: str) -> str:
    """The arm that answers these turns."""
    headers = {"authorization": f"Bearer {secret}", **{f"x-ponder-tag-{name}": value for name, value in tags.items()}}
    body = {"model": "auto", "messages": list(turns), "max_tokens": 99}
    answer = httpx.post(f"{gateway.address}/v1/chat/completions", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-ponder-arm"]


def _await_arm(gateway: GatewayProcess, secret: str, arm: str) -> None:
    awaited(lambda: _arm(gateway, secret, POEM) == arm, f"the arm {arm}")


def test_a_conversation_keeps_its_arm_at_the_other_gateway(
    pair: tuple[GatewayProcess, GatewayProcess], secret: str
) -> None:
    """What one gateway began another goes on with, by the same arm; a conversation of its own is decided anew."""
    one, two = pair
    assert _arm(one, secret, SUM, kind="sum") == "think"
    assert _arm(two, secret, SUM, {"role": "assistant", "content": "391"}, POEM) == "think"
    assert _arm(two, secret, POEM) == "fast"


def test_a_rollback_at_one_gateway_is_in_force_at_the_other(
    pair: tuple[GatewayProcess, GatewayProcess], secret: str
) -> None:
    """Asks at the second gateway are decided by the earlier version soon after it was rolled back at the first."""
    for gateway in pair:
        write_policy(gateway.home / "policies", "house", _policy("think"))
    for gateway in pair:
        _await_arm(gateway, secret, "think")
    administrators = [Administrator(gateway.address, ADMIN) for gateway in pair]
    awaited(lambda: len(administrators[0].get("/policies/house/versions")["data"]) == 2, "its record")
    administrators[0].done("POST", "/policies/house/rollback")
    _await_arm(pair[1], secret, "fast")
    assert _arm(pair[0], secret, POEM) == "fast"
    assert administrators[1].get("/policies/house/versions")["data"][0]["by"] == "admin"
    administrators[1].done("POST", "/policies/house/release")
    _await_arm(pair[0], secret, "think")
