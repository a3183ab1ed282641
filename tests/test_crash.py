"""What survives: the gateway is killed under load, over and over, and its database is locked."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from gateway.domain.money import from_nanos, show
from tests.http.admin.administrator import Administrator
from tests.policy.documents import write_policy
from tests.upstreams.configuration import SECRETS, one_model
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.openai_server import OpenAIServer

pytest_plugins = ("tests.upstreams.fixtures",)

KILLS = 20
CLIENTS = 6
ANSWERS = 3
"""Come in every other life before it is ended."""
OUTAGE_S = float(os.environ.get("TEST_OUTAGE_S", "3"))
"""How long the database is locked; ``TEST_OUTAGE_S=60`` for the long run."""
COST_NANOS = 94_000
"""What the stand-in's counts cost at the price of these tests: 26 fresh, 16 cached and 30 written tokens."""
_FALLING_BACK = """
policy: house
arms:
  first: {model: cut}
  second: {model: slow}
defaults: {arm: first, reference: first, max_cost_usd: 1, fallbacks: [second]}
"""
TURNS: Any = [{"role": "user", "content": "Hello"}]


class _Load:
    """Clients that ask again and again, whole and streamed, until they are told to stop."""

    def __init__(self, secret: str) -> None:
        self.answered: list[str] = []
        """The requests whose answers came to their end."""
        self.failed: list[str] = []
        self._headers = {"authorization": f"Bearer {secret}"}

    @contextmanager
    def on(self, gateway: GatewayProcess) -> Iterator[None]:
        """Load on a gateway, which may go away under it."""
        stop = threading.Event()
        with ThreadPoolExecutor(CLIENTS) as threads:
            asking = [threads.submit(self._ask, gateway.address, number, stop) for number in range(CLIENTS)]
            try:
                yield
            finally:
                stop.set()
            for each in asking:
                each.result()

    def await_answers(self, more: int) -> None:
        """Wait until so many more answers have come."""
        enough = len(self.answered) + more
        awaited(lambda: len(self.answered) >= enough, f"{more} answers")

    def _ask(self, address: str, number: int, stop: threading.Event) -> None:
        body = {"model": "m", "messages": TURNS, "max_tokens": 50, "stream": number % 2 == 0}
        with httpx.Client(base_url=address, headers=self._headers, timeout=20) as client:
            while not stop.is_set():
                try:
                    answer = client.post("/v1/chat/completions", json=body)
                except httpx.TransportError:
                    return  # killed: what had not come to its end is nobody's promise
                if answer.status_code == httpx.codes.OK:
                    self.answered.append(answer.headers["x-ponder-request-id"].replace("-", ""))
                else:
                    self.failed.append(answer.text)


def _rows(home: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(home / "ponder.db", timeout=20)) as database:
        return database.execute(statement).fetchall()


def _spent_as_told(gateway: GatewayProcess, secret: str, model: str = "m") -> str:
    """What the purse counts as spent, which a refusal says."""
    body = {"model": model, "messages": TURNS, "max_tokens": 10**9}
    refusal = gateway.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {secret}"})
    assert refusal.status_code == 402, refusal.text
    told = re.search(r"\(\$([0-9.]+) spent", refusal.json()["error"]["message"])
    assert told, refusal.text
    return told[1]


def _check_books(home: Path, load: _Load) -> Counter[str]:
    """Every answer that came has one row, no row is there twice, and the sums agree; the results counted."""
    rows = _rows(home, "SELECT id, result, cost_nanos FROM requests")
    ids = [str(row[0]) for row in rows]
    assert len(ids) == len(set(ids))
    by_id = {str(row[0]): row[1] for row in rows}
    assert not load.failed
    assert {by_id.get(each) for each in load.answered} == {"answered"}
    results = Counter(by_id.values())
    draws = _rows(home, "SELECT sum(cost_nanos) FROM draws")[0][0]
    assert sum(row[2] for row in rows) == draws == COST_NANOS * results["answered"]
    return results


