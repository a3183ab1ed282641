"""What a process remembers between requests: which arm answers a conversation, and how fast arms are."""

from __future__ import annotations

import logging
from typing import Final

from gateway.adapters.sticky_memory import MemorySticky
from gateway.adapters.sticky_redis import RedisSticky
from gateway.errors import PonderError
from gateway.flow.latencies import LatencyLearner
from gateway.ports import Clock, StickyArms
from gateway.store.timings import Timings
from gateway.telemetry import Meter

REMEMBERED: Final = 5_000
"""Requests of the log that tell a start how fast arms are: some tens of milliseconds."""

_log = logging.getLogger(__name__)


class Memory:
    """Sticky arms, in Redis where there is one, and latencies."""

    def __init__(self, redis_url: str | None, clock: Clock, timings: Timings) -> None:
        self._redis_url = redis_url
        self._timings = timings
        self.latencies = LatencyLearner(clock)
        self.sticky: StickyArms = MemorySticky(clock)

    async def start(self) -> None:
        """Begin with what the latest requests tell; from here on ``sticky`` is the one to use: Redis needs the loop."""
        if self._redis_url:
            self.sticky = RedisSticky(self._redis_url)
        try:
            self.latencies.learn(await self._timings.latest(REMEMBERED))
        except PonderError as fault:
            _log.warning("how fast arms are is learned anew, as the log cannot be read: %s", fault.message)

    def watch(self, meter: Meter) -> None:
        """Expose how often a conversation's arm could not be looked up or kept."""
        unkept = "Sticky arms that Redis did not look up or keep."
        meter.watch("ponder_sticky_failures", unkept, lambda: self.sticky.failures, is_counter=True)

    async def close(self) -> None:
        """Let go of Redis."""
        await self.sticky.close()
