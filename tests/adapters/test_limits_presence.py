"""Processes that share the books of one Redis, and what they agree on when it has lost them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from gateway.adapters.limits_redis import RedisPurse
from gateway.domain.limits import Period
from gateway.domain.money import ZERO, usd
from tests.adapters.purse_contract import NOON, account, balance, claim, daily
from tests.adapters.redis_server import RedisServer
from tests.adapters.set_log import SetLog
from tests.clock import SetClock

KEY = account("key:k1", daily("1"))


@asynccontextmanager
async def purse_of(server: RedisServer, clock: SetClock) -> AsyncIterator[RedisPurse]:
    """A purse of one process."""
    purse = RedisPurse(
        server.url,
        when_away="closed",
        clock=clock,
        log=SetLog(),
        process=uuid4().hex,
        is_server_timed=False,
        prefix="{present}:",
        timeout_s=10,
    )
    try:
        yield purse
    finally:
        await purse.close(within_s=0)


async def test_lost_books_are_restored_once_all_vouch_for_the_log(own_redis: RedisServer) -> None:
    """Nobody restores before every process that is there has said that the log has what ended in it by the loss."""
    clock = SetClock(NOON)
    async with purse_of(own_redis, clock) as first, purse_of(own_redis, clock) as second:
        for purse in (first, second):
            assert await purse.needs_restore()
        assert await first.vouch(NOON) is None  # others may not have come by yet
        clock.at += 3
        assert await first.vouch(NOON + 3) is None  # the second one's log is behind
        assert await second.vouch(NOON - 1) is None
        assert await first.vouch(NOON + 3) is None
        assert await second.vouch(NOON + 3) is None  # it has just noticed
        assert await first.vouch(NOON + 3) == NOON
        assert await first.restore({"key:k1": {Period.DAY: usd("0.25")}}, now=NOON)
        assert await second.vouch(NOON + 3) is None
        assert not await second.needs_restore()
        assert not await first.needs_restore()
        own_redis.kill()
        own_redis.start()
        async with asyncio.timeout(30):
            while not await first.needs_restore():  # the broken connection is noticed first
                pass
        assert await first.vouch(NOON + 3) is None  # another loss, with a moment of its own
        clock.at += 3
        assert await first.vouch(NOON + 6) == NOON + 3


async def test_what_ends_after_the_agreed_moment_is_charged(own_redis: RedisServer) -> None:
    """A hold that Redis lost is in the sums if it ended before, and is charged when it ends later."""
    clock = SetClock(NOON)
    async with purse_of(own_redis, clock) as purse:
        await purse.restore({}, now=NOON - 10)
        holds = [await purse.hold(claim(name, KEY, ceiling="0.1", now=NOON - 5)) for name in ("early", "late")]
        own_redis.kill()
        assert await purse.settle(holds[0], usd("0.01"), tokens=0, now=NOON - 1)
        assert await purse.settle(holds[1], usd("0.02"), tokens=0, now=NOON + 1)
        own_redis.start()
        assert await purse.needs_restore()
        assert await purse.vouch(NOON) is None
        clock.at += 3
        since = await purse.vouch(NOON + 3)
        assert since == NOON
        assert await purse.restore({"key:k1": {Period.DAY: usd("0.51")}}, now=since)
        await purse.recovered()
        assert await balance(purse, now=NOON + 4) == (usd("0.53"), ZERO)


async def test_a_process_that_never_vouches_is_not_waited_for_without_end(own_redis: RedisServer) -> None:
    """One that is gone is forgotten after some seconds, and one whose database is away after a minute."""
    clock = SetClock(NOON)
    async with purse_of(own_redis, clock) as purse, purse_of(own_redis, clock) as gone:
        assert await gone.needs_restore()
        assert await purse.vouch(NOON) is None
        clock.at += 5
        assert await purse.vouch(NOON + 5) is None
        clock.at += 6
        assert await purse.vouch(NOON + 11) == NOON
        for _ in range(8):
            clock.at += 8
            assert await gone.needs_restore()
            since = await purse.vouch(clock.at)
        assert since == NOON
