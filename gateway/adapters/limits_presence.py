"""Who shares the books that one Redis keeps, and what they agree on when it has lost them.

Balances are set again from the log, and the log has what ended in a process only once its journal has moved
it. So each process vouches for its own: until when the log has all that ended in it. Sums of what ended before
the loss was noticed are whole once everybody who is there vouches for that moment; what ends later is charged
by whoever ends it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.adapters.limits_line import RedisLine
from gateway.adapters.limits_scripts import PRESENCE
from gateway.adapters.limits_wire import Reply, Wire
from gateway.adapters.redis_pipelines import StoreAway
from gateway.domain.limits import Period
from gateway.ports import Clock

_PRESENT_S = 10.0
"""How long a process that is not heard any more counts as one of those that share the books."""
_GATHER_S = 2.5
"""How long after a loss every process has said that it is there: each does so about once a second."""
_LONGEST_VOUCHING_S = 60.0
"""A process whose journal does not reach the database for so long is not waited for."""


class Presence:
    """This process among those that share the books. Its calls raise StoreAway."""

    def __init__(self, line: RedisLine, wire: Wire, clock: Clock, process: str) -> None:
        self.is_behind = False
        """Whether this process has spent what is not written yet."""
        self._line = line
        self._wire = wire
        self._clock = clock
        self._process = process
        self._lost_at: float | None = None

    async def say(self, *, balances: Sequence[tuple[str, Period, float]] = (), moved_to: float | None = None) -> Reply:
        """Say that we are there; what PRESENCE answers."""
        now = self._clock.now()
        ask = self._wire.presence(self._process, balances=balances, moved_to=moved_to, now=now, lease_s=_PRESENT_S)
        ask["behind"] = self.is_behind
        reply = await self._line.call(PRESENCE, ask)
        self._wire.learn(reply, now)
        if "lost" not in reply:
            self._lost_at = None
        return reply

    async def vouch(self, moved_to: float) -> float | None:
        """Say until when the log has what ended here; until when it has what ended anywhere, once all agree."""
        now = self._clock.now()
        reply = await self.say(moved_to=moved_to)
        if "lost" not in reply:
            return None
        if self._lost_at is None:
            self._lost_at = now
        is_agreed = reply["moved"] >= self._wire.read_at(self._lost_at) and now >= self._lost_at + _GATHER_S
        return self._lost_at if is_agreed or now >= self._lost_at + _LONGEST_VOUCHING_S else None


def require_books(reply: Reply) -> None:
    """Raise StoreAway where Redis has lost its balances: it is none until they are restored."""
    if "lost" in reply:
        raise StoreAway("Redis has no balances; they are to be restored from the database")
