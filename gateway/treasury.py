"""Money kept at hand: the purse that holds and settles, restored from the log at every start."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from gateway.adapters.limits_memory import MemoryPurse
from gateway.adapters.limits_redis import RedisPurse
from gateway.domain.limits import Period
from gateway.domain.money import ZERO
from gateway.errors import PonderError
from gateway.flow.hold import LEASE_S
from gateway.flow.settlements import Settlements
from gateway.ports import Clock, Journal, Purse
from gateway.settings import RedisSettings
from gateway.store.balances import Balances
from gateway.telemetry import Meter

_LOOK_EVERY_S = 1.0
_JOURNAL_WAIT_S = 3.0
_RESTORE_S = 10.0
"""How long a start waits until all gateways agree on what is to be restored; usually it takes two or three."""
_log = logging.getLogger(__name__)


class Book(Journal, Protocol):
    """A journal whose records can be waited for, and whose processes have names."""

    @property
    def name(self) -> str:
        """This process's."""
        ...

    def take_finished(self) -> tuple[str, ...]:
        """Processes that have ended, and whose records are all in the database since this was asked last."""
        ...

    async def flush(self) -> None:
        """Wait until the records that wait now are in the database."""
        ...


class Treasury:
    """The purse of this process and what keeps it true."""

    def __init__(
        self, redis: RedisSettings, redis_url: str | None, clock: Clock, balances: Balances, book: Book
    ) -> None:
        self._clock = clock
        self._book = book
        self._balances = balances
        self._settings = redis
        self._redis_url = redis_url
        self._redis: RedisPurse | None = None
        self.purse: Purse = MemoryPurse()
        self.settlements = Settlements(self.purse, clock, lease_s=LEASE_S)
        self._fault: str | None = None
        self._restoring: asyncio.Task[None] | None = None
        self._gone: tuple[str, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether other processes hold and settle against the same balances."""
        return self._redis_url is not None

    async def start(self) -> None:
        """Restore the balances, as far as the database answers, and begin to settle.

        From here on ``purse`` and ``settlements`` are those to use: Redis needs the running loop.
        """
        if self._redis_url:
            self._redis = RedisPurse(
                self._redis_url,
                when_away=self._settings.when_away,
                clock=self._clock,
                log=self._balances,
                process=self._book.name,
            )
            self.purse = self._redis
            self.settlements = Settlements(self.purse, self._clock, lease_s=LEASE_S)
        await self._restore_at_start()
        self.settlements.start()
        self._restoring = asyncio.create_task(self._keep_restored())

    async def _restore_at_start(self) -> None:
        try:
            async with asyncio.timeout(_RESTORE_S):
                while True:
                    if await self._restore():
                        return
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            _log.warning("budgets are not restored yet: another gateway's journal has not reached the database")

    async def _restore(self) -> bool:
        """Set the balances if they are missing; False when the gateways have yet to agree on their sums."""
        try:
            if await self.purse.needs_restore():
                await _wait_for(self._book)
                moved_to = self._clock.now()
                if not await _flush(self._book):
                    return False
                since = await self.purse.vouch(moved_to)
                if since is None:
                    return False
                await self.purse.restore(await self._balances.spent(since, ended_before=since), now=since)
            self._fault = None
        except PonderError as fault:
            self._fault = fault.message
        return True

    async def _keep_restored(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self._restore()
            await self._settle_lapsed()

    async def _settle_lapsed(self) -> None:
        """End what processes that are gone had held, as the log has it."""
        finished = self._book.take_finished()
        if self._redis is None:
            return
        self._gone += finished
        try:
            ended = await self._redis.settle_lapsed(gone=self._gone)
        except PonderError:
            return  # both away and back are told of elsewhere
        self._gone = ()
        if ended:
            _log.info("%d holds of processes that are gone were ended as the log has them", ended)

    async def recount(self, account: str, period: Period) -> None:
        """Count what an account has spent in this period so far: nobody counts it before there is a budget.

        Raises Unavailable when the database cannot be read.
        """
        if not await _flush(self._book):
            _log.warning("a new budget counts without what still waits in the journal: the database is slow or away")
        now = self._clock.now()
        spent = await self._balances.spent(now)
        await self.purse.correct(account, {period: spent.get(account, {}).get(period, ZERO)}, now=now)

    def degraded(self) -> tuple[str, ...]:
        """What is not as it should be, in words for an operator."""
        states = []
        if self._fault is not None:
            states.append(f"budgets start from nothing spent until the log can be read: {self._fault}")
        if self._redis is not None and self._redis.state.is_away:
            state = self._redis.state
            states.append(f"Redis is away ({state.reason}); {state.backlog} settlements wait, {state.refused} refused")
        return tuple(states)

    def watch(self, meter: Meter) -> None:
        """Expose open holds and waiting settlements."""
        meter.watch("ponder_holds_open", "Holds whose calls live.", lambda: self.settlements.open_holds)
        meter.watch("ponder_settlements_waiting", "Settlements not yet in the books.", lambda: self.settlements.waiting)

    async def close(self, *, within_s: float) -> None:
        """Settle what is left, within the given time."""
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.wait({self._restoring})
        await self.settlements.close(within_s=within_s)
        if self._redis is not None:
            await self._redis.close(within_s=within_s)


async def _flush(book: Book) -> bool:
    """Whether all that has ended here is in the log by now: the database takes it in time, or not."""
    try:
        async with asyncio.timeout(_JOURNAL_WAIT_S):
            await book.flush()
    except TimeoutError:
        return False
    return True


async def _wait_for(journal: Journal) -> None:
    """What an earlier process left in its journal is being moved to the log, and is to be counted too."""
    try:
        async with asyncio.timeout(_JOURNAL_WAIT_S):
            await journal.recovered()
    except TimeoutError:
        _log.warning("budgets are restored without what the journal still holds: the database is slow or away")
