"""Keeps one program running: starts it, sees when it is ready, passes its output on, restarts it with back-off."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from gateway.supervisor.console import Console
from gateway.supervisor.program import CONFIGURATION_EXIT, AnswersHttp, BackOff, PrintsLine, Program, describe_exit
from gateway.supervisor.tether import Tether

_READ_BYTES = 64 * 1024
_LAST_WORDS_S = 1.0
_PROBE_EVERY_S = 0.1
_PROBE_TIMEOUT_S = 2.0


class Keeper:
    """One program and its life. ``ready`` is set once it is ready; ``is_given_up`` once it is hopeless."""

    def __init__(
        self, program: Program, console: Console, backoff: BackOff, tether: Tether, on_change: Callable[[], None]
    ) -> None:
        self.program = program
        self.ready = asyncio.Event()
        self.is_given_up = False
        self._console = console
        self._backoff = backoff
        self._tether = tether
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def child(self) -> int | None:
        """The id of the living process, if there is one."""
        return self._process.pid if self._process is not None else None

    async def keep(self) -> None:
        """Run the program again and again, until :meth:`stop` is called or it is hopeless."""
        name, pause_s = self.program.name, None
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            began = clock()
            code = await self._run_once()
            if self._stopping.is_set():
                return
            if code == CONFIGURATION_EXIT:
                self.is_given_up = True
                self._console.say(f"{name} is not started again: its configuration is wrong, as it says above")
                return
            pause_s = self._backoff.after(pause_s, lived_s=clock() - began)
            self._console.say(f"{name} {describe_exit(code)}; starting it again in {pause_s:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    def stop(self) -> None:
        """Ask the program to end (SIGTERM), and do not start it again."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the program and everything it started (SIGKILL)."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    async def _run_once(self) -> int:
        # A pipe of our own: asyncio's wait() would also wait for grandchildren that hold the output open.
        reading, writing = os.pipe()
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *self.program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(self.program.environment),
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then stops all in order
                preexec_fn=self._tether.before_exec,
            )
        except OSError as fault:
            os.close(reading)
            self._console.say(f"{self.program.name} cannot be started: {fault.strerror or fault}")
            return 1
        finally:
            os.close(writing)
        self._on_change()
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        return await self._attend(process, reading)

    async def _attend(self, process: asyncio.subprocess.Process, reading: int) -> int:
        output = asyncio.create_task(self._pass_on(reading))
        probe = asyncio.create_task(self._probe())
        try:
            code = await process.wait()
        finally:
            probe.cancel()
            self._process = None
            self._on_change()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left behind
        await asyncio.wait({output}, timeout=_LAST_WORDS_S)
        output.cancel()
        await asyncio.gather(output, probe, return_exceptions=True)
        return code

    async def _pass_on(self, reading: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
        )
        rest = b""
        try:
            while chunk := await reader.read(_READ_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _READ_BYTES:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._line(line)
            if rest:
                self._line(rest)
        finally:
            transport.close()

    def _line(self, raw: bytes) -> None:
        text = raw.decode("utf-8", "replace").rstrip()
        if text:
            self._console.line(self.program.name, text)
        sign = self.program.readiness
        if isinstance(sign, PrintsLine) and sign.text in text:
            self.ready.set()

    async def _probe(self) -> None:
        sign = self.program.readiness
        if not isinstance(sign, AnswersHttp):
            return
        while not self.ready.is_set():
            if await answers(sign):
                self.ready.set()
            else:
                await asyncio.sleep(_PROBE_EVERY_S)


async def answers(sign: AnswersHttp) -> bool:
    """Whether ``GET path`` answers 200 right now."""
    request = f"GET {sign.path} HTTP/1.1\r\nHost: {sign.host}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(sign.host, sign.port)
            try:
                writer.write(request.encode("ascii"))
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError):
        return False
    return status.split()[1:2] == [b"200"]
