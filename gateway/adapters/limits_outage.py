"""Outages of Redis: how a process that shares its books goes on without it, and how it comes back.

A process that cannot reach Redis is *alone*. Once Redis answers and all that ended meanwhile is written, it
*rejoins*: others may still be spending their share alone, or writing it down, so until they have, a hold needs
both Redis and what is left of this process's own share. Only then is Redis trusted alone again. Without that
step a process that is back early spends what Redis still shows as left, and others have spent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum

from gateway.adapters import limits_scripts as scripts
from gateway.adapters.limits_backlog import Backlog
from gateway.adapters.limits_line import RedisLine
from gateway.adapters.limits_presence import Presence, require_books
from gateway.adapters.limits_wire import End, Wire
from gateway.adapters.redis_pipelines import StoreAway

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0

_BATCH = 200
_REST = 2.0
"""For how many times as long as a batch took the next one waits, while less and less is left to write."""
_LOOK_EVERY_S = 0.5
_HEARD_WITHIN_S = 4.0
"""How long after Redis answers here every process that reaches it has said whether it has caught up: each says so
about once a second, and waits for an answer for one more."""
_LONGEST_REJOINING_S = 60.0
"""Nobody waits longer for one who is there and does not catch up."""

_log = logging.getLogger(__name__)


class Standing(Enum):
    """How a process stands with its Redis."""

    SHARED = "shared"
    ALONE = "alone"
    REJOINING = "rejoining"


class Outages:
    """Whether Redis is in use, and what ended while it was not. Must be used in one event loop.

    ``sharers`` says how many processes shared the books when that was last known.
    """

    def __init__(
        self, line: RedisLine, wire: Wire, presence: Presence, *, is_open: bool, sharers: Callable[[], int]
    ) -> None:
        self.standing = Standing.SHARED
        self.number = 0
        self.reason: str | None = None
        """Why Redis was away, the last time that it was."""
        self.backlog = Backlog()
        self._line = line
        self._wire = wire
        self._presence = presence
        self._is_open = is_open
        self._sharers = sharers
        self._recovery: asyncio.Task[None] | None = None
        self._is_due = asyncio.Event()

    @property
    def is_alone(self) -> bool:
        """Whether Redis is away, or has not been told yet what ended while it was."""
        return self.standing is Standing.ALONE

    def begin(self, fault: StoreAway) -> None:
        """Go on alone, and try to come back."""
        self.reason = fault.message
        if self.is_alone:
            return
        self.number += 1
        self.standing = Standing.ALONE
        self._presence.is_behind = True
        consequence = "served within limits of this process alone" if self._is_open else "refused"
        _log.error("limits are not shared: %s; requests are %s until Redis is back", fault.message, consequence)
        if self._recovery is None:
            self._recovery = asyncio.create_task(self._recover(), name="purse-recovery")

    def look_again(self) -> None:
        """Try at once whether Redis can be used: its balances have been restored."""
        self._is_due.set()

    async def over(self) -> None:
        """Wait until Redis is in use again."""
        while self._recovery is not None:
            await asyncio.wait({self._recovery})

    async def close(self, *, within_s: float) -> None:
        """Write what still waits, within the given time, and give up the rest."""
        recovery = self._recovery
        if recovery is not None:
            if self.is_alone:
                await asyncio.wait({recovery}, timeout=within_s)
            recovery.cancel()
            await asyncio.wait({recovery})
        unwritten = self.backlog.give_up()
        if unwritten:
            _log.error(
                "%d settlements could not be written to Redis before closing; the journal has them, and what "
                "Redis holds for them lapses",
                unwritten,
            )

    async def write(self, end: End) -> bool:
        """Write an end; False when the hold had ended before. Raises StoreAway."""
        reply = await self._line.call(scripts.END, self._wire.end(end, is_charged=end.is_foreign))
        require_books(reply)
        if "opened" in reply and end.held_at * 1000 < reply["opened"]:
            # Redis had the hold, and lost it with all the others.
            reply = await self._line.call(scripts.END, self._wire.end(end, is_charged=True))
            require_books(reply)
        return bool(reply["done"])

    async def _recover(self) -> None:
        try:
            await self._until_caught_up()
            while self._is_open and self._sharers() > 1 and not await self._all_have_caught_up():
                await self._until_caught_up()
            self.standing = Standing.SHARED
            _log.info("limits are shared again; all that had ended meanwhile is written")
        finally:
            self._recovery = None

    async def _until_caught_up(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not await self._catch_up():
            self._is_due.clear()
            try:
                async with asyncio.timeout(pause_s):
                    await self._is_due.wait()
            except TimeoutError:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self.standing = Standing.REJOINING
        self._presence.is_behind = False

    async def _catch_up(self) -> bool:
        """Write the backlog; False when Redis is still away."""
        now = asyncio.get_running_loop().time
        try:
            require_books(await self._line.call(scripts.PROBE, {}))
            while self.backlog:
                began, waiting = now(), len(self.backlog)
                ends = self.backlog.first(_BATCH)
                written = await asyncio.gather(*map(self.write, ends), return_exceptions=True)
                for end, outcome in zip(ends, written, strict=True):
                    if isinstance(outcome, BaseException):
                        raise outcome
                    self.backlog.remove(end)
                if _BATCH <= len(self.backlog) < waiting:
                    # The processor is not ours alone: requests come meanwhile.
                    await asyncio.sleep(_REST * (now() - began))
        except StoreAway as fault:
            self.reason = fault.message
            return False
        return True

    async def _all_have_caught_up(self) -> bool:
        """Wait until everybody who is there has written what was spent alone; False when Redis is away again."""
        now = asyncio.get_running_loop().time
        began = now()
        while not self.is_alone:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                reply = await self._presence.say()
                require_books(reply)
            except StoreAway as fault:
                self.begin(fault)
                break
            passed_s = now() - began
            if passed_s >= _HEARD_WITHIN_S and (not reply["behind"] or passed_s >= _LONGEST_REJOINING_S):
                break
        return not self.is_alone
