"""Records on their way into the database, cleaned where it demands that. Satisfies a port of the journal's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.domain.record import RequestRecord
from gateway.store.base import Unstorable
from gateway.store.rows import scrub
from gateway.store.sinks import Sink

_log = logging.getLogger(__name__)


class Records:
    """Writes batches to a sink, one at a time. Satisfies :class:`gateway.ports.RecordStore`."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._turn = asyncio.Lock()

    async def keep(self, records: Sequence[RequestRecord]) -> int:
        """Write the batch, as it is if possible, and return how many of its records were refused.

        A value that no database takes comes from a client or an upstream, rarely; so only a batch
        that failed pays for cleaning, and only one that still fails is written record by record.
        """
        async with self._turn:
            try:
                await self._sink.write(records)
            except Unstorable:
                return await self._keep_clean(tuple(scrub(record) for record in records))
            return 0

    async def close(self) -> None:
        """Close the sink."""
        await self._sink.close()

    async def _keep_clean(self, records: Sequence[RequestRecord]) -> int:
        try:
            await self._sink.write(records)
        except Unstorable as fault:
            if len(records) > 1:
                return sum([await self._keep_clean((record,)) for record in records])
            _log.error("request %r cannot be recorded: %s", records[0].id, fault)
            return 1
        return 0
