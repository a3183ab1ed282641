"""Limits and money of many processes, in one Redis.

Every step is one script. When Redis does not answer in time, or has lost its balances, an explicit
setting decides. *Closed* refuses new requests. *Open* serves them within limits that this process
keeps alone, starting from its share of what Redis said last is left, or the log where Redis has not said anything.
Either way what ends meanwhile waits in a backlog and is written when Redis is back: each settlement once, however
often it has to be sent, since an ended hold leaves nothing to end again, or a mark that it has ended.

A Redis that lost its balances is not trusted until ``restore`` has set them again from database and
journal. A hold lost with it is charged when it settles, unless it ended before those sums were read.
All keys share the hash tag of their prefix, so a cluster keeps them on one shard: a hold takes from
a key's and a team's account in one step, which no two shards could do.

Redis must be 5 or later and must not evict (``maxmemory-policy noeviction``): an evicted balance is
money forgotten, while a Redis that is full is one that is away. What a crash takes from a Redis that
comes back with older balances (a second with ``appendfsync everysec``) only a reconciliation finds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.adapters import limits_scripts as scripts
from gateway.adapters.limits_alone import Alone, SpendingLog
from gateway.adapters.limits_lapsed import Lapsed
from gateway.adapters.limits_line import RedisLine
from gateway.adapters.limits_memory import MemoryPurse
from gateway.adapters.limits_outage import LONGEST_PAUSE_S, Outages, Standing
from gateway.adapters.limits_prelude import Script
from gateway.adapters.limits_presence import Presence, require_books
from gateway.adapters.limits_wire import MOST_NANOS, Ask, End, Reply, Wire, held, refusal, used
from gateway.adapters.redis_pipelines import StoreAway
from gateway.domain.ledger import Hold, HoldEvent, after
from gateway.domain.limits import Period
from gateway.domain.money import ZERO, Usd, from_nanos, show, to_nanos
from gateway.domain.refusals import hold_has_ended
from gateway.errors import BudgetExhausted, PonderError, Unavailable
from gateway.ports import Claim, Clock

TIMEOUT_S = 1.0
"""Long enough that a machine under load does not pass for a Redis that is away."""
PREFIX = "{ponder}:"

_BATCH = 200
_REFRESHED = 200
"""How many balances are asked for each time, which is about once a second."""
_CLOCK_TRIES = 3

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RedisPurseState:
    """How the purse stands: for readiness and metrics.

    ``backlog`` ends wait to be written; ``lost`` ones found it full or were left in it at shutdown.
    """

    is_away: bool
    reason: str | None
    """Why Redis was away, the last time that it was."""
    outages: int
    served_alone: int
    refused: int
    backlog: int
    lost: int


class RedisPurse:
    """Satisfies :class:`gateway.ports.Purse` for any number of processes.

    ``is_server_timed=False`` takes the time from the callers instead of Redis; only for one process,
    or several with one clock. ``log`` says what was spent where Redis has never told, and what became of
    holds whose process is gone; ``process`` names this one as its journal does. Must be constructed and used
    in one event loop.
    """

    def __init__(
        self,
        url: str,
        *,
        when_away: Literal["open", "closed"],
        clock: Clock,
        is_server_timed: bool = True,
        log: SpendingLog,
        process: str,
        prefix: str = PREFIX,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._is_open_when_away = when_away == "open"
        self._clock = clock
        self._wire = Wire(prefix, is_server_timed=is_server_timed, process=process)
        self._line = RedisLine(url, books=self._wire.books, timeout_s=timeout_s)
        self._presence = Presence(self._line, self._wire, clock, process)
        # Holds on accounts without any limit need no store; only their ending once must be watched.
        self._unlimited = MemoryPurse()
        self._alone = Alone(log)
        self._lapsed = Lapsed(self._line, self._wire, log)
        self._outages = Outages(
            self._line,
            self._wire,
            self._presence,
            is_open=self._is_open_when_away,
            sharers=lambda: self._alone.sharers,
        )
        self._leftovers: set[asyncio.Task[Any]] = set()
        self._refused = 0

    @property
    def state(self) -> RedisPurseState:
        """How the purse stands now."""
        return RedisPurseState(
            is_away=self._outages.is_alone,
            reason=self._outages.reason,
            outages=self._outages.number,
            served_alone=self._alone.served,
            refused=self._refused,
            backlog=len(self._outages.backlog),
            lost=self._outages.backlog.lost,
        )

    async def hold(self, claim: Claim) -> Hold:
        if all(account.limits.is_open for account in claim.accounts):
            return await self._unlimited.hold(claim)
        if to_nanos(claim.ceiling) > MOST_NANOS:
            raise BudgetExhausted(
                f"this request may cost up to ${show(claim.ceiling)}; a single one may at most hold "
                f"${show(from_nanos(MOST_NANOS))}"
            )
        if self._outages.standing is Standing.SHARED:
            return await self._hold_shared(claim)
        alone = await self._hold_alone(claim)
        if self._outages.is_alone:
            return alone
        try:
            return await self._hold_shared(claim)
        except (PonderError, asyncio.CancelledError):
            await self._alone.purse.release(alone, now=claim.now)
            raise

    async def extend(self, hold: Hold, by: Usd, *, now: float) -> Hold:
        for purse in (self._unlimited, self._alone.purse):
            if purse.has(hold.request_id):
                # Where Redis has it as well, it counts the rest when the hold ends.
                return await purse.extend(hold, by, now=now)
        extended = after(hold, HoldEvent.EXTEND, amount=by)
        if extended is None:
            raise hold_has_ended(hold.request_id)
        try:
            reply = await self._call(scripts.EXTEND, self._wire.extend(hold, by, now))
        except StoreAway:
            if not self._is_open_when_away:
                raise self._unavailable() from None
            return extended
        if "ended" in reply:
            raise hold_has_ended(hold.request_id)
        if "refusals" in reply:
            raise refusal(reply, hold.held_at)
        return extended

    async def renew(self, holds: Sequence[Hold], *, now: float, lease_s: float) -> None:
        await self._unlimited.renew(holds, now=now, lease_s=lease_s)
        await self._alone.purse.renew(holds, now=now, lease_s=lease_s)
        stored = [hold for hold in holds if not self._unlimited.has(hold.request_id)]
        try:
            for start in range(0, len(stored), _BATCH):
                batch = stored[start : start + _BATCH]
                await self._call(scripts.RENEW, self._wire.renew(batch, now, lease_s))
        except StoreAway:
            return  # a hold that lapses meanwhile is corrected when it settles

    async def settle(self, hold: Hold, amount: Usd, *, tokens: int, now: float) -> bool:
        if self._unlimited.has(hold.request_id):
            return await self._unlimited.settle(hold, amount, tokens=tokens, now=now)
        is_alone = self._alone.purse.has(hold.request_id)
        if is_alone:
            await self._alone.purse.settle(hold, amount, tokens=tokens, now=now)
        end = End(hold.request_id, hold.accounts, hold.held_at, amount, tokens, now, is_foreign=is_alone)
        if self._outages.is_alone:
            return self._outages.backlog.add(end)
        try:
            return await self._write_end(end)
        except asyncio.CancelledError:
            # Whether it was written is not known; to write it again does no harm.
            self._start(self._write_end(end))
            raise

    async def release(self, hold: Hold, *, now: float) -> bool:
        return await self.settle(hold, ZERO, tokens=0, now=now)

    async def spent(self, account: str, period: Period, *, now: float) -> tuple[Usd, Usd]:
        try:
            reply = await self._call(scripts.SPENT, self._wire.spent(account, period, now))
            while reply["more"]:
                reply = await self._call(scripts.SPENT, self._wire.spent(account, period, now))
        except StoreAway:
            if not self._is_open_when_away:
                raise self._unavailable() from None
            return await self._alone.purse.spent(account, period, now=now)
        return from_nanos(int(reply["spent"])), from_nanos(int(reply["held"]))

    async def needs_restore(self) -> bool:
        balances = self._alone.heard_longest_ago(_REFRESHED, self._wire.server_time(self._clock.now()))
        try:
            reply = await self._presence.say(balances=balances)
        except StoreAway as fault:
            self._outages.begin(fault)
            return False
        # During an outage the store lacks what was spent here meanwhile, and those who have not come back yet.
        if self._outages.standing is Standing.SHARED:
            self._alone.sharers = reply["processes"]
            for balance, amounts in zip(balances, reply.get("used", ()), strict=False):
                self._alone.note(*balance, sum(map(int, amounts)))
        return "lost" in reply

    async def settle_lapsed(self, *, gone: Sequence[str]) -> int:
        """End some of the holds that lapsed as the log has them; how many.

        ``gone`` are processes that have ended, and whose journals are wholly in the log: what they held and is
        not there called no model. Raises Unavailable when Redis is away or the log cannot be read.
        """
        if self._outages.is_alone:
            raise self._unavailable()
        try:
            return await self._lapsed.settle(gone=gone, now=self._clock.now())
        except StoreAway as fault:
            self._outages.begin(fault)
            raise self._unavailable() from fault

    async def vouch(self, moved_to: float) -> float | None:
        try:
            return await self._presence.vouch(moved_to)
        except StoreAway as fault:
            self._outages.begin(fault)
            return None

    async def restore(self, spent: Mapping[str, Mapping[Period, Usd]], *, now: float) -> bool:
        balances = [one for account, amounts in spent.items() for one in self._wire.restore(account, amounts, now)]
        first, last = balances[:-_BATCH], balances[-_BATCH:]
        asks: list[Ask] = [{"balances": first[start : start + _BATCH]} for start in range(0, len(first), _BATCH)]
        asks.append({"balances": last, "opens": True, "read": self._wire.read_at(now)})
        for ask in asks:
            if not (await self._set(ask, now))["done"]:
                return False
        self._outages.look_again()
        return True

    async def correct(self, account: str, spent: Mapping[Period, Usd], *, now: float) -> None:
        await self._set({"balances": self._wire.restore(account, spent, now), "corrects": True}, now)

    async def recovered(self) -> None:
        """Wait until Redis is in use again, and all that had ended meanwhile, here and elsewhere, is written."""
        await self._outages.over()

    async def settled(self) -> None:
        """Wait until what cancelled callers left behind is finished."""
        while self._leftovers:
            await asyncio.wait(self._leftovers)

    async def close(self, *, within_s: float) -> None:
        """Write what still waits, within the given time, and let go of Redis."""
        await self.settled()
        await self._outages.close(within_s=within_s)
        await self._alone.close()
        await self._line.close()

    async def _hold_shared(self, claim: Claim) -> Hold:
        try:
            reply = await self._hold_in_store(claim)
        except asyncio.CancelledError:
            self._start(self._write_end(_undone(claim)))
            raise
        except StoreAway as fault:
            self._outages.begin(fault)
            try:
                return await self._hold_alone(claim)
            except PonderError:
                # Redis may have taken the hold before it fell silent.
                self._outages.backlog.add(_undone(claim))
                raise
        if self._outages.standing is Standing.SHARED:
            for account, period, amount in used(claim, reply):
                self._alone.note(account, period, self._wire.window(period, claim.now).start, amount)
        if "refusals" in reply:
            raise refusal(reply, reply["now"] / 1000)
        if reply.get("state") == "ended":
            raise hold_has_ended(claim.request_id)
        return held(claim, reply)

    async def _hold_in_store(self, claim: Claim) -> Reply:
        for _ in range(_CLOCK_TRIES):
            reply = await self._line.call(scripts.HOLD, self._wire.hold(claim))
            self._wire.learn(reply, self._clock.now())
            require_books(reply)
            if "elsewhen" not in reply:
                return reply
        raise StoreAway("the clocks of Redis and this machine run too differently to agree on a day")

    async def _hold_alone(self, claim: Claim) -> Hold:
        if self._is_open_when_away:
            return await self._alone.hold(claim)
        self._refused += 1
        raise self._unavailable()

    async def _write_end(self, end: End) -> bool:
        """Write an end to Redis, or keep it for later; False when the hold had ended before."""
        try:
            return await self._outages.write(end)
        except StoreAway as fault:
            self._outages.begin(fault)
            return self._outages.backlog.add(end)

    async def _call(self, script: Script, ask: Ask) -> Reply:
        """The answer of a script; raises StoreAway at once while Redis is away."""
        if self._outages.is_alone:
            raise StoreAway(self._outages.reason or "Redis is away")
        try:
            reply = await self._line.call(script, ask)
            require_books(reply)
        except StoreAway as fault:
            self._outages.begin(fault)
            raise
        return reply

    async def _set(self, fields: Ask, now: float) -> Reply:
        try:
            return await self._line.call(scripts.RESTORE, self._wire.ask(now, fields))
        except StoreAway as fault:
            self._outages.begin(fault)
            raise self._unavailable() from fault

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            f"limits cannot be checked: {self._outages.reason}; requests are accepted again when Redis is back",
            retry_after_s=LONGEST_PAUSE_S,
        )

    def _start(self, writing: Coroutine[Any, Any, bool]) -> None:
        """Finish something although its caller is gone."""
        task = asyncio.create_task(writing)
        self._leftovers.add(task)
        task.add_done_callback(self._leftovers.discard)


def _undone(claim: Claim) -> End:
    """The end of a hold that nobody received; it keeps one that is still on its way from being made."""
    return End(claim.request_id, (), claim.now, ZERO, 0, claim.now, is_foreign=True)
