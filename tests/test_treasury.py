"""Money kept at hand: restored at start, shared in Redis, and what an outage of either means."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.domain.limits import Account, Budget, Limits, Period
from gateway.domain.money import ZERO, Usd, usd
from gateway.domain.record import Opening, RaisedCeiling, RequestRecord
from gateway.errors import BudgetExhausted, Unavailable
from gateway.ports import Claim
from gateway.settings import RedisSettings
from gateway.store.balances import Balances
from gateway.store.base import locate
from gateway.treasury import Treasury
from tests.adapters.journal.samples import until
from tests.adapters.redis_server import RedisServer
from tests.flow.scripted import FixedClock
from tests.http.admin.administrator import Administrator
from tests.upstreams.configuration import one_model
from tests.upstreams.gated_server import GatedServer
from tests.upstreams.gateway_process import GatewayProcess, awaited

pytest_plugins = ("tests.upstreams.fixtures",)

NOW = FixedClock().now()
ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}
FOR_ONE = {"budgets": [{"period": "total", "amount_usd": "0.000300"}]}
"""Enough for one ceiling of ASK, $0.000176, and not for two."""
SPENT: Mapping[str, Mapping[Period, Usd]] = {"key:k1": {Period.DAY: usd(Decimal("0.9"))}}


class SomeBalances(Balances):
    """Balances that cannot be read at first."""

    def __init__(self, folder: Path, *, faults: int = 0) -> None:
        super().__init__(locate(f"sqlite:///{folder}/ponder.db"))
        self.faults = faults

    async def spent(self, now: float, *, ended_before: float | None = None) -> Mapping[str, Mapping[Period, Usd]]:
        """Ninety cents by one key today."""
        if self.faults:
            self.faults -= 1
            raise Unavailable("the database is away")
        return SPENT


class EmptyBook:
    """A journal without anything in it. Satisfies :class:`gateway.treasury.Book`."""

    name = "one"

    def __init__(self) -> None:
        self.flushed = 0

    def open(self, opening: Opening) -> None:
        """Nothing is kept."""

    def raise_ceiling(self, raised: RaisedCeiling) -> None:
        """Nothing is kept."""

    def settle(self, record: RequestRecord) -> None:
        """Nothing is kept."""

    async def recovered(self) -> tuple[Opening, ...]:
        """Nothing was left."""
        return ()

    def take_finished(self) -> tuple[str, ...]:
        """Nobody has ended."""
        return ()

    async def flush(self) -> None:
        """Nothing waits."""
        self.flushed += 1


def _claim(period: Period = Period.DAY) -> Claim:
    account = Account("key:k1", Limits(budgets=(Budget(usd(Decimal(1)), period),)))
    return Claim("r1", (account,), ceiling=usd(Decimal("0.2")), tokens=1, now=NOW, lease_s=60)


async def test_balances_are_restored_before_anything_is_served(tmp_path: Path) -> None:
    """What the log says was spent counts from the first request on."""
    treasury = Treasury(RedisSettings(), None, FixedClock(), SomeBalances(tmp_path), EmptyBook())
    await treasury.start()
    with pytest.raises(BudgetExhausted, match=r"\$0\.1 left"):
        await treasury.purse.hold(_claim())
    assert treasury.degraded() == ()
    await treasury.close(within_s=1)


async def test_a_log_that_cannot_be_read_is_shown_until_it_can(tmp_path: Path) -> None:
    """A gateway starts without its database, says that budgets begin anew, and restores them when it is back."""
    treasury = Treasury(RedisSettings(), None, FixedClock(), SomeBalances(tmp_path, faults=1), EmptyBook())
    await treasury.start()
    assert treasury.degraded() == ("budgets start from nothing spent until the log can be read: the database is away",)
    await until(lambda: not treasury.degraded())
    assert await treasury.purse.spent("key:k1", Period.DAY, now=NOW) == (usd(Decimal("0.9")), ZERO)
    await treasury.close(within_s=1)


async def test_a_new_budget_counts_what_its_period_has_seen(tmp_path: Path) -> None:
    """A recount waits for the journal, and sets the one period that is asked for."""
    book = EmptyBook()
    treasury = Treasury(RedisSettings(), None, FixedClock(), SomeBalances(tmp_path), book)
    await treasury.recount("key:k1", Period.DAY)
    await treasury.recount("key:k2", Period.DAY)
    assert book.flushed == 2
    assert await treasury.purse.spent("key:k1", Period.DAY, now=NOW) == (usd(Decimal("0.9")), ZERO)
    assert await treasury.purse.spent("key:k2", Period.DAY, now=NOW) == (ZERO, ZERO)


@pytest.fixture(name="redis")
def _redis() -> Iterator[RedisServer]:
    # Not pytest's temporary folder: its path is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="ponder-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()


def _pair(folder: Path, upstream: str, redis: RedisServer, when_away: str) -> tuple[GatewayProcess, GatewayProcess]:
    """Two gateways with one home, one database and one Redis."""
    settings = one_model(upstream, redis={"url": redis.url, "when_away": when_away})
    first = GatewayProcess(folder / "one", settings, {})
    return first, GatewayProcess(folder / "two", settings, {"PONDER_HOME": str(first.home)})


def _post(gateway: GatewayProcess, secret: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.post(f"{gateway.address}/v1/chat/completions", json=ASK, headers=headers, timeout=30)


def _degraded(gateway: GatewayProcess) -> str:
    return "; ".join(httpx.get(f"{gateway.address}/health/ready", timeout=10).json()["degraded"])


def test_two_processes_hold_one_budget_together(tmp_path: Path, gated_server: GatedServer, redis: RedisServer) -> None:
    """Of 32 first requests at two processes exactly one is answered; without Redis all are refused with 503."""
    one, two = _pair(tmp_path, gated_server.address, redis, "closed")
    with one, two, ThreadPoolExecutor(32) as threads:
        _, secret = Administrator.of_home(one.address, one.home).key(**FOR_ONE)
        awaited(lambda: httpx.get(f"{two.address}/v1/models", headers={"x-api-key": secret}).is_success, "a key")
        asked = [threads.submit(_post, (one, two)[number % 2], secret) for number in range(32)]
        refused = [each.result() for _, each in zip(range(31), as_completed(asked), strict=False)]
        gated_server.open()
        assert {answer.status_code for answer in refused} == {402}
        assert sorted(each.result().status_code for each in asked) == [200] + [402] * 31
        # What was settled at one process is what the other one counts.
        awaited(lambda: _post(two, secret).status_code == 200, "room for one more")
        redis.kill()
        away = [_post(gateway, secret) for gateway in (one, two)]
        assert [answer.status_code for answer in away] == [503, 503]
        assert "limits cannot be checked" in away[0].json()["error"]["message"]
        assert "Redis is away" in _degraded(one)
        redis.start()
        awaited(lambda: not _degraded(one), "Redis again")
        # Restored from the log: the two requests that were answered have been spent.
        spent = awaited(lambda: _spent(one, secret), "a refusal")
        assert spent == "0.000078"


def _spent(gateway: GatewayProcess, secret: str) -> str | None:
    body = {**ASK, "max_tokens": 10**9}
    headers = {"authorization": f"Bearer {secret}"}
    answer = httpx.post(f"{gateway.address}/v1/chat/completions", json=body, headers=headers, timeout=30)
    if answer.status_code != 402:
        return None
    return str(answer.json()["error"]["message"]).partition("($")[2].partition(" spent")[0]


def test_an_outage_may_be_served_alone(tmp_path: Path, gated_server: GatedServer, redis: RedisServer) -> None:
    """With `when_away: open` requests are served without Redis, each process by limits of its own, and it is shown."""
    gated_server.open()
    one, _ = _pair(tmp_path, gated_server.address, redis, "open")
    with one:
        _, secret = Administrator.of_home(one.address, one.home).key(**FOR_ONE)
        redis.kill()
        assert _post(one, secret).status_code == 200
        assert "Redis is away" in _degraded(one)


def test_what_a_killed_gateway_held_stays_charged(tmp_path: Path, gated_server: GatedServer) -> None:
    """Nobody knows what a request under way at a crash cost: after the restart its ceiling still counts as spent."""
    settings = one_model(gated_server.address)
    with GatewayProcess(tmp_path / "one", settings, {}) as first, ThreadPoolExecutor(1) as threads:
        _, secret = Administrator.of_home(first.address, first.home).key(**FOR_ONE)
        lost = threads.submit(_post, first, secret)
        gated_server.wait_until_halfway()
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert isinstance(lost.exception(), httpx.TransportError)
    gated_server.open()
    with GatewayProcess(tmp_path / "one", settings, {}) as second:
        assert _post(second, secret).status_code == 402
        assert _spent(second, secret) == "0.000176"
