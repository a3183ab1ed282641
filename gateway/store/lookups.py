"""Look-ups that the gateway makes while serving: none of them on the path of an ordinary request."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from gateway.domain.record import RequestRecord
from gateway.ports import AnswerHome
from gateway.store.requests import Requests

_REMEMBERED = 50_000
_FLUSH_WAIT_S = 2.0
_PAUSES_S = (0.35, 1.15)
"""Another gateway's record is mostly there after the first: its journal moves four batches a second. Few, as anybody
can name ids that nobody made, and each look is one at the database."""


class Queue(Protocol):
    """Where records wait for the database."""

    @property
    def waiting(self) -> int:
        """How many."""
        ...

    async def flush(self) -> None:
        """Wait until those that wait now are in the database."""
        ...


class FreshRequests:
    """Requests by id, those still on their way to the database included."""

    def __init__(self, requests: Requests, queue: Queue) -> None:
        self._requests = requests
        self._queue = queue

    async def find(self, request_id: str) -> RequestRecord | None:
        """The request with this id; waits for records on their way, at most two seconds."""
        record = await self._requests.find(request_id)
        if record is None and await self._flushed():
            record = await self._requests.find(request_id)
        return record

    async def find_by_answer(self, answer_id: str) -> RequestRecord | None:
        """The request whose answer has this id of its provider's; waits in the same way."""
        origin = await self._requests.find_answer(answer_id)
        if origin is None and await self._flushed():
            origin = await self._requests.find_answer(answer_id)
        return None if origin is None else await self._requests.find(origin.request_id)

    async def _flushed(self) -> bool:
        """Whether records were on their way, and now have arrived."""
        if not self._queue.waiting:
            return False
        try:
            async with asyncio.timeout(_FLUSH_WAIT_S):
                await self._queue.flush()
        except TimeoutError:
            return False
        return True


class StoredAnswers:
    """Where stored responses are and whose: the newest in memory, older ones in the database.

    Satisfies :class:`gateway.ports.AnswerIndex`.
    """

    def __init__(self, requests: Requests, *, pauses_s: Sequence[float] = _PAUSES_S) -> None:
        self._requests = requests
        self._pauses_s = pauses_s
        self._newest: OrderedDict[str, AnswerHome] = OrderedDict()

    def remember(self, answer_id: str, home: AnswerHome) -> None:
        """Note where an answer came from; the oldest of 50,000 makes room."""
        self._newest[answer_id] = home
        if len(self._newest) > _REMEMBERED:
            self._newest.popitem(last=False)

    async def home_of(self, answer_id: str) -> AnswerHome | None:
        """Where the answer is and whose; None when it was not made through this gateway, or its record is gone."""
        home = self._newest.get(answer_id)
        if home is None:
            origin = await self._requests.find_answer(answer_id)
            home = AnswerHome(origin.upstream, origin.key_id) if origin else None
        return home

    async def home_soon(self, answer_id: str) -> AnswerHome | None:
        """The same, looked for some times more: a record is in the database within a second or so."""
        home = await self.home_of(answer_id)
        for pause_s in self._pauses_s:
            if home is not None:
                break
            await asyncio.sleep(pause_s)
            home = await self.home_of(answer_id)
        return home
