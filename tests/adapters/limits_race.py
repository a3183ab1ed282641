"""One of several processes that race for the same budget: ``python -m tests.adapters.limits_race``.

Arguments: the server's address, the prefix, this process's name, by how many seconds its clock is
wrong, and how many requests it makes at once. It says ``ready``, waits for a line, and prints how
many were let in.
"""

from __future__ import annotations

import asyncio
import sys
import time

from gateway.adapters.limits_redis import RedisPurse
from gateway.domain.ledger import Hold
from gateway.domain.limits import Period
from gateway.errors import BudgetExhausted
from gateway.ports import Claim
from tests.adapters.purse_contract import account, daily
from tests.adapters.set_log import SetLog


class WrongClock:
    """A clock that is ahead of the others."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead_s = ahead_s

    def now(self) -> float:
        return time.time() + self._ahead_s

    def monotonic(self) -> float:
        return time.monotonic()


async def race(url: str, prefix: str, name: str, ahead_s: float, count: int) -> int:
    """Make ``count`` requests at once; how many were let in."""
    clock = WrongClock(ahead_s)
    purse = RedisPurse(url, when_away="closed", clock=clock, log=SetLog(), process=name, prefix=prefix, timeout_s=10.0)
    await purse.spent("key:k1", Period.DAY, now=clock.now())  # connected before the start
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    accounts = (account("key:k1", daily("1")), account("team:t1", daily("1")))
    claims = [Claim(f"{name}-{number}", accounts, daily("1").amount, 10, clock.now(), 60.0) for number in range(count)]
    outcomes = await asyncio.gather(*map(purse.hold, claims), return_exceptions=True)
    await purse.close(within_s=0)
    unexpected = [each for each in outcomes if not isinstance(each, Hold | BudgetExhausted)]
    if unexpected:
        raise RuntimeError(f"neither held nor refused: {unexpected[0]!r}")
    return sum(isinstance(outcome, Hold) for outcome in outcomes)


if __name__ == "__main__":
    print(asyncio.run(race(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))))
