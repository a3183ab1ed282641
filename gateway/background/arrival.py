"""A stored request at the door: the same as a live one, but that its key is known by its id."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.ask import Ask
from gateway.domain.background import Job
from gateway.domain.key import Key, Priority
from gateway.http.dialects import ENDPOINTS
from gateway.http.door import read_ask
from gateway.ports import Clock, KeyDirectory


class StoredKeys:
    """Keys as stored requests name them, by their ids, each at background priority.

    Satisfies :class:`gateway.ports.KeyRing`, so that a stored request is admitted as a live one is: with
    its key as it is now.
    """

    def __init__(self, keys: KeyDirectory) -> None:
        self._keys = keys

    def find(self, secret: str) -> Key | None:
        key = self._keys.find_by_id(secret)
        return None if key is None else replace(key, priority=Priority.BACKGROUND)


class StoredArrival:
    """Satisfies :class:`gateway.flow.serve.Arrival`."""

    def __init__(self, job: Job, request_id: str, clock: Clock) -> None:
        self._job = job
        self._request_id = request_id
        self._clock = clock

    @property
    def credential(self) -> str | None:
        return self._job.key_id

    async def read(self) -> Ask:
        return read_ask(
            self._job.body,
            self._job.headers,
            endpoint=ENDPOINTS[self._job.endpoint],
            request_id=self._request_id,
            started_at=self._clock.now(),
            started=self._clock.monotonic(),
        )

    def keep_watch(self) -> None:
        """Nobody waits who could leave."""
