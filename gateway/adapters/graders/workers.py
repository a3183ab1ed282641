"""Processes that compare what may take for ever: started when first needed, asked one job at a time, killed when late.

They run :mod:`isolated.formulas` or :mod:`isolated.rules`, without the gateway's environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import Unavailable

_PROGRAMS: Final = f"{__package__}.isolated"
_MOST_JOBS: Final = 1_000
"""After so many a process is replaced, since what it remembers grows."""


class _Worker:
    """One process, and the lines between it and us."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.jobs = 0

    async def say(self, job: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None  # noqa: S101 - started with pipes
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        await self.process.stdin.drain()

    async def hear(self) -> dict[str, Any] | None:
        """A line from it; None where it has ended, or talks nonsense."""
        assert self.process.stdout is not None  # noqa: S101
        try:
            heard = json.loads(await self.process.stdout.readline())
        except ValueError:
            return None
        return heard if isinstance(heard, dict) else None

    async def ask(self, job: Mapping[str, Any]) -> dict[str, Any] | None:
        self.jobs += 1
        try:
            await self.say(job)
        except (ConnectionError, RuntimeError):
            return None  # it went while it was idle
        return await self.hear()

    async def end(self) -> None:
        """Kill it, if it lives, and wait until it is gone."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Workers:
    """At most ``most`` processes of one program: ``formulas`` or ``rules``."""

    def __init__(self, program: str, *, most: int) -> None:
        self._program = program
        self._places = asyncio.Semaphore(most)
        self._idle: list[_Worker] = []

    async def ask(self, job: Mapping[str, Any], *, limit_s: float, deadline_s: float) -> dict[str, Any]:
        """What a process says of the job.

        ``limit_s`` is for the job alone, ``deadline_s`` for waiting and starting as well. Raises Unavailable
        where either passes, and where the process ends.
        """
        try:
            async with asyncio.timeout(deadline_s), self._places:
                return await self._ask(job, limit_s)
        except TimeoutError as fault:
            raise Unavailable(
                f"checking {self._program} took longer than the {min(limit_s, deadline_s):g} s that it had"
            ) from fault

    async def _ask(self, job: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        answer = None
        while answer is None:
            is_fresh = not self._idle
            worker = await self._start() if is_fresh else self._idle.pop()
            try:
                async with asyncio.timeout(limit_s):
                    answer = await worker.ask(job)
            finally:
                if answer is None or worker.jobs >= _MOST_JOBS:
                    await worker.end()
                else:
                    self._idle.append(worker)
            if answer is None and is_fresh:
                raise Unavailable(f"the process that checks {self._program} ended without an answer")
        return answer

    async def _start(self) -> _Worker:
        """A new process, once it has said that it is ready."""
        worker = _Worker(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-B", "-X", "utf8", "-m", f"{_PROGRAMS}.{self._program}", str(os.getpid())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
        )
        heard = None
        try:
            heard = await worker.hear()
        finally:
            if heard is None or "ready" not in heard:
                await worker.end()
        if heard is None or "ready" not in heard:
            raise Unavailable(
                f"the process that checks {self._program} could not be started; "
                "it needs the packages of requirements/base.txt"
            )
        return worker

    async def close(self) -> None:
        """End the processes that wait for work."""
        while self._idle:
            await self._idle.pop().end()
