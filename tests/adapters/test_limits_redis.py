"""The purse in Redis: the contract, races between processes, clocks that differ, and what Redis keeps."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.adapters.limits_redis import RedisPurse
from gateway.domain.limits import Budget, Period
from gateway.domain.money import ZERO, usd
from gateway.errors import BudgetExhausted
from tests.adapters.limits_race import WrongClock
from tests.adapters.purse_contract import LEASE_S, NOON, PurseContract, account, balance, claim, daily
from tests.adapters.redis_server import RedisServer
from tests.adapters.set_log import SetLog

_prefixes = (f"{{test{number}}}:" for number in itertools.count())
_ROOT = Path(__file__).parents[2]


@pytest.fixture
def prefix() -> str:
    """Keys of this test alone."""
    return next(_prefixes)


@pytest.fixture
async def purse(shared_redis: RedisServer, prefix: str) -> AsyncIterator[RedisPurse]:
    """A purse with nothing spent, whose time the test sets."""
    purse = _purse(shared_redis, prefix, is_server_timed=False)
    assert await purse.needs_restore()
    assert await purse.restore({}, now=NOON)
    yield purse
    assert not purse.state.is_away
    await purse.close(within_s=0)


def _purse(server: RedisServer, prefix: str, *, ahead_s: float = 0.0, is_server_timed: bool = True) -> RedisPurse:
    clock = WrongClock(ahead_s)
    # A patient one: a busy machine must not look like an outage.
    return RedisPurse(
        server.url,
        when_away="closed",
        clock=clock,
        log=SetLog(),
        process="one",
        is_server_timed=is_server_timed,
        prefix=prefix,
        timeout_s=10.0,
    )


class TestRedisPurse(PurseContract):
    """Adopts the contract."""


async def test_of_four_processes_one_gets_the_money(shared_redis: RedisServer, prefix: str) -> None:
    """Sixty-four first holds from four processes, whose clocks differ by days, against a budget for one."""
    purse = _purse(shared_redis, prefix)
    await purse.restore({}, now=time.time())
    racers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.adapters.limits_race"),
            *(shared_redis.url, prefix, f"p{number}", str(ahead_s), "16"),
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number, ahead_s in enumerate((0.0, 0.25, 90_000.0, -200_000.0))
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert await racer.stdout.readline() == b"ready\n"
    let_in = await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))
    assert sum(int(count) for count, _ in let_in) == 1
    assert all(racer.returncode == 0 for racer in racers)
    assert await balance(purse, "team:t1", now=time.time()) == (ZERO, usd("1"))
    await purse.close(within_s=0)


async def test_the_servers_time_counts(shared_redis: RedisServer, prefix: str) -> None:
    """A process whose clock is two days ahead neither renews budgets nor ends other processes' leases."""
    here, ahead = _purse(shared_redis, prefix), _purse(shared_redis, prefix, ahead_s=2 * 86400)
    now = time.time()
    await here.restore({}, now=now)
    key = account("key:k1", daily("1"))
    hold = await here.hold(claim("r1", key, ceiling="0.6", now=now))
    with pytest.raises(BudgetExhausted):
        await ahead.hold(claim("r2", key, ceiling="0.5", now=now + 2 * 86400))
    other = await ahead.hold(claim("r3", key, ceiling="0.4", now=now + 2 * 86400))
    assert abs(other.held_at - hold.held_at) < 3600
    assert await here.settle(hold, usd("0.1"), tokens=0, now=now)
    assert await here.settle(other, usd("0.2"), tokens=0, now=now)
    assert await balance(here, now=now) == (usd("0.3"), ZERO)
    for purse in (here, ahead):
        await purse.close(within_s=0)


