"""Sticky arms that many processes share, in Redis: one command to look, one to keep.

A Redis that is away, or slow, makes conversations not sticky, and nothing else: after a look-up that
failed nobody waits for another one for a second. Failures are counted.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from gateway.adapters.redis_pipelines import RedisPipelines, StoreAway
from gateway.domain.sticky import StickyArm

TIMEOUT_S: Final = 0.05
PAUSE_S: Final = 1.0
PREFIX: Final = "ponder:sticky:"
"""Without the hash tag that balances have: in a cluster, conversations may lie anywhere."""

_PARTS = 4
_log = logging.getLogger(__name__)


class RedisSticky:
    """Satisfies :class:`gateway.ports.StickyArms`. Must be constructed and used in one event loop."""

    def __init__(
        self, url: str, *, prefix: str = PREFIX, timeout_s: float = TIMEOUT_S, pause_s: float = PAUSE_S
    ) -> None:
        self._pipelines = RedisPipelines(url, timeout_s=timeout_s)
        self._prefix = prefix
        self._pause_s = pause_s
        self._away_until = 0.0
        self._is_away = False
        self._failures = 0

    async def get(self, ask: bytes) -> StickyArm | None:
        if self._must_pause():
            return None
        try:
            kept = await self._pipelines.submit("GET", self._name(ask))
        except StoreAway as fault:
            self._note_failure(fault)
            return None
        self._note_success()
        return _read(kept)

    def put(self, ask: bytes, arm: StickyArm, *, expires_s: float) -> None:
        if self._must_pause():
            return
        # Whole seconds, rounded up: Redis refuses an expiry of none.
        lasting = ("EX", max(1, -int(-expires_s // 1)))
        keeping = self._pipelines.submit("SET", self._name(ask), _written(arm), *lasting)
        keeping.add_done_callback(self._note_kept)

    @property
    def failures(self) -> int:
        return self._failures

    async def close(self) -> None:
        await self._pipelines.close()

    def _name(self, ask: bytes) -> str:
        return self._prefix + ask.hex()

    def _must_pause(self) -> bool:
        if asyncio.get_running_loop().time() >= self._away_until:
            return False
        self._failures += 1
        return True

    def _note_kept(self, keeping: asyncio.Future[Any]) -> None:
        fault = None if keeping.cancelled() else keeping.exception()
        if isinstance(fault, StoreAway):
            self._note_failure(fault)

    def _note_failure(self, fault: StoreAway) -> None:
        self._failures += 1
        self._away_until = asyncio.get_running_loop().time() + self._pause_s
        if not self._is_away:
            self._is_away = True
            _log.warning("conversations are not kept at their arms while Redis is away: %s", fault.message)

    def _note_success(self) -> None:
        if self._is_away:
            self._is_away = False
            _log.info("conversations are kept at their arms again")


def _written(arm: StickyArm) -> bytes:
    return "\n".join((arm.policy, arm.arm, arm.model, arm.root.hex())).encode()


def _read(kept: object) -> StickyArm | None:
    """The arm as it was written; None for nothing, and for what another release wrote."""
    parts = kept.decode(errors="replace").split("\n") if isinstance(kept, bytes) else []
    if len(parts) != _PARTS:
        return None
    policy, arm, model, root = parts
    try:
        return StickyArm(policy, arm, model, bytes.fromhex(root))
    except ValueError:
        return None
