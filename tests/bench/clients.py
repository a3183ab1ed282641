"""What a call costs in the HTTP client alone: ours beside aiohttp, on the same loop, against the same server.

``python -m tests.bench.clients`` prints CPU microseconds per call, client's process only, as medians
of rounds in turn. The server is a process of its own that answers with fixed bytes.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import aiohttp
import uvloop

from gateway.adapters.openai_upstream import OpenAIUpstream
from gateway.domain.chat import Dialect
from gateway.ports import UpstreamCall

CALLS, WARM_UP, ROUNDS = 20_000, 2_000, 5
_HERE = Path(__file__).parent
_ASK = (_HERE / "ask.json").read_bytes()
_ANSWER = (_HERE / "answer.json").read_bytes().strip()
_RAW = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: Sun, 22 Nov 2026 06:39:28 GMT\r\n"
    b"x-request-id: req_0123456789\r\ncontent-length: %d\r\n\r\n%s" % (len(_ANSWER), _ANSWER)
)
_Measure = Callable[[Callable[[], Awaitable[None]]], Awaitable[float]]


class _Answering(asyncio.Protocol):
    """Answers each request with the same bytes, once its body has come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(_ASK):
            self._transport.write(_RAW)


def _serve(listener: socket.socket) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Answering, sock=listener)
        await server.serve_forever()

    uvloop.run(run())


def _measured(connections: int) -> _Measure:
    async def drive(call: Callable[[], Awaitable[None]], calls: int) -> None:
        async def worker() -> None:
            nonlocal calls
            while calls > 0:
                calls -= 1
                await call()

        await asyncio.gather(*(worker() for _ in range(connections)))

    async def measure(call: Callable[[], Awaitable[None]]) -> float:
        await drive(call, WARM_UP)
        started = time.process_time()
        await drive(call, CALLS)
        return (time.process_time() - started) * 1e6 / CALLS

    return measure


async def ours(url: str, measure: _Measure) -> float:
    """The gateway's own client."""
    upstream = OpenAIUpstream(
        name="bench", base_url=url, api_key="sk", dialects=(Dialect.OPENAI_CHAT,), headers={}, connections=256
    )
    ask = UpstreamCall(
        dialect=Dialect.OPENAI_CHAT,
        path="/chat/completions",
        body=_ASK,
        is_stream=False,
        request_id="bench",
        deadline_s=60,
        first_byte_s=30,
        idle_s=30,
    )

    async def call() -> None:
        async with upstream.open(ask) as reply:
            assert await reply.read() == _ANSWER

    spent = await measure(call)
    await upstream.close()
    return spent


async def theirs(url: str, measure: _Measure) -> float:
    """aiohttp, set up to do the same and no more."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=300)
    timeout = aiohttp.ClientTimeout(total=60, sock_connect=10, sock_read=30)
    headers = {"content-type": "application/json", "authorization": "Bearer sk"}
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout) as session:

        async def call() -> None:
            path = f"{url}/chat/completions"
            async with session.post(path, data=_ASK, headers=headers, allow_redirects=False) as reply:
                assert await reply.read() == _ANSWER

        return await measure(call)


def main() -> None:
    """Measure, and print a table."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(listener,), daemon=True)
    server.start()
    print(f"CPU µs per call, client's process only, median of {ROUNDS} rounds of {CALLS} calls (least, most)")
    for connections in (1, 32):
        spent: dict[str, list[float]] = {"ours": [], f"aiohttp {aiohttp.__version__}": []}
        for _ in range(ROUNDS):
            for rounds, client in zip(spent.values(), (ours, theirs), strict=True):
                rounds.append(uvloop.run(client(url, _measured(connections))))
        for name, rounds in spent.items():
            middle = statistics.median(rounds)
            print(f"{connections:3} connections  {name:16} {middle:6.1f}  ({min(rounds):.1f}, {max(rounds):.1f})")
    server.terminate()


if __name__ == "__main__":
    main()