async def test_scripts_that_redis_forgot_are_loaded_again(purse: RedisPurse, shared_redis: RedisServer) -> None:
    """A flushed script cache is no outage: what was not run is sent once more, and runs once."""
    key = account("key:k1", daily("1"))
    hold = await purse.hold(claim("r1", key, ceiling="0.5"))
    assert shared_redis.command("SCRIPT", "FLUSH") == b"+OK\r\n"
    holds = [claim(f"next{number}", key, ceiling="0.1") for number in range(5)]
    outcomes = await asyncio.gather(purse.settle(hold, usd("0.2"), tokens=0, now=NOON), *map(purse.hold, holds))
    assert outcomes[0] is True
    assert await balance(purse) == (usd("0.2"), usd("0.5"))
    assert purse.state.outages == 0


async def test_a_cancelled_hold_is_given_back(purse: RedisPurse) -> None:
    """A caller who leaves while its money is being held gets none, whether or not Redis had heard of it."""
    key = account("key:k1", daily("1"), concurrency=1)
    for turns in range(8):  # cancelled a little later each time: before sending, under way, answered
        holding = asyncio.create_task(purse.hold(claim(f"r{turns}", key, ceiling="1")))
        for _ in range(turns):
            await asyncio.sleep(0)
        holding.cancel()
        await asyncio.wait({holding})
        assert holding.cancelled()
        await purse.settled()
        assert await balance(purse) == (ZERO, ZERO)
    await purse.hold(claim("last", key, ceiling="1"))


async def test_a_cancelled_settlement_is_written(purse: RedisPurse) -> None:
    """A caller who leaves while its request is being settled is charged all the same, once."""
    key = account("key:k1", daily("1"))
    for turns in range(8):
        hold = await purse.hold(claim(f"r{turns}", key, ceiling="0.1"))
        settling = asyncio.create_task(purse.settle(hold, usd("0.01"), tokens=0, now=NOON))
        for _ in range(1 + turns):
            await asyncio.sleep(0)
        settling.cancel()
        await asyncio.wait({settling})
        await purse.settled()
    assert await balance(purse) == (usd("0.08"), ZERO)


async def test_what_has_ended_leaves_no_key_for_ever(purse: RedisPurse, shared_redis: RedisServer, prefix: str) -> None:
    """Ended requests leave no key, accounts only such as expire, but for the books and total budgets."""
    total = Budget(usd("9"), Period.TOTAL)
    key = account("key:k1", daily("9"), total, requests_per_minute=9, tokens_per_minute=9, concurrency=9)
    for number in range(3):
        hold = await purse.hold(claim(f"r{number}", key, ceiling="1", tokens=1))
        await purse.extend(hold, usd("1"), now=NOON)
        await purse.settle(hold, usd("1"), tokens=1, now=NOON)
    await purse.hold(claim("dead", key, ceiling="1", tokens=1))
    assert await balance(purse, now=NOON + LEASE_S) == (usd("4"), ZERO)
    keys = shared_redis.command("KEYS", f"{prefix}*").decode().split("\r\n")
    names = sorted(name.removeprefix(prefix) for name in keys if name.startswith(prefix))
    if "processes" in names:  # who was there, for some seconds
        names.remove("processes")
    day = int(NOON // 86400 * 86400)
    lasting = ["balance:key:k1:total:0", "books"]
    expiring = [f"balance:key:k1:day:{day}", "hold:dead", "lapsed", "rate:key:k1"]
    assert names == sorted(lasting + expiring)
    for name in expiring:
        assert int(shared_redis.command("TTL", prefix + name)[1:]) > 0


async def test_a_single_ceiling_is_bounded(purse: RedisPurse) -> None:
    """A request that would hold more than Lua can count exactly is refused with the bound."""
    key = account("key:k1", Budget(usd("1000000000"), Period.TOTAL))
    await purse.hold(claim("r1", key, ceiling="9007199.254740992"))
    with pytest.raises(BudgetExhausted, match=r"at most hold \$9007199.254740992"):
        await purse.hold(claim("r2", key, ceiling="9007199.254740993"))
