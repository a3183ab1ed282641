"""Holds of processes that are gone: what the log says of them is what they are charged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.adapters.limits_redis import RedisPurse
from gateway.domain.identity import new_request_id
from gateway.domain.money import ZERO, usd
from gateway.errors import Unavailable
from tests.adapters.purse_contract import LEASE_S, NOON, account, balance, claim, daily
from tests.adapters.redis_server import RedisServer
from tests.adapters.set_log import SetLog
from tests.clock import SetClock

KEY = account("key:k1", daily("9"), tokens_per_minute=100)


@asynccontextmanager
async def purse_of(server: RedisServer, clock: SetClock, log: SetLog, process: str) -> AsyncIterator[RedisPurse]:
    """A purse of the process with this name."""
    purse = RedisPurse(
        server.url,
        when_away="closed",
        clock=clock,
        log=log,
        process=process,
        is_server_timed=False,
        prefix="{lapsed}:",
        timeout_s=10.0,
    )
    try:
        yield purse
    finally:
        await purse.close(within_s=0)


async def test_a_lapsed_hold_ends_as_the_log_has_it(own_redis: RedisServer) -> None:
    """What is on record is charged as recorded, at once or later; what is not, when the process has left nothing."""
    clock, log = SetClock(NOON), SetLog()
    logged, late, unlogged, living = (new_request_id(NOON) for _ in range(4))
    async with purse_of(own_redis, clock, log, "killed") as killed, purse_of(own_redis, clock, log, "other") as other:
        await other.restore({}, now=NOON)
        for name in (logged, late, unlogged, "batch_1"):
            await killed.hold(claim(name, KEY, ceiling="1", tokens=10))
        hold = await other.hold(claim(living, KEY, ceiling="1", tokens=10))
        assert await other.settle_lapsed(gone=()) == 0
        clock.at += LEASE_S
        await other.renew([hold], now=NOON + LEASE_S - 1, lease_s=LEASE_S)
        assert await balance(other, now=clock.at) == (usd("4"), usd("1"))
        log.charges = {logged: usd("0.25"), living: usd("0.5")}
        assert await other.settle_lapsed(gone=()) == 0  # its record may be on its way
        clock.at += 5
        assert await other.settle_lapsed(gone=()) == 1
        assert await balance(other, now=clock.at) == (usd("3.25"), usd("1"))
        log.charges |= {late: usd("0.125")}
        assert await other.settle_lapsed(gone=("killed",)) == 0  # not again so soon
        await other.renew([hold], now=clock.at, lease_s=3 * LEASE_S)
        clock.at += 60
        log.is_away = True
        with pytest.raises(Unavailable):
            await other.settle_lapsed(gone=())
        log.is_away = False
        clock.at += 60
        assert await other.settle_lapsed(gone=()) == 2
        assert await balance(other, now=clock.at) == (usd("1.375"), usd("1"))


async def test_who_was_only_slow_changes_nothing_more(own_redis: RedisServer) -> None:
    """A process that comes back after its hold was ended for it does not charge it again."""
    clock, log = SetClock(NOON), SetLog()
    request = new_request_id(NOON)
    async with purse_of(own_redis, clock, log, "slow") as slow:
        await slow.restore({}, now=NOON)
        hold = await slow.hold(claim(request, KEY, ceiling="1"))
        clock.at += LEASE_S
        assert await balance(slow, now=clock.at) == (usd("1"), ZERO)
        log.charges = {request: usd("0.25")}
        clock.at += 5
        assert await slow.settle_lapsed(gone=()) == 1
        assert not await slow.settle(hold, usd("0.25"), tokens=0, now=clock.at)
        assert await balance(slow, now=clock.at) == (usd("0.25"), ZERO)


async def test_without_redis_nothing_is_looked_up(own_redis: RedisServer) -> None:
    """It is said that limits cannot be checked, as for anything else."""
    async with purse_of(own_redis, SetClock(NOON), SetLog(), "one") as purse:
        own_redis.kill()
        for _ in range(2):
            with pytest.raises(Unavailable, match="limits cannot be checked"):
                await purse.settle_lapsed(gone=())
