"""Starts programs in order, keeps them running, and stops them in reverse order on SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence

from gateway.supervisor.console import Console
from gateway.supervisor.keeper import Keeper
from gateway.supervisor.program import CONFIGURATION_EXIT, BackOff, Program
from gateway.supervisor.tether import tether

_PROGRESS_EVERY_S = 5.0


class Supervisor:
    """Several programs, one life: each is started when the one before it is ready.

    ``on_ready`` is awaited once, when all are ready.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        console: Console,
        *,
        backoff: BackOff,
        on_ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._console = console
        self._on_ready = on_ready
        self._tether = tether()
        self._keepers = [Keeper(program, console, backoff, self._tether, self._watch) for program in programs]
        self._tasks: dict[Keeper, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        """Run until a signal comes or an essential program gives up; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal, number)
        hurried = asyncio.create_task(self._hurry.wait())
        try:
            await self._until_stopped(self._start_all())
            await self._until_stopped(self._watch_all())
        finally:
            await self._stop_all(hurried)
            hurried.cancel()
            self._tether.close()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
        return CONFIGURATION_EXIT if self._is_hopeless() else 0

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            self._console.say(f"{number.name} again: killing what still runs")
            self._hurry.set()
        else:
            self._console.say(f"{number.name}: stopping in order; once more kills at once")
            self._stop.set()

    def _watch(self) -> None:
        self._tether.watch([keeper.child for keeper in self._keepers if keeper.child is not None])

    def _is_hopeless(self) -> bool:
        return any(keeper.is_given_up and keeper.program.is_essential for keeper in self._keepers)

    async def _until_stopped(self, work: Awaitable[None]) -> None:
        """Do ``work``, and leave it as soon as a stop is asked for."""
        working, stopped = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if working.done():
            working.result()
        else:
            working.cancel()
            await asyncio.wait({working})

    async def _start_all(self) -> None:
        for keeper in self._keepers:
            self._console.say(f"starting {keeper.program.name}")
            self._tasks[keeper] = asyncio.create_task(keeper.keep())
            await self._until_ready(keeper)
            if self._is_hopeless():
                self._stop.set()
                return
        if all(keeper.ready.is_set() for keeper in self._keepers):
            await self._on_ready()

    async def _until_ready(self, keeper: Keeper) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        ready = asyncio.create_task(keeper.ready.wait())
        over = self._tasks[keeper]
        try:
            while not (ready.done() or over.done()):
                await asyncio.wait({ready, over}, timeout=_PROGRESS_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                if not (ready.done() or over.done()):
                    waited = f"{clock() - began:.0f} s"
                    self._console.say(f"{keeper.program.name}: {waited}, waiting until {keeper.program.readiness}")
        finally:
            ready.cancel()

    async def _watch_all(self) -> None:
        """Ends when no program is kept any more, or when an essential one has given up."""
        pending = set(self._tasks.values())
        while pending and not self._is_hopeless():
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)

    async def _stop_all(self, hurried: asyncio.Task[bool]) -> None:
        self._stop.set()
        for keeper, task in reversed(self._tasks.items()):
            if task.done():
                continue
            self._console.say(f"stopping {keeper.program.name}")
            keeper.stop()
            await asyncio.wait({task, hurried}, timeout=keeper.program.grace_s, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._console.say(f"{keeper.program.name} did not stop; killing it")
                keeper.kill()
            await task
