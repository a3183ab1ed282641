"""Runs an answer's code in a walled-off process, and knows whether this machine has the walls.

The process runs :mod:`isolated.trial`. Nothing runs before the walls have been tried from inside.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.check import Assertions, Program, Test
from gateway.errors import Unavailable

LONGEST_CODE: Final = 65_536
"""Characters of an answer's code."""

LONGEST_OUTPUT: Final = 65_536
"""Bytes that a program may write."""

_LONGEST_FILE: Final = 1024 * 1024
_LARGEST_REPORT: Final = 64 * LONGEST_OUTPUT * 6 + 65_536
"""Every test's output, were each byte of it an escape in JSON."""

_GRACE_S: Final = 5.0
"""For starting the process and putting up the walls, beside the tests' own time."""

_PROGRAM: Final = f"{__package__}.isolated.trial"

_ATTEMPTS: Final = """
import json, os, socket, subprocess, sys
def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
def write(path):
    with open(path, "w") as file:
        file.write("x")
def homes():
    assert [name for home in ("/home", "/etc", "/var", "/tmp") for name in os.listdir(home)]
def environment():
    assert os.environ
    return os.environ
attempts = {
    "open a network connection": lambda: socket.create_connection(("127.0.0.1", 9), 0.1),
    "make a socket": lambda: socket.socket(),
    "start a process": fork,
    "start a program": lambda: subprocess.run([sys.executable, "-c", ""]),
    "write to the root folder": lambda: write("/ponder"),
    "write to the shared libraries": lambda: write("/usr/lib/ponder"),
    "read another process's environment": lambda: open("/proc/1/environ").read(),
    "read the machine's folders": homes,
    "see environment variables": environment,
    "signal another process": lambda: os.kill(1, 9),
    "take more memory than allowed": lambda: bytearray(MEMORY + 1),
}
done = []
for name, attempt in attempts.items():
    try:
        attempt()
    except (OSError, MemoryError, AssertionError):
        continue
    done.append(name)
print(json.dumps(done))
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How far the tests went: those passed, and how the next one ended, if there was one."""

    passed: int
    ended: str
    """``passed``, ``failed``, ``time``, ``memory`` or ``output``."""


class Sandbox:
    """At most ``most`` walled-off processes at a time, each with its seconds and its memory."""

    def __init__(self, *, most: int, seconds: float, memory_bytes: int) -> None:
        self._places = asyncio.Semaphore(most)
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._trying = asyncio.Lock()
        self._missing: str | None = None
        self._is_tried = False

    async def missing(self) -> str | None:
        """What this machine lacks for walls, None if nothing; found out by an attempt to break out, once."""
        async with self._trying:
            if not self._is_tried:
                self._missing = await self.try_walls(_ATTEMPTS.replace("MEMORY", str(self._memory_bytes)))
                self._is_tried = True
        return self._missing

    async def require_walls(self) -> None:
        """Raise Unavailable where this machine has no walls that hold."""
        missing = await self.missing()
        if missing is not None:
            raise Unavailable(_without(missing))

    async def try_walls(self, code: str) -> str | None:
        """What is missing, by a program that tries to get out and prints, as JSON, what it could do."""
        if sys.platform != "linux":
            return "Linux, whose namespaces and filters of system calls are the walls"
        report = await self._start(code, [{"stdin": ""}], _GRACE_S)
        if "missing" in report:
            return str(report["missing"])
        ending = report["endings"][0]
        if ending["ended"] != "passed":
            return f"a process that can run Python behind walls (it ended by {ending['ended']})"
        broken = json.loads(ending["output"])
        return f"walls that hold: code behind them could {', '.join(broken)}" if broken else None

    async def run(self, code: str, tests: Sequence[Test], *, deadline_s: float) -> Ending:
        """Run the code against each test until one fails. Raises Unavailable where time, process or walls lack."""
        given = [_as_given(test) for test in tests]
        try:
            async with asyncio.timeout(deadline_s):
                await self.require_walls()
                async with self._places:
                    report = await self._start(code, given, self._seconds)
        except TimeoutError as fault:
            raise Unavailable(f"the tests of the code did not end within {deadline_s:g} s") from fault
        if "missing" in report:
            raise Unavailable(_without(report["missing"]))
        passed = 0
        for test, ending in zip(tests, report["endings"], strict=False):
            if ending["ended"] != "passed":
                return Ending(passed, ending["ended"])
            if isinstance(test, Program) and _lines(ending["output"]) != _lines(test.stdout):
                return Ending(passed, "failed")
            passed += 1
        return Ending(passed, "passed" if passed == len(tests) else "failed")

    async def _start(self, code: str, tests: Sequence[str | dict[str, str]], seconds: float) -> dict[str, Any]:
        limits = {
            "seconds": seconds,
            "memory_bytes": self._memory_bytes,
            "output_bytes": LONGEST_OUTPUT,
            "file_bytes": _LONGEST_FILE,
        }
        job = json.dumps({"code": code, "tests": tests, "limits": limits, "parent": os.getpid()}).encode()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-B", "-X", "utf8", "-m", _PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(seconds + _GRACE_S):
                said = await _exchange(process, job)
                await process.wait()
        except TimeoutError as fault:
            raise Unavailable("the isolated process for code did not answer in time") from fault
        finally:
            if process.returncode is None:
                process.kill()  # the others in its namespaces die with it
                await process.wait()
        try:
            report = json.loads(said)
        except ValueError as fault:
            raise Unavailable("the isolated process for code ended without an answer") from fault
        return dict(report)


def _without(missing: str) -> str:
    return f"code is only run in an isolated process, for which this machine lacks {missing}"


async def _exchange(process: asyncio.subprocess.Process, job: bytes) -> bytes:
    """Give it the job and take its report, cut where it is longer than any report is."""
    assert process.stdin is not None  # noqa: S101 - started with pipes
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(job)
        await process.stdin.drain()
        process.stdin.close()
    except ConnectionError:
        pass  # it has ended, and what it said tells why
    said = bytearray()
    while piece := await process.stdout.read(65_536):
        said += piece
        if len(said) > _LARGEST_REPORT:
            break
    return bytes(said)


def _as_given(test: Test) -> str | dict[str, str]:
    """A test as the process gets it: without what a program should write, which the code could else find there."""
    return test.source if isinstance(test, Assertions) else {"stdin": test.stdin}


def _lines(text: str) -> list[str]:
    """Output as it is compared: without blanks at the ends of lines, and without empty lines at its end."""
    return [line.rstrip() for line in text.rstrip().splitlines()]
