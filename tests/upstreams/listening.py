"""A server in a thread of its own: it answers while a synchronous client waits, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from tests.upstreams.replies import GREETING, Reply, spelled

_Result = TypeVar("_Result")
START_AND_STOP_S = 20.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it arrived: names of headers in lower case, the body byte for byte."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class LoopThread:
    """An event loop that runs in a thread until closed."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Run ``work`` in the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_AND_STOP_S)

    def close(self) -> None:
        """End every task, then the loop and its thread."""
        self.run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_AND_STOP_S)
        self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()


class ProviderServer(ABC):
    """What both stand-in providers share: start, stop, scripts and recordings.

    ``script`` sets the next answers of a model, in order; without one it greets. The text of a
    prompt never chooses the answer.
    """

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.sent: list[bytes] = []
        """The body of every answer, as it went out."""
        self._scripts: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self._serial = 0
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """The paths this provider answers."""

    @abstractmethod
    async def refuse_path(self, request: web.Request) -> web.StreamResponse:
        """The provider's answer to a path it does not know."""

    @property
    def address(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.port}"

    def script(self, model: str, *replies: Reply) -> None:
        """Set the next answers of ``model``; answers left over from before are dropped."""
        with self._lock:
            self._scripts[model] = deque(replies)

    def next_reply(self, model: str) -> Reply:
        """The answer that is due."""
        with self._lock:
            waiting = self._scripts[model]
            return waiting.popleft() if waiting else GREETING

    def new_id(self, prefix: str) -> str:
        """A fresh identifier of the provider's kind."""
        with self._lock:
            self._serial += 1
            return f"{prefix}{self._serial:024d}"

    async def record(self, request: web.Request) -> bytes:
        """Keep the request, and return its body."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Recorded(request.method, request.path_qs, headers, body))
        return body

    @property
    def last(self) -> Recorded:
        """The newest request."""
        return self.requests[-1]

    def __enter__(self) -> Self:
        self._thread = LoopThread(type(self).__name__)
        self.port = self._thread.run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.run(self._stop())
            self._thread.close()

    async def _start(self) -> int:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes(self.routes())
        app.router.add_route("*", "/{path:.*}", self.refuse_path)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def send_json(self, value: Any, headers: Mapping[str, str], *, status: int = 200) -> web.Response:
        """Answer with JSON."""
        body = spelled(value)
        self.sent.append(body)
        return web.Response(body=body, status=status, content_type="application/json", headers=headers)

    async def send_events(
        self, request: web.Request, headers: Mapping[str, str], events: Iterable[bytes]
    ) -> web.StreamResponse:
        """Answer with server-sent events, each in a write of its own."""
        kept = list(events)
        self.sent.append(b"".join(kept))
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", **headers}
        )
        await response.prepare(request)
        for event in kept:
            await response.write(event)
        await response.write_eof()
        return response
