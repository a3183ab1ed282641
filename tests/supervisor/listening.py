"""A log that a test can wait on, and small programs to supervise."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import textwrap

from gateway.supervisor.console import Console
from gateway.supervisor.program import PrintsLine, Program


class Heard(io.StringIO):
    """A text stream that wakes whoever waits for words to be written to it."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()

    def write(self, text: str) -> int:
        count = super().write(text)
        waker = asyncio.get_running_loop().create_task(self._wake())
        self._wakers.add(waker)
        waker.add_done_callback(self._wakers.discard)
        return count

    async def _wake(self) -> None:
        async with self._written:
            self._written.notify_all()

    async def until(self, words: str, *, times: int = 1) -> None:
        """Wait until ``words`` stand in the log ``times`` times."""
        async with asyncio.timeout(20), self._written:
            await self._written.wait_for(lambda: self.getvalue().count(words) >= times)

    def lines(self) -> list[str]:
        """All lines so far."""
        return self.getvalue().splitlines()


def console(heard: Heard, *names: str) -> Console:
    """A colourless console that writes to ``heard``."""
    return Console(heard, names, is_coloured=False)


def program(name: str, source: str, *, is_essential: bool = False, grace_s: float = 10.0) -> Program:
    """A Python program that is ready when it prints ``ready``."""
    return Program(
        name=name,
        command=(sys.executable, "-u", "-S", "-c", textwrap.dedent(source)),
        readiness=PrintsLine("ready"),
        is_essential=is_essential,
        environment=dict(os.environ),
        grace_s=grace_s,
    )


WAITS = """
    import signal, sys
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("goodbye")))
    print("ready")
    while True:
        signal.pause()
"""
STUBBORN = """
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready")
    while True:
        signal.pause()
"""
