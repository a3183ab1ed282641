"""Sticky arms in Redis: the contract, expiry, many processes, and a Redis that is away."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from gateway.adapters.sticky_redis import RedisSticky
from tests.adapters.redis_server import RedisServer
from tests.adapters.sticky_contract import ONE, OTHER, THINK, Settled, StickyContract

_prefixes = (f"sticky-test{number}:" for number in itertools.count())
_PATIENT_S = 10.0
"""A busy machine must not look like an outage."""


@pytest.fixture
def prefix() -> str:
    """Names of this test alone."""
    return next(_prefixes)


@pytest.fixture
async def sticky(shared_redis: RedisServer, prefix: str) -> AsyncIterator[RedisSticky]:
    """One whose Redis answers."""
    sticky = RedisSticky(shared_redis.url, prefix=prefix, timeout_s=_PATIENT_S)
    yield sticky
    assert sticky.failures == 0
    await sticky.close()


@pytest.fixture
def settled(sticky: RedisSticky) -> Settled:
    """What is put is kept once Redis has answered what was asked after it."""
    return lambda: sticky.get(OTHER)


class TestRedisSticky(StickyContract):
    """Adopts the contract."""


async def test_an_arm_expires_in_redis(
    sticky: RedisSticky, settled: Settled, shared_redis: RedisServer, prefix: str
) -> None:
    """Every entry has an end, to the second, and never none."""
    sticky.put(ONE, THINK, expires_s=59.5)
    sticky.put(OTHER, THINK, expires_s=0.001)
    await settled()
    assert int(shared_redis.command("TTL", f"{prefix}{ONE.hex()}")[1:]) in {59, 60}
    assert int(shared_redis.command("PTTL", f"{prefix}{OTHER.hex()}")[1:]) <= 1000


async def test_another_process_finds_it(
    sticky: RedisSticky, settled: Settled, shared_redis: RedisServer, prefix: str
) -> None:
    """What one gateway keeps, the others see."""
    sticky.put(ONE, THINK, expires_s=60)
    await settled()
    other = RedisSticky(shared_redis.url, prefix=prefix, timeout_s=_PATIENT_S)
    assert await other.get(ONE) == THINK
    await other.close()


async def test_many_at_once_each_get_their_own(sticky: RedisSticky, settled: Settled) -> None:
    """Look-ups that travel together do not mix."""
    names = [number.to_bytes(16, "big") for number in range(300)]
    for name in names[::2]:
        sticky.put(name, THINK, expires_s=60)
    await settled()
    found = await asyncio.gather(*map(sticky.get, names))
    assert found == [THINK if number % 2 == 0 else None for number in range(300)]


async def test_what_another_release_wrote_is_nothing(
    sticky: RedisSticky, shared_redis: RedisServer, prefix: str
) -> None:
    """A value of another form counts as none."""
    shared_redis.command("SET", f"{prefix}{ONE.hex()}", "something")
    assert await sticky.get(ONE) is None


async def test_a_redis_that_is_away_makes_nothing_sticky(own_redis: RedisServer) -> None:
    """While Redis is away there is no arm and no error; every miss is counted, and few of them wait."""
    sticky = RedisSticky(own_redis.url, timeout_s=0.2)
    own_redis.kill()
    assert await sticky.get(ONE) is None
    assert sticky.failures == 1
    sticky.put(ONE, THINK, expires_s=60)
    assert await sticky.get(ONE) is None
    assert sticky.failures == 3
    await sticky.close()


async def test_a_redis_that_was_away_is_left_alone_for_a_while(own_redis: RedisServer) -> None:
    """During the pause after a failure Redis is not asked, even if it is back, and each miss is counted."""
    sticky = RedisSticky(own_redis.url, timeout_s=_PATIENT_S, pause_s=3600.0)
    sticky.put(ONE, THINK, expires_s=60)
    assert await sticky.get(ONE) == THINK
    own_redis.kill()
    assert await sticky.get(ONE) is None
    own_redis.start()
    sticky.put(ONE, THINK, expires_s=60)
    assert await sticky.get(ONE) is None
    assert sticky.failures == 3
    assert own_redis.command("DBSIZE") == b":0\r\n"
    await sticky.close()


async def test_what_cannot_be_kept_is_counted(own_redis: RedisServer) -> None:
    """A put that Redis does not answer fails for nobody, and is counted."""
    sticky = RedisSticky(own_redis.url, timeout_s=0.2)
    own_redis.kill()
    sticky.put(ONE, THINK, expires_s=60)
    await sticky.close()
    assert sticky.failures == 1


async def test_a_redis_that_is_back_is_used_again(own_redis: RedisServer) -> None:
    """After the pause Redis is asked again, and conversations stick."""
    sticky = RedisSticky(own_redis.url, timeout_s=_PATIENT_S, pause_s=0.0)
    own_redis.kill()
    assert await sticky.get(ONE) is None
    own_redis.start()
    sticky.put(ONE, THINK, expires_s=60)
    assert await sticky.get(ONE) == THINK
    await sticky.close()


async def test_a_redis_that_hangs_is_not_waited_for(own_redis: RedisServer) -> None:
    """A Redis that answers nothing costs its first asker the timeout, and nobody else anything."""
    sticky = RedisSticky(own_redis.url, timeout_s=0.05)
    own_redis.freeze()
    found = await asyncio.gather(*(sticky.get(ONE) for _ in range(200)))
    assert found == [None] * 200
    assert sticky.failures == 200
    own_redis.thaw()
    await sticky.close()
