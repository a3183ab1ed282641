"""The stage of the driver's own cost: tokens per second beside a bare load generator, and how soon losers are gone."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Coroutine
from typing import Any, Final

import aiohttp

from tests.bench_search import arms
from tests.bench_search.asking import seed_of
from tests.bench_search.bed import CONNECTIONS, Bed
from tests.bench_search.run import Run, problems, say
from tests.reasoner.prompts import messages
from tests.reasoner.tasks import Problem

ROUNDS: Final = 5
OPERATIONS: Final = 8
SAMPLES: Final = 8
_ARM: Final = "majority of 8"
_WRITTEN: Final = "vllm:generation_tokens_total"
_RUNNING: Final = "vllm:num_requests_running"
_LEFT: Final = 10
"""How often a client leaves."""
_UNDER_WAY_S: Final = 0.05
_POLL_S: Final = 0.002
_GIVE_UP_S: Final = 10.0


def measure(run: Run) -> dict[str, Any]:
    """Both figures. Rounds of the gateway and of the bare generator take turns, each on problems of its own."""
    bed, each = run.bed, max(8, run.problems // 2)
    chosen = problems("test", OPERATIONS, (2 * ROUNDS + 1) * each)
    parts = [chosen[start : start + each] for start in range(0, len(chosen), each)]
    asyncio.run(_bare(bed, parts.pop()))  # warm
    rounds = []
    for number in range(ROUNDS):
        bare = _tokens_per_s(bed, _bare(bed, parts.pop()))
        search = _tokens_per_s(bed, _searched(bed, parts.pop()))
        rounds.append({"bare": bare, "search": search})
        say(f"driver, round {number + 1}: bare {bare:,.0f} tokens/s, through the search {search:,.0f}")
    gone_ms = [asyncio.run(_leave(bed, number)) for number in range(_LEFT)]
    say(f"driver: gone from the engine after {statistics.median(gone_ms):.0f} ms (median of {_LEFT})")
    return {"rounds": rounds, "problems": each, "at_once": CONNECTIONS, "gone_ms": gone_ms}


def _tokens_per_s(bed: Bed, work: Coroutine[Any, Any, None]) -> float:
    """The tokens that the server wrote meanwhile, by its own count."""
    server = bed.servers["small"]
    before, started = server.metric(_WRITTEN), time.monotonic()
    asyncio.run(work)
    spent_s = time.monotonic() - started
    return (server.metric(_WRITTEN) - before) / spent_s


async def _bare(bed: Bed, part: list[Problem]) -> None:
    """Every draw as a request of its own, 64 at a time, with nothing between."""
    places = asyncio.Semaphore(CONNECTIONS)
    async with aiohttp.ClientSession(bed.servers["small"].address) as session:

        async def draw(problem: Problem, number: int) -> None:
            body = {
                "model": "small",
                "messages": messages(problem),
                "temperature": arms.VOTES_AT,
                "seed": seed_of(problem) + number,
                "max_tokens": arms.OUTPUT_TOKENS,
            }
            async with places, session.post("/v1/chat/completions", json=body) as response:
                await response.read()

        await asyncio.gather(*(draw(problem, number) for problem in part for number in range(SAMPLES)))


async def _searched(bed: Bed, part: list[Problem]) -> None:
    """As many draws, made by the gateway: it has the same 64 connections, and searches enough to fill them."""
    places = asyncio.Semaphore(CONNECTIONS // 2)
    headers = {"authorization": f"Bearer {bed.gateway.key}"}
    async with aiohttp.ClientSession(bed.gateway.address, headers=headers) as session:

        async def ask(problem: Problem) -> None:
            body = {"model": f"arm:{arms.slug(_ARM)}", "messages": messages(problem), "seed": seed_of(problem)}
            async with places, session.post("/v1/chat/completions", json=body) as response:
                await response.read()
                response.raise_for_status()

        await asyncio.gather(*map(ask, part))


async def _leave(bed: Bed, number: int) -> float:
    """Milliseconds from a client's leaving in the middle of a search until none of its draws runs in the engine."""
    problem = problems("test", OPERATIONS, number + 1)[number]
    headers = {"authorization": f"Bearer {bed.gateway.key}"}
    body = {"model": f"arm:{arms.slug(arms.UNIFORM[8])}", "messages": messages(problem), "ignore_eos": True}
    body |= {"max_tokens": arms.OUTPUT_TOKENS, "seed": number}
    async with aiohttp.ClientSession(headers=headers) as session, aiohttp.ClientSession() as watch:
        asking = asyncio.create_task(session.post(f"{bed.gateway.address}/v1/chat/completions", json=body))
        await asyncio.sleep(_UNDER_WAY_S)
        while not await _running(bed, watch):
            if asking.done():
                raise RuntimeError(f"the search ended before its client left (status {(await asking).status})")
        asking.cancel()
        await asyncio.wait({asking})
        left = time.monotonic()
        while await _running(bed, watch):
            if time.monotonic() - left > _GIVE_UP_S:
                raise RuntimeError(f"draws still run {_GIVE_UP_S} s after their client left")
            await asyncio.sleep(_POLL_S)
        return 1000 * (time.monotonic() - left)


async def _running(bed: Bed, watch: aiohttp.ClientSession) -> float:
    async with watch.get(f"{bed.servers['small'].address}/metrics") as response:
        page = await response.text()
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(_RUNNING + "{"))
