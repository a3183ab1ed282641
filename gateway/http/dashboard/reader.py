"""The dashboard's own process, as the gateway sees it: it looks at the log and draws, and no request waits for that.

A query costs the gateway little, but what comes of it costs a processor: rows made into objects, and objects into a
page, a few milliseconds in which nothing else of a Python process goes on. So that is done by
:mod:`gateway.dashboard_process`, which runs behind the gateway in priority, starts with the first look, and ends when
nobody has looked for some minutes. Between the two are lines of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

import orjson
from markupsafe import Markup

from gateway.errors import ConfigurationError, PonderError, Unavailable
from gateway.store.sessions import StoredSession, StoredSessions

PROGRAM: Final = "gateway.dashboard_process"
PATIENCE_S: Final = 30.0
"""For a view, a start included; the database's own limits end its queries before."""
IDLE_S: Final = 300.0
"""So long without a look, and the process ends."""
_REST_S: Final = 5.0
"""A process that ended before its first answer is started again so long after its start, and not with each look."""
_LONGEST_LINE: Final = 16 * 2**20
_ERRORS: Final[Mapping[str, type[PonderError]]] = {each.__name__: each for each in (Unavailable, ConfigurationError)}
_KEPT_VARIABLES: Final = {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"}
_log = logging.getLogger(__name__)


class _Ended(Exception):
    """The process is gone, and an answer with it."""


class _Running:
    """A process, and who waits for its answers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.has_ended = False
        self._has_answered = False
        self._rests_until = asyncio.get_running_loop().time() + _REST_S
        self._hearing = asyncio.create_task(self._hear())

    @property
    def rest_s(self) -> float:
        """How long to leave it at that, now that it has ended."""
        return 0.0 if self._has_answered else self._rests_until - asyncio.get_running_loop().time()

    async def ask(self, view: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None  # noqa: S101 - started with pipes
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            if self.has_ended:
                raise _Ended
            self.process.stdin.write(orjson.dumps({"number": number, "view": view, "asked": asked}) + b"\n")
            await self.process.stdin.drain()
            return await answer
        except (ConnectionError, RuntimeError) as fault:
            raise _Ended from fault
        finally:
            del self._waiting[number]

    async def _hear(self) -> None:
        assert self.process.stdout is not None  # noqa: S101
        try:
            while line := await self.process.stdout.readline():
                told = orjson.loads(line)
                self._has_answered = True
                answer = self._waiting.get(told["number"])
                if answer is not None and not answer.done():
                    answer.set_result(told)
        except ValueError:
            _log.error("the dashboard's process said what is no answer; it is started anew")
        finally:
            await self._end()

    async def _end(self) -> None:
        self.has_ended = True
        self._kill()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_Ended())
        await self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def _kill(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    async def close(self) -> None:
        # Its output ends with it, and with that the hearing, which waits until it is gone.
        self._kill()
        await self._hearing


class Reader:
    """Looks at the log of one database, in a process that is there while somebody looks."""

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S, idle_s: float = IDLE_S) -> None:
        self._url = url
        self._patience_s = patience_s
        self._idle_s = idle_s
        self._starting = asyncio.Lock()
        self._running: _Running | None = None

    async def draw(self, view: str, **asked: Any) -> Markup:
        """The HTML of a view. Raises Unavailable or ConfigurationError."""
        return Markup(await self.ask(view, **asked))  # noqa: S704 - what a template of ours made, over there

    async def ask(self, view: str, **asked: Any) -> Any:
        """What a view comes to. Raises Unavailable or ConfigurationError."""
        try:
            async with asyncio.timeout(self._patience_s):
                told = await self._ask(view, asked)
        except TimeoutError as fault:
            raise Unavailable(f"the view {view!r} took longer than {self._patience_s:g} s") from fault
        if "error" in told:
            raise _ERRORS.get(told["error"], Unavailable)(told["message"])
        if "fault" in told:
            _log.error("the view %r failed with %s:\n%s", view, told["fault"], told["trace"])
            raise Unavailable(f"the view {view!r} cannot be drawn; the log tells why")
        return told["view"]

    async def _ask(self, view: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        # Views only look, so one that went with its process may be asked for again.
        with contextlib.suppress(_Ended):
            return await (await self._process()).ask(view, asked)
        try:
            return await (await self._process()).ask(view, asked)
        except _Ended as fault:
            raise Unavailable("the dashboard's process ends without an answer") from fault

    async def _process(self) -> _Running:
        async with self._starting:
            if self._running is None or self._running.has_ended:
                if self._running is not None and (rest_s := self._running.rest_s) > 0:
                    raise Unavailable(
                        "the dashboard's process ended as it began; the log tells why", retry_after_s=rest_s
                    )
                self._running = await self._start()
            return self._running

    async def _start(self) -> _Running:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", PROGRAM),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=_environment(),
                start_new_session=True,
                limit=_LONGEST_LINE,
            )
        except OSError as fault:
            raise Unavailable(f"the dashboard's process cannot be started: {fault.strerror}") from fault
        assert process.stdin is not None  # noqa: S101
        # Not as an argument, which everybody on the machine could read: an address may have a password.
        process.stdin.write(orjson.dumps({"database": self._url, "idle_s": self._idle_s}) + b"\n")
        return _Running(process)

    async def close(self) -> None:
        """End the process, if there is one."""
        if self._running is not None:
            await self._running.close()


def _environment() -> dict[str, str]:
    """What Python and the database's driver look at, PostgreSQL's variables included; no key of a provider."""
    return {name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES or name.startswith("PG")}


class ReadSessions:
    """Sessions that are begun and ended here, and looked for in the dashboard's process: each page asks for one."""

    def __init__(self, stored: StoredSessions, reader: Reader) -> None:
        self._stored = stored
        self._reader = reader

    async def begin(self, digest: bytes, session: StoredSession) -> None:
        """Keep a new session."""
        await self._stored.begin(digest, session)

    async def find(self, digest: bytes) -> StoredSession | None:
        """The session with this digest, be it over or not."""
        found = await self._reader.ask("session", digest=digest.hex())
        return None if found is None else StoredSession(**{**found, "secret": bytes.fromhex(found["secret"])})

    async def end(self, digest: bytes) -> None:
        """Forget the session."""
        await self._stored.end(digest)
