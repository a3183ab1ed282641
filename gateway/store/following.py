"""Following the database: what others change in it is taken in within about a second, whatever goes wrong meanwhile."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable

from gateway.errors import PonderError

POLL_S = 0.8
TELL_AGAIN_S = 3600.0
_log = logging.getLogger(__name__)


class Following:
    """Refreshes every so often; a fault of ours is logged when it first occurs, and while it lasts once an hour."""

    def __init__(
        self,
        what: str,
        refresh: Callable[[], Awaitable[None]],
        *,
        poll_s: float = POLL_S,
        tell_again_s: float = TELL_AGAIN_S,
    ) -> None:
        self._what = what
        self._refresh = refresh
        self._poll_s = poll_s
        self._tell_again_s = tell_again_s
        self._fault: tuple[str, int | None] | None = None
        """The place in our code of the fault that was told last, while it lasts."""
        self._told_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._follow(), name=f"following {self._what}")

    async def close(self) -> None:
        """End; nothing happens where it was never begun."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self._refresh()
            except PonderError as fault:
                # The keys of callers are read from the same database, and their ring tells operators.
                _log.debug("%s cannot be followed, those last known serve on: %s", self._what, fault.message)
            except Exception as fault:  # noqa: BLE001 - the outermost loop: a fault of ours must not end the following
                self._tell(fault)
            else:
                self._note_success()

    def _tell(self, fault: Exception) -> None:
        last = traceback.extract_tb(fault.__traceback__)[-1]
        place, now = (last.filename, last.lineno), asyncio.get_running_loop().time()
        if place != self._fault or now - self._told_at >= self._tell_again_s:
            self._fault, self._told_at = place, now
            _log.error("%s cannot be followed, those last known serve on", self._what, exc_info=fault)

    def _note_success(self) -> None:
        if self._fault is not None:
            self._fault = None
            _log.info("%s are followed again", self._what)
