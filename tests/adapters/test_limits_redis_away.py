"""The purse while Redis is away: killed, started anew without its balances, or hanging."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from uuid import uuid4

import pytest

from gateway.adapters import limits_scripts as scripts
from gateway.adapters.limits_line import RedisLine
from gateway.adapters.limits_presence import Presence
from gateway.adapters.limits_redis import RedisPurse
from gateway.adapters.limits_wire import End, Wire
from gateway.domain.ledger import Hold
from gateway.domain.limits import Account, Period
from gateway.domain.money import ZERO, usd
from gateway.errors import BudgetExhausted, RateLimited, Unavailable
from tests.adapters.journal.samples import until
from tests.adapters.purse_contract import NOON, account, balance, claim, daily
from tests.adapters.redis_server import RedisServer
from tests.adapters.set_log import SetLog
from tests.clock import SetClock

PREFIX = "{away}:"
KEY = account("key:k1", daily("1"))


@asynccontextmanager
async def purse_of(
    server: RedisServer, when_away: Literal["open", "closed"], *, timeout_s: float = 10.0, log: SetLog | None = None
) -> AsyncIterator[RedisPurse]:
    """A purse with nothing spent, whose time the test sets."""
    purse = RedisPurse(
        server.url,
        when_away=when_away,
        clock=SetClock(NOON),
        log=log or SetLog(),
        process=uuid4().hex,
        is_server_timed=False,
        prefix=PREFIX,
        timeout_s=timeout_s,
    )
    await purse.restore({}, now=NOON)
    assert not await purse.needs_restore()
    try:
        yield purse
    finally:
        await purse.close(within_s=0)


async def recovered(purse: RedisPurse) -> None:
    """Wait until Redis is in use again."""
    async with asyncio.timeout(30):
        await purse.recovered()


async def test_closed_refuses_until_redis_is_back_and_restored(own_redis: RedisServer) -> None:
    """Without Redis, and with one that lost its balances, nothing is let in; then everything is as it was."""
    async with purse_of(own_redis, "closed") as purse:
        hold = await purse.hold(claim("r1", KEY, ceiling="0.6"))
        own_redis.kill()
        for name in ("r2", "r3"):
            with pytest.raises(Unavailable, match="limits cannot be checked: Redis gave no answer"):
                await purse.hold(claim(name, KEY, ceiling="0.1"))
        with pytest.raises(Unavailable):
            await purse.extend(hold, usd("0.1"), now=NOON)
        with pytest.raises(Unavailable):
            await balance(purse)
        assert not await purse.needs_restore()
        assert purse.state.is_away
        assert (purse.state.outages, purse.state.refused, purse.state.served_alone) == (1, 2, 0)
        own_redis.start()
        assert await purse.needs_restore()
        with pytest.raises(Unavailable):
            await purse.hold(claim("r4", KEY, ceiling="0.1"))
        assert await purse.restore({"key:k1": {Period.DAY: usd("0.25")}}, now=NOON + 1)
        await recovered(purse)
        await purse.hold(claim("r5", KEY, ceiling="0.75", now=NOON + 2))
        assert await balance(purse, now=NOON + 2) == (usd("0.25"), usd("0.75"))


async def test_holds_that_redis_lost_are_charged_when_they_settle(own_redis: RedisServer) -> None:
    """What ended before the sums were read is in them; what ends later is charged, once."""
    async with purse_of(own_redis, "closed") as purse:
        early = await purse.hold(claim("early", KEY, ceiling="0.1"))
        waiting = await purse.hold(claim("waiting", KEY, ceiling="0.1"))
        late = await purse.hold(claim("late", KEY, ceiling="0.1"))
        own_redis.kill()
        assert await purse.settle(early, usd("0.01"), tokens=0, now=NOON + 1)
        assert await purse.settle(waiting, usd("0.02"), tokens=0, now=NOON + 3)
        assert not await purse.settle(waiting, usd("0.02"), tokens=0, now=NOON + 3)
        assert purse.state.backlog == 2
        own_redis.start()
        assert await purse.restore({"key:k1": {Period.DAY: usd("0.01")}}, now=NOON + 2)
        await recovered(purse)
        assert purse.state.backlog == 0
        assert await purse.settle(late, usd("0.04"), tokens=0, now=NOON + 4)
        for hold in (early, waiting, late):
            assert not await purse.settle(hold, usd("0.08"), tokens=0, now=NOON + 5)
        assert await balance(purse, now=NOON + 5) == (usd("0.07"), ZERO)


async def test_open_serves_within_what_redis_said_last(own_redis: RedisServer) -> None:
    """Alone, a process starts from the balances it knew, and what it spends is written when Redis is back."""
    limited = account("key:k1", daily("1"), concurrency=2)
    async with purse_of(own_redis, "open") as purse:
        before = await purse.hold(claim("before", limited, ceiling="0.6"))
        own_redis.kill()
        alone = await purse.hold(claim("alone", limited, ceiling="0.3"))
        with pytest.raises(BudgetExhausted, match=r"\$0.1 left of its budget of \$1 per day"):
            await purse.hold(claim("more", limited, ceiling="0.2"))
        await purse.hold(claim("lasting", limited, ceiling="0.05"))
        with pytest.raises(RateLimited):
            await purse.hold(claim("third", limited))
        assert (await purse.extend(alone, usd("0.05"), now=NOON)).ceiling == usd("0.35")
        assert (await purse.extend(before, usd("1"), now=NOON)).ceiling == usd("1.6")
        await purse.renew([before, alone], now=NOON, lease_s=60)
        assert await purse.settle(alone, usd("0.2"), tokens=0, now=NOON + 3)
        assert not await purse.settle(alone, usd("0.2"), tokens=0, now=NOON + 3)
        assert await balance(purse) == (usd("0.8"), usd("0.05"))
        assert (purse.state.outages, purse.state.refused, purse.state.served_alone) == (1, 0, 2)
        own_redis.start()
        assert await purse.restore({"key:k1": {Period.DAY: usd("0.125")}}, now=NOON + 2)
        await recovered(purse)
        assert await balance(purse) == (usd("0.325"), ZERO)
        lasting = await purse.hold(claim("lasting", limited, ceiling="0.05", now=NOON + 4))
        assert await purse.settle(lasting, usd("0.01"), tokens=0, now=NOON + 5)
        assert await purse.settle(before, usd("0.5"), tokens=0, now=NOON + 5)
        assert await balance(purse) == (usd("0.835"), ZERO)


async def test_processes_that_are_alone_share_what_is_left(own_redis: RedisServer) -> None:
    """Each spends an equal share of what Redis said last is left, though only the others spent since it was asked."""
    async with purse_of(own_redis, "open") as first, purse_of(own_redis, "open") as second:
        for purse in (first, second):
            await purse.release(await purse.hold(claim(f"known to {id(purse)}", KEY, ceiling="0.1")), now=NOON)
        assert await first.settle(await first.hold(claim("r1", KEY, ceiling="0.4")), usd("0.4"), tokens=0, now=NOON)
        for purse in (first, second, first):
            assert not await purse.needs_restore()
        own_redis.kill()
        for purse in (first, second):
            with pytest.raises(BudgetExhausted, match=r"\$0.3 left of its budget of \$1 per day"):
                await purse.hold(claim(f"more than half to {id(purse)}", KEY, ceiling="0.31"))
            await purse.hold(claim(f"half to {id(purse)}", KEY, ceiling="0.3"))


async def test_what_others_spent_is_known_from_a_refusal(own_redis: RedisServer) -> None:
    """A process that was only ever refused does not take a budget for unspent when it is alone."""
    async with purse_of(own_redis, "open") as first, purse_of(own_redis, "open") as second:
        await first.hold(claim("r1", KEY, ceiling="0.9"))
        with pytest.raises(BudgetExhausted):
            await second.hold(claim("r2", KEY, ceiling="0.2"))
        own_redis.kill()
        with pytest.raises(BudgetExhausted):
            await second.hold(claim("r3", KEY, ceiling="0.2"))


async def test_what_redis_never_told_of_is_read_from_the_log(own_redis: RedisServer) -> None:
    """Alone, a budget begins with what the log says, and with a small share where nobody said how many share it."""
    log = SetLog()
    log.sums = {"key:k1": {Period.DAY: usd("0.9")}}
    async with purse_of(own_redis, "open", log=log) as purse:
        own_redis.kill()
        both = [purse.hold(claim(f"r{number}", KEY, ceiling=ceiling)) for number, ceiling in enumerate(("0.1", "0.2"))]
        fitting, too_much = await asyncio.gather(*both, return_exceptions=True)
        assert isinstance(fitting, Hold)
        assert isinstance(too_much, BudgetExhausted)
        await purse.hold(claim("r3", account("key:k2", daily("1")), ceiling="1"))
    assert log.readings == 2
    latecomer = RedisPurse(own_redis.url, when_away="open", clock=SetClock(NOON), log=log, process="late")
    with pytest.raises(BudgetExhausted, match=r"\$0.00625 left of its budget of \$1 per day"):
        await latecomer.hold(claim("r4", KEY, ceiling="0.01"))
    await latecomer.hold(claim("r5", KEY, ceiling="0.006"))
    await latecomer.close(within_s=0)


async def test_without_redis_and_log_nothing_unknown_is_spent(own_redis: RedisServer) -> None:
    """What neither can tell is refused; what Redis told of before is served."""
    log = SetLog()
    log.is_away = True
    async with purse_of(own_redis, "open", log=log) as purse:
        await purse.release(await purse.hold(claim("known", KEY, ceiling="0.1")), now=NOON)
        own_redis.kill()
        await purse.hold(claim("r1", KEY, ceiling="0.1"))
        with pytest.raises(Unavailable, match="the log cannot be asked what has been spent"):
            await purse.hold(claim("r2", account("key:k2", daily("1")), ceiling="0.1"))
        log.is_away = False
        await purse.hold(claim("r2", account("key:k2", daily("1")), ceiling="0.1"))


async def test_who_is_back_early_waits_for_what_others_spent(own_redis: RedisServer) -> None:
    """While somebody has not written what it spent alone, Redis shows too much as left: the own share bounds it."""
    async with purse_of(own_redis, "open", timeout_s=0.5) as purse:
        wire = Wire(PREFIX, is_server_timed=False, process="other")
        line = RedisLine(own_redis.url, books=wire.books, timeout_s=10)
        other = Presence(line, wire, SetClock(NOON), "other")
        await other.say()
        await purse.release(await purse.hold(claim("known", KEY, ceiling="0.1")), now=NOON)
        assert not await purse.needs_restore()
        own_redis.freeze()
        alone = await purse.hold(claim("r1", KEY, ceiling="0.2"))
        assert purse.state.is_away
        own_redis.thaw()
        other.is_behind = True
        await other.say()
        assert await purse.settle(alone, usd("0.2"), tokens=0, now=NOON)
        await until(lambda: not purse.state.is_away)
        assert await balance(purse) == (usd("0.2"), ZERO)
        with pytest.raises(BudgetExhausted, match=r"\$0.3 left"):
            await purse.hold(claim("of the other's", KEY, ceiling="0.31"))
        both = await purse.hold(claim("r2", KEY, ceiling="0.2"))
        assert await balance(purse) == (usd("0.2"), usd("0.2"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await purse.recovered()
        assert await purse.settle(both, usd("0.1"), tokens=0, now=NOON)
        assert not await purse.settle(both, usd("0.1"), tokens=0, now=NOON)
        other.is_behind = False
        await other.say()
        await recovered(purse)
        await purse.hold(claim("r3", KEY, ceiling="0.7"))
        assert await balance(purse) == (usd("0.3"), usd("0.7"))
        await line.close()


async def test_each_outage_starts_from_what_redis_said_last(own_redis: RedisServer) -> None:
    """A second outage does not go on with the balances of the first."""
    async with purse_of(own_redis, "open") as purse:
        for spent, refused, fitting in (("0.5", "0.4", "0.3"), ("0.1", "0.8", "0.7")):
            own_redis.kill()
            own_redis.start()
            with pytest.raises(BudgetExhausted):  # alone, or by the balances below: too much for either
                await purse.hold(claim("far too much", KEY, ceiling="2"))
            await purse.restore({"key:k1": {Period.DAY: usd(spent)}}, now=NOON)
            await recovered(purse)
            hold = await purse.hold(claim(f"seen{spent}", KEY, ceiling="0.2"))
            own_redis.kill()
            with pytest.raises(BudgetExhausted):
                await purse.hold(claim(f"refused{spent}", KEY, ceiling=refused))
            await purse.release(await purse.hold(claim(f"fits{spent}", KEY, ceiling=fitting)), now=NOON)
            await purse.release(hold, now=NOON)
            own_redis.start()
            await purse.restore({}, now=NOON)
            await recovered(purse)


@pytest.mark.parametrize("when_away", ["open", "closed"])
async def test_what_hung_is_done_once(own_redis: RedisServer, when_away: Literal["open", "closed"]) -> None:
    """A settlement that was sent, not answered and sent again is charged once; a hold given up is undone."""
    async with purse_of(own_redis, when_away, timeout_s=0.5) as purse:
        hold = await purse.hold(claim("r1", KEY, ceiling="0.6"))
        own_redis.freeze()
        settling = purse.settle(hold, usd("0.3"), tokens=0, now=NOON + 1)
        given_up = purse.hold(claim("far too much alone", KEY, ceiling="0.41"))
        settled, refused = await asyncio.gather(settling, given_up, return_exceptions=True)
        assert settled is True
        assert isinstance(refused, Unavailable if when_away == "closed" else BudgetExhausted)
        own_redis.thaw()
        await recovered(purse)
        assert await balance(purse) == (usd("0.3"), ZERO)


async def test_an_end_whose_answer_was_late_is_charged_once(own_redis: RedisServer) -> None:
    """Sent again, the end of a request that went on alone finds that its hold, which Redis had taken, has ended."""
    wire = Wire(PREFIX, is_server_timed=False, process="other")
    async with purse_of(own_redis, "open") as purse:
        hold = await purse.hold(claim("r1", KEY, ceiling="0.6"))
        line = RedisLine(own_redis.url, books=wire.books, timeout_s=10)
        end = End(hold.request_id, hold.accounts, hold.held_at, usd("0.3"), 0, NOON + 1, is_foreign=True)
        replies = [await line.call(scripts.END, wire.end(end, is_charged=True)) for _ in range(2)]
        await line.close()
        assert [reply["done"] for reply in replies] == [True, False]
        assert await balance(purse) == (usd("0.3"), ZERO)


async def test_a_hold_that_hung_and_was_served_alone_is_charged_once(own_redis: RedisServer) -> None:
    """Whether Redis had taken the hold or not before the process went on alone, its amount is charged once."""
    async with purse_of(own_redis, "open", timeout_s=0.5) as purse:
        await purse.hold(claim("connected", KEY, ceiling="0.1"))
        own_redis.freeze()
        ended = await purse.hold(claim("ended while away", KEY, ceiling="0.2"))
        lasting = await purse.hold(claim("ended after", KEY, ceiling="0.2"))
        assert await purse.settle(ended, usd("0.15"), tokens=0, now=NOON + 1)
        own_redis.thaw()
        await recovered(purse)
        assert await purse.settle(lasting, usd("0.05"), tokens=0, now=NOON + 2)
        assert await balance(purse) == (usd("0.2"), usd("0.1"))


async def test_the_others_answers_are_not_mixed_up_after_a_hang(own_redis: RedisServer) -> None:
    """No caller gets the late answer of a call that was given up."""
    async with purse_of(own_redis, "closed", timeout_s=0.5) as purse:
        accounts = [account(f"key:{number}", daily("1")) for number in range(20)]
        own_redis.freeze()
        refusals = await asyncio.gather(
            *(purse.hold(claim(f"lost{each.id}", each, ceiling="0.5")) for each in accounts), return_exceptions=True
        )
        assert all(isinstance(refused, Unavailable) for refused in refusals)
        own_redis.thaw()
        await recovered(purse)

        async def serve(each: Account, number: int) -> None:
            hold = await purse.hold(claim(f"kept{each.id}", each, ceiling="1"))
            await purse.settle(hold, usd(f"0.{number:02}"), tokens=0, now=NOON)

        await asyncio.gather(*(serve(each, number) for number, each in enumerate(accounts)))
        sums = [await balance(purse, each.id) for each in accounts]
        assert sums == [(usd(f"0.{number:02}"), ZERO) for number in range(20)]


async def test_what_cannot_be_written_before_the_end_is_said(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Closing without Redis says how many settlements the journal alone has."""
    async with purse_of(own_redis, "closed") as purse:
        hold = await purse.hold(claim("r1", KEY, ceiling="0.6"))
        own_redis.kill()
        assert await purse.settle(hold, usd("0.3"), tokens=0, now=NOON)
        with caplog.at_level(logging.ERROR):
            await purse.close(within_s=0.01)
    assert "1 settlements could not be written to Redis before closing" in caplog.text
    assert purse.state.lost == 1
