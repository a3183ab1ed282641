"""A whole installation as real processes: gateways, workers and a beat on PostgreSQL and Redis, each behind a relay."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.adapters.redis_server import RedisServer
from tests.http.admin.administrator import Administrator
from tests.policy.documents import write_policy
from tests.soak.databases import DATABASE, Postgres, postgres
from tests.soak.relay import Relay, Way
from tests.soak.upstream import SHAKY, SLOW, STEADY, Provider
from tests.upstreams.gateway_process import REPOSITORY, GatewayProcess

ADMIN = "an-admin-key-that-all-of-them-know"
PRICE = {"input_per_mtok": 1, "output_per_mtok": 2}
POLICY = "house"
_STOP_S = 30.0


def policy(first: str) -> str:
    """A policy whose first arm's model is this one, with the steady one to fall back to."""
    document = {
        "policy": POLICY,
        "arms": {"first": {"model": first}, "second": {"model": STEADY}},
        "defaults": {"arm": "first", "reference": "second", "max_cost_usd": 1, "fallbacks": ["second"]},
        "classify": {"chain": ["rules"]},
    }
    return yaml.safe_dump(document, sort_keys=False)


def _settings(provider: Provider, when_away: str, code: Path = REPOSITORY) -> dict[str, Any]:
    """Two upstreams at one provider; patient with nobody, so that a fault shows."""
    # A setting that an earlier release does not know is one that it refuses.
    own = {"shutdown": {"notice_s": 1}} if code == REPOSITORY else {}
    terms = {"kind": "openai", "dialects": ["openai-chat"], "first_byte_s": 20, "idle_s": 20}
    return {
        "upstreams": {name: {**terms, "base_url": f"{provider.address(name)}/v1"} for name in (STEADY, SHAKY)},
        "models": {
            STEADY: {"upstream": STEADY, "price": PRICE},
            SLOW: {"upstream": STEADY, "price": PRICE},
            SHAKY: {"upstream": SHAKY, "price": PRICE},
        },
        "redis": {"when_away": when_away},
        "policy": POLICY,
        **own,
    }


class Helper:
    """A worker or a beat."""

    def __init__(self, word: str, home: Path, environment: Mapping[str, str]) -> None:
        self.word = word
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "PONDER_HOME": str(home),
            "PONDER_CONFIG": str(home / "ponder.yaml"),
            **environment,
        }
        self._home = home
        self.log_file = home / f"{word}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, or start it again."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli", self.word],
                cwd=self._home,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask it to end, and insist after some time."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass(frozen=True, slots=True)
class Installation:
    """What is installed; see :func:`installed`."""

    postgres: Postgres
    redis: RedisServer
    to_postgres: Relay
    to_redis: Relay
    provider: Provider
    gateways: Sequence[GatewayProcess]
    helpers: Sequence[Helper]
    is_closed: bool
    """Whether keys with a budget are refused while Redis is away; else each gateway goes on with its share."""

    def schema(self) -> str:
        """The revision of the database's schema."""
        found = asyncio.run(self.postgres.rows("SELECT version_num FROM alembic_version"))
        return str(found[0][0])

    def administrator(self, gateway: int = 0) -> Administrator:
        """Who administers, by way of this gateway."""
        return Administrator(self.gateways[gateway].address, ADMIN)


def addresses(to_postgres: Relay, to_redis: Relay) -> dict[str, str]:
    """The environment that every process of an installation shares."""
    redis = f"redis://127.0.0.1:{to_redis.port}"
    return {
        "PONDER_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{to_postgres.port}/{DATABASE}",
        "PONDER_REDIS_URL": f"{redis}/0",
        "PONDER_BROKER_URL": f"{redis}/1",
        "PONDER_PEPPER": "a-pepper-that-all-of-them-have",
        "PONDER_ADMIN_KEY": ADMIN,
    }


@contextmanager
def installed(
    folder: Path, *, gateways: int, workers: int, is_closed: bool = False, code: Path = REPOSITORY
) -> Iterator[Installation]:
    """Everything up and ready: this many gateways, each with a home of its own, workers, and a beat if there are any.

    ``code`` is the checkout that the gateways are started from.
    """
    with ExitStack() as stack:
        database = stack.enter_context(postgres())
        # Not the folder of the run: its path may be too long for a socket.
        redis = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ponder-redis-"))))
        stack.callback(redis.kill)
        redis.start()
        to_postgres = stack.enter_context(Relay(database.socket))
        to_redis = stack.enter_context(Relay(redis.url.removeprefix("unix://")))
        provider = stack.enter_context(Provider())
        environment = addresses(to_postgres, to_redis)
        settings = _settings(provider, "closed" if is_closed else "open", code)
        serving = []
        for number in range(gateways):
            home = folder / f"gateway-{number}"
            write_policy(home / "policies", POLICY, policy(SHAKY))
            serving.append(GatewayProcess(home, settings, environment, code=code))
        for each in serving:
            stack.enter_context(each)
        helpers = [_helper("worker", folder / f"worker-{number}", settings, environment) for number in range(workers)]
        helpers += [_helper("beat", folder / "beat", settings, environment)] if workers else []
        for helper in helpers:
            stack.callback(helper.stop)
            helper.start()
        # Whoever still waits for one of them could not end in order.
        for way in (to_postgres, to_redis):
            stack.callback(way.set, Way.PASS)
        yield Installation(database, redis, to_postgres, to_redis, provider, serving, helpers, is_closed)


def _helper(word: str, home: Path, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Helper:
    home.mkdir(parents=True)
    (home / "ponder.yaml").write_text(yaml.safe_dump(dict(settings)), "utf-8")
    write_policy(home / "policies", POLICY, policy(SHAKY))
    return Helper(word, home, environment)
