"""Look-ups that the gateway makes while serving: none of them on the path of an ordinary request."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from gateway.domain.record import RequestRecord
from gateway.store.requests import Requests
from gateway.store.writer import Writer

_REMEMBERED = 50_000
_FLUSH_WAIT_S = 2.0


class FreshRequests:
    """Requests by id, those still queued for the database included."""

    def __init__(self, requests: Requests, writer: Writer) -> None:
        self._requests = requests
        self._writer = writer

    async def find(self, request_id: str) -> RequestRecord | None:
        """The request with this id; waits for queued records to be written, at most two seconds."""
        record = await self._requests.find(request_id)
        if record is None and self._writer.state.queued:
            try:
                async with asyncio.timeout(_FLUSH_WAIT_S):
                    await self._writer.flush()
            except TimeoutError:
                return None
            record = await self._requests.find(request_id)
        return record


class StoredAnswers:
    """Which upstream holds a stored response: the newest in memory, older ones in the database.

    Satisfies :class:`gateway.ports.AnswerIndex`.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._newest: OrderedDict[str, str] = OrderedDict()

    def remember(self, answer_id: str, upstream: str) -> None:
        """Note where an answer came from; the oldest of 50,000 makes room."""
        self._newest[answer_id] = upstream
        if len(self._newest) > _REMEMBERED:
            self._newest.popitem(last=False)

    async def upstream_of(self, answer_id: str) -> str | None:
        """The upstream's name, or None when the answer was not made through this gateway."""
        upstream = self._newest.get(answer_id)
        if upstream is None:
            origin = await self._requests.find_answer(answer_id)
            upstream = origin.upstream if origin else None
        return upstream
