"""Work on the database that is not given up when it is locked or away for a moment: an answer has been paid for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from gateway.errors import Unavailable

FOR_S: Final = 60.0
"""How long a database may be away until a run stops, to be gone on with later."""
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_Done = TypeVar("_Done")


async def insist(work: Callable[[], Awaitable[_Done]], *, for_s: float = FOR_S) -> _Done:
    """What comes of work that is safe to repeat; tried again while it raises Unavailable, for so long."""
    end = time.monotonic() + for_s
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return await work()
        except Unavailable:
            if time.monotonic() + pause > end:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
