"""Settling holds beside the request path, and keeping the leases of those whose calls live."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.domain.ledger import Hold
from gateway.domain.money import Usd
from gateway.errors import PonderError
from gateway.ports import Clock, Purse

RENEW_EVERY_S = 20.0
_AT_ONCE = 256
"""Endings told at the same time where telling takes time: one round trip each would fall behind the requests."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ending:
    hold: Hold
    amount: Usd
    tokens: int
    at: float


class Settlements:
    """Every open hold of this process, and the endings that its purse is told in the background.

    The answer does not wait for it: in memory an ending is in the books before the client can ask
    again; with Redis it takes a round trip. Endings that a crash takes with it lapse at their
    ceiling, until the journal settles them.
    """

    def __init__(self, purse: Purse, clock: Clock, *, lease_s: float, renew_every_s: float = RENEW_EVERY_S) -> None:
        self._renew_every_s = renew_every_s
        self._purse = purse
        self._clock = clock
        self._lease_s = lease_s
        self._open: dict[str, Hold] = {}
        self._endings: deque[_Ending] = deque()
        self._telling = 0
        self._is_help_coming = False
        self._helping: set[asyncio.Task[None]] = set()
        self._expected: dict[str, asyncio.Future[None]] = {}
        self._arrived = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._is_closing = False

    @property
    def open_holds(self) -> int:
        """Holds whose calls live."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Endings that the purse has not been told yet."""
        return len(self._endings) + self._telling

    def watch(self, hold: Hold) -> None:
        """Keep the lease of a hold until it ends."""
        self._open[hold.request_id] = hold

    def end(self, hold: Hold, amount: Usd, tokens: int) -> None:
        """The true amount and tokens of a hold; never blocks."""
        self._open.pop(hold.request_id, None)
        self._endings.append(_Ending(hold, amount, tokens, self._clock.now()))
        if self._telling:
            self._call_help()
        else:
            self._arrived.set()

    @asynccontextmanager
    async def told_after(self, request_id: str) -> AsyncIterator[None]:
        """Leave the block, unless by an error, only when the purse knows how this request ended in it."""
        told = self._expected[request_id] = asyncio.get_running_loop().create_future()
        try:
            yield
            await told
        finally:
            del self._expected[request_id]

    def start(self) -> None:
        """Begin to settle and to renew; call once, in the event loop."""
        self._tasks = (asyncio.create_task(self._settle()), asyncio.create_task(self._renew()))

    async def close(self, *, within_s: float) -> None:
        """Tell the purse what is left to tell, within the given time, and stop."""
        self._is_closing = True
        self._arrived.set()
        if not self._tasks:
            return
        settling, renewing = self._tasks
        renewing.cancel()
        _, late = await asyncio.wait({settling}, timeout=within_s)
        if late:
            _log.error("%d settlements were left for the journal: their purse was too slow", self.waiting)
            for task in (settling, *self._helping):
                task.cancel()
        await asyncio.wait({settling, renewing, *self._helping})

    async def _settle(self) -> None:
        while True:
            await self._tell_all()
            if self._is_closing:
                while self._helping:
                    await asyncio.wait(self._helping)
                return
            self._arrived.clear()
            await self._arrived.wait()

    async def _tell_all(self) -> None:
        """Tell the purse until no ending is left; where it takes time, others help meanwhile."""
        while self._endings:
            ending = self._endings.popleft()
            self._telling += 1
            if self._endings:
                self._call_help()
            try:
                await self._tell(ending)
            except asyncio.CancelledError:
                self._endings.append(ending)
                raise
            finally:
                self._telling -= 1
            told = self._expected.get(ending.hold.request_id)
            if told is not None and not told.done():
                told.set_result(None)

    def _call_help(self) -> None:
        if self._telling < _AT_ONCE and not self._is_help_coming:
            self._is_help_coming = True
            helper = asyncio.create_task(self._help())
            self._helping.add(helper)
            helper.add_done_callback(self._helping.discard)

    async def _help(self) -> None:
        self._is_help_coming = False
        await self._tell_all()

    async def _tell(self, ending: _Ending) -> None:
        while True:
            try:
                await self._purse.settle(ending.hold, ending.amount, tokens=ending.tokens, now=ending.at)
            except PonderError as fault:
                _log.warning("a settlement waits: %s", fault.message)
                await asyncio.sleep(1.0)
            except Exception:  # noqa: BLE001 - the outermost loop: a fault of ours must not keep others from settling
                _log.exception("a settlement is left for the journal")
                return
            else:
                return

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renew_every_s)
            if self._open:
                try:
                    await self._purse.renew(tuple(self._open.values()), now=self._clock.now(), lease_s=self._lease_s)
                except PonderError as fault:
                    _log.warning("leases were not renewed: %s", fault.message)
                except Exception:  # noqa: BLE001 - the outermost loop: a fault of ours must not end renewing
                    _log.exception("leases were not renewed")
