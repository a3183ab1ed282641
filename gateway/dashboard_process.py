"""The process that looks at the log for the dashboard: ``python -m gateway.dashboard_process``, run by the gateway.

It reads lines of JSON: first the database's address and how long to stay without work, then views to make, each
answered by a line with its number. It ends with its input, so also with a gateway that was killed, and when nothing was
asked for that long.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.clock import SystemClock
from gateway.errors import PonderError
from gateway.http.dashboard.pages import Pages
from gateway.http.dashboard.views import Views
from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.requests import Requests
from gateway.store.sessions import StoredSessions
from gateway.store.traffic import Traffic

_CONNECTIONS: Final = 4
_BEHIND: Final = 10
"""The niceness: whatever the gateway has to do comes first."""
_LONGEST_LINE: Final = 2**20


async def _serve() -> None:
    asked, told = await _pipes()
    terms = orjson.loads(await asked.readline())
    database = locate(terms["database"])
    connections, requests, clock = Connections(database, most=_CONNECTIONS), Requests(database), SystemClock()
    views = Views(Traffic(connections), requests, StoredSessions(connections), Pages(clock), clock)
    making: set[asyncio.Task[None]] = set()
    while True:
        try:
            async with asyncio.timeout(terms["idle_s"]):
                line = await asked.readline()
        except TimeoutError:
            if making:
                continue
            break
        if not line:
            break
        task = asyncio.create_task(_make(views, orjson.loads(line), told))
        making.add(task)
        task.add_done_callback(making.discard)
    await connections.close()
    await requests.close()


async def _make(views: Views, job: Mapping[str, Any], told: asyncio.StreamWriter) -> None:
    try:
        answer = {"view": await getattr(views, job["view"])(**job["asked"])}
    except PonderError as error:
        answer = {"error": type(error).__name__, "message": error.message}
    except Exception as fault:  # noqa: BLE001 - the outermost: a fault of one view must not end the others
        # Without the fault's own words, which may be of a request.
        answer = {"fault": type(fault).__name__, "trace": "".join(traceback.format_tb(fault.__traceback__))}
    told.write(orjson.dumps({"number": job["number"], **answer}) + b"\n")
    await told.drain()


async def _pipes() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop, asked = asyncio.get_running_loop(), asyncio.StreamReader(limit=_LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    return asked, asyncio.StreamWriter(transport, protocol, None, loop)


def main() -> None:
    """Answer until the input ends."""
    # The gateway is told to stop, and then tells us by closing our input: its last readers still get their pages.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # forbidden by some sandboxes; then it stands beside the gateway
        os.nice(_BEHIND)
    asyncio.run(_serve())


if __name__ == "__main__":
    main()
