"""An event loop whose resolver and clock obey the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any


class OddLoop(asyncio.SelectorEventLoop):
    """The standard loop, but for names and time."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_s = 0.0
        """How far the clock was put forward."""
        self.searches = 0
        self.found: list[str] = []
        """The addresses of every host."""
        self.resolves = asyncio.Event()
        """While clear, no search ends."""
        self.resolves.set()

    def time(self) -> float:
        return super().time() + self.ahead_s

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        self.searches += 1
        await self.resolves.wait()
        if not self.found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in each else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (each, port),
            )
            for each in self.found
        ]


def on_odd_loop(test: Callable[[OddLoop], Awaitable[None]]) -> None:
    """Run ``test`` on a loop that obeys it."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, OddLoop)
        await test(loop)

    with asyncio.Runner(loop_factory=OddLoop) as runner:
        runner.run(run())
