"""A client that asks at a fixed pace whatever comes back, and ten readers of the dashboard.

Run as a process of its own, ``python -m tests.bench_store.paced``; it prints one JSON object. A request is timed
from when it was due: one that waits for another before it is late, and counts as late.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Mapping
from itertools import count
from typing import Final

import aiohttp
import uvloop

from tests.bench.servers import ASK, CHAT

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


async def _press(session: aiohttp.ClientSession, options: argparse.Namespace) -> list[float | None]:
    """The milliseconds of each answer; None for one that was no answer."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {options.key}"}
    begun, taken = time.perf_counter() + 0.1, []

    async def ask(due: float) -> float | None:
        try:
            async with session.post(f"{options.address}{CHAT}", data=ASK, headers=headers) as answer:
                await answer.read()
        except aiohttp.ClientError:
            return None
        return (time.perf_counter() - due) * 1e3 if answer.status == 200 else None

    async with asyncio.TaskGroup() as group:
        for number in range(int(options.rate * options.seconds)):
            due = begun + number / options.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            taken.append(group.create_task(ask(due)))
    return [each.result() for each in taken]


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
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(connector=connector) as session:
        taken = await _press(session, options)
    for each in readers:
        if each.done():
            each.result()
        each.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    answered = [each for each in taken if each is not None]
    found = {
        "taken_ms": [round(each, 3) for each in answered],
        "failed": len(taken) - len(answered),
        "pages": seen.count(200),
        "pages_failed": len(seen) - seen.count(200),
    }
    print(json.dumps(found))


def main() -> None:
    """Press for the time that the command line says, and print what was seen."""
    options = argparse.ArgumentParser(prog="python -m tests.bench_store.paced", description=__doc__)
    options.add_argument("--address", required=True)
    options.add_argument("--key", required=True)
    options.add_argument("--admin-key", required=True)
    options.add_argument("--rate", type=float, required=True)
    options.add_argument("--seconds", type=float, required=True)
    options.add_argument("--readers", type=int, required=True)
    uvloop.run(_run(options.parse_args()))


if __name__ == "__main__":
    main()
