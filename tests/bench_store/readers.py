"""Readers of the dashboard, who follow the overview as its page does until they are told to stop.

Run as a process of its own, ``python -m tests.bench_store.readers``; it prints one JSON object at its end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Mapping
from itertools import count
from typing import Final

import aiohttp
import uvloop

PARTS: Final = {
    "upstreams": 5.0,
    "spending?by=key": 15.0,
    "budgets": 15.0,
    "live": 4.0,
    "durations": 30.0,
}
"""What the overview asks for again, and after how many seconds, as its page says."""
_LISTS_EVERY_S: Final = 10.0
"""So often each reader also turns a page of the list of requests, as nobody does for long."""


async def _read(options: argparse.Namespace, reader: int, seen: list[int]) -> None:
    """Sign in, and follow the overview until cancelled."""
    origin = {"origin": options.address}
    async with aiohttp.ClientSession(options.address, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        form = {"key": options.admin_key}
        async with session.post("/dashboard/sign-in", data=form, headers=origin, allow_redirects=False) as answer:
            if answer.status != 303:
                raise SystemExit(f"a reader could not sign in: status {answer.status}")
        paths: Mapping[str, float] = {
            **{f"/dashboard/parts/{name}": every for name, every in PARTS.items()},
            "/dashboard/requests": _LISTS_EVERY_S,
        }

        async def follow(path: str, every: float) -> None:
            await asyncio.sleep(every * reader / options.readers)
            for _ in count():
                async with session.get(path) as answer:
                    await answer.read()
                    seen.append(answer.status)
                await asyncio.sleep(every)

        async with asyncio.TaskGroup() as group:
            for path, every in paths.items():
                group.create_task(follow(path, every))


async def _run(options: argparse.Namespace) -> None:
    seen: list[int] = []
    readers = [asyncio.create_task(_read(options, number, seen)) for number in range(options.readers)]
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()
    for each in readers:
        if each.done():
            each.result()
        each.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    print(json.dumps({"pages": seen.count(200), "pages_failed": len(seen) - seen.count(200)}))


def main() -> None:
    """Read until SIGTERM, and print what was seen."""
    options = argparse.ArgumentParser(prog="python -m tests.bench_store.readers", description=__doc__)
    options.add_argument("--address", required=True)
    options.add_argument("--admin-key", required=True)
    options.add_argument("--readers", type=int, required=True)
    uvloop.run(_run(options.parse_args()))


if __name__ == "__main__":
    main()
