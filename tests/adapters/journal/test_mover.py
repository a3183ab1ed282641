"""Tests of gateway/adapters/journal/mover.py: how fast what has gathered is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.adapters.journal.folders import BEGINNING
from gateway.adapters.journal.mover import Batch, Mover, MoverState
from gateway.domain.record import RequestRecord
from tests.store.records import request

KEEPING_S = 0.05


class Heap:
    """So many batches that have gathered. Satisfies :class:`gateway.adapters.journal.mover.Source`."""

    def __init__(self, batches: int, *, shrinks: bool) -> None:
        self.left = batches
        self.shrinks = shrinks

    async def take(self) -> Batch | None:
        """The next one."""
        return Batch((request(self.left),), BEGINNING) if self.left else None

    def moved(self, batch: Batch) -> None:
        """One less."""
        self.left -= 1

    def is_catching_up(self) -> bool:
        """As it was made."""
        return self.shrinks and self.left > 0


class Store:
    """Takes its time, and measures the time between. Satisfies :class:`gateway.ports.RecordStore`."""

    def __init__(self) -> None:
        self.idle_s: list[float] = []
        self._ended: float | None = None

    async def keep(self, records: Sequence[RequestRecord]) -> int:
        """Keep them all, slowly."""
        now = asyncio.get_running_loop().time
        if self._ended is not None:
            self.idle_s.append(now() - self._ended)
        await asyncio.sleep(KEEPING_S)
        self._ended = now()
        return 0

    async def close(self) -> None:
        """Nothing to close."""


def _mover(heap: Heap, store: Store) -> Mover:
    return Mover(heap, store, MoverState(), first_retry_s=0.01, longest_retry_s=0.01)


async def test_what_has_gathered_leaves_time_for_others() -> None:
    """Two thirds of the time belong to the requests that come meanwhile."""
    store = Store()
    await _mover(Heap(4, shrinks=True), store).run()
    assert len(store.idle_s) == 3
    assert min(store.idle_s) >= 1.8 * KEEPING_S


async def test_what_grows_is_moved_without_a_rest() -> None:
    """Where as much comes as is moved, a rest would let it grow for ever."""
    store = Store()
    heap = Heap(1000, shrinks=False)
    moving = asyncio.create_task(_mover(heap, store).run())
    while len(store.idle_s) < 3:  # noqa: ASYNC110 - what is waited for is the store's
        await asyncio.sleep(0.01)
    moving.cancel()
    assert min(store.idle_s) < 0.5 * KEEPING_S


async def test_at_the_end_nobody_rests() -> None:
    """The time for closing is bounded: what waits is moved as fast as it goes."""
    store = Store()
    mover = _mover(Heap(4, shrinks=True), store)
    mover.hasten()
    await mover.run()
    assert min(store.idle_s) < 0.5 * KEEPING_S
