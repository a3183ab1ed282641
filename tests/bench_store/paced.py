"""A client that asks at a fixed pace, whatever comes back.

Run as a process of its own, ``python -m tests.bench_store.paced``; it prints one JSON object. A request is timed
from when it was due: one that waits for another before it is late, and counts as late.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import aiohttp
import uvloop

from tests.bench.servers import ASK, CHAT


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


async def _run(options: argparse.Namespace) -> None:
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(connector=connector) as session:
        taken = await _press(session, options)
    answered = [each for each in taken if each is not None]
    print(json.dumps({"taken_ms": [round(each, 3) for each in answered], "failed": len(taken) - len(answered)}))


def main() -> None:
    """Press for the time that the command line says, and print what was seen."""
    options = argparse.ArgumentParser(prog="python -m tests.bench_store.paced", description=__doc__)
    options.add_argument("--address", required=True)
    options.add_argument("--key", required=True)
    options.add_argument("--rate", type=float, required=True)
    options.add_argument("--seconds", type=float, required=True)
    uvloop.run(_run(options.parse_args()))


if __name__ == "__main__":
    main()