def test_nothing_is_lost_by_twenty_kills(tmp_path: Path, compatible_server: OpenAIServer) -> None:
    """Killed at random moments under load, every answer that came is on record once, and budgets know the sum."""
    moments = random.Random(20261122)
    gateway = GatewayProcess(tmp_path, one_model(compatible_server.address, key_env="LOOPBACK_OPENAI"), SECRETS)
    load, secret = None, ""
    for life in range(KILLS):
        with gateway:
            if load is None:
                admin = Administrator.of_home(gateway.address, tmp_path)
                key, secret = admin.key(budgets=[{"period": "total", "amount_usd": "1000"}])
                load = _Load(secret)
            with load.on(gateway):
                if life % 2:  # the others are killed at once, however little a slow machine had done by then
                    load.await_answers(ANSWERS)
                time.sleep(moments.uniform(0.02, 0.3))
                gateway.send_signal(signal.SIGKILL)
                gateway.wait()
    assert load is not None
    with gateway:
        told = _spent_as_told(gateway, secret)
        # What was under way when the process died is charged what it held.
        charged = "sum(coalesce(charged_nanos, cost_nanos))"
        summed = _rows(tmp_path, f"SELECT {charged} FROM requests WHERE key_id = '{key['id']}'")[0][0]
        assert told == show(from_nanos(summed))
    results = _check_books(tmp_path, load)
    assert set(results) <= {"answered", "interrupted", "refused"}
    assert results["answered"] >= len(load.answered) > KILLS
    assert results["interrupted"] > 0
    assert "Traceback" not in gateway.log


def test_a_fallback_that_is_killed_is_charged_with_the_call_before_it(
    tmp_path: Path, faulty_server: FaultyServer
) -> None:
    """What was held for a second arm beside the first one's unknown cost counts after the crash, in log and purse."""
    settings = one_model(faulty_server.address("hang-before-headers"), name="slow", policy="house")
    broken = {**settings["upstreams"]["only"], "base_url": f"{faulty_server.address('reset-before-headers')}/v1"}
    settings["upstreams"]["broken"] = {**broken, "retries": 0}
    settings["models"]["cut"] = {**settings["models"]["slow"], "upstream": "broken"}
    write_policy(tmp_path / "policies", "house", _FALLING_BACK)
    gateway = GatewayProcess(tmp_path, settings, SECRETS)
    with gateway, ThreadPoolExecutor(2) as threads:
        admin = Administrator.of_home(gateway.address, tmp_path)
        _, secret = admin.key(budgets=[{"period": "total", "amount_usd": "1"}])
        headers = {"authorization": f"Bearer {secret}"}
        for model in ("auto", "slow"):  # equally long: a prompt is held by its bytes
            body = {"model": model, "messages": TURNS, "max_tokens": 50}
            threads.submit(gateway.post, "/v1/chat/completions", json=body, headers=headers)
        awaited(lambda: faulty_server.calls["hang-before-headers"] == 2, "both calls")
        gateway.send_signal(signal.SIGKILL)
        gateway.wait()
    with gateway:
        told = _spent_as_told(gateway, secret, "slow")
        rows = dict(_rows(tmp_path, "SELECT model_asked, charged_nanos FROM requests WHERE result = 'interrupted'"))
    assert rows["auto"] == 2 * rows["slow"] > 0
    assert told == show(from_nanos(rows["auto"] + rows["slow"]))


def test_a_locked_database_fails_no_request(tmp_path: Path, compatible_server: OpenAIServer) -> None:
    """While another program keeps the database locked requests are served, and all of them are on record after."""
    settings = one_model(compatible_server.address, key_env="LOOPBACK_OPENAI")
    with GatewayProcess(tmp_path, settings, SECRETS) as gateway:
        load = _Load(gateway.key)
        with load.on(gateway), closing(sqlite3.connect(tmp_path / "ponder.db", isolation_level=None)) as thief:
            thief.execute("BEGIN EXCLUSIVE")
            time.sleep(OUTAGE_S)
            stored = thief.execute("SELECT count(*) FROM requests").fetchone()[0]
            before = len(load.answered)
            thief.execute("ROLLBACK")
        assert before > stored
        awaited(lambda: _rows(tmp_path, "SELECT count(*) FROM requests")[0][0] >= len(load.answered), "every record")
    results = _check_books(tmp_path, load)
    assert results["answered"] == len(load.answered)
