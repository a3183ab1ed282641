"""A provider that stops in the middle of each answer until the test lets it go on."""

from __future__ import annotations

import asyncio
import json
import threading
from types import TracebackType
from typing import Any, Self

from tests.upstreams.faulty_exchange import EVENTS_BEFORE_A_FAULT, Exchange
from tests.upstreams.faulty_server import read_request
from tests.upstreams.listening import START_AND_STOP_S, LoopThread


class GatedServer:
    """Sends half of every answer, in every dialect, and the other half when the gate is opened."""

    def __init__(self) -> None:
        self._halfway = threading.Semaphore(0)
        self._left = threading.Semaphore(0)
        self._gate = asyncio.Event()
        self._thread: LoopThread | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def address(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.port}"

    def wait_until_halfway(self) -> None:
        """Wait until one more answer stands at the gate."""
        assert self._halfway.acquire(timeout=START_AND_STOP_S), "no answer came to the gate"

    def wait_until_caller_leaves(self) -> None:
        """Wait until one more caller has closed its connection before the gate was opened."""
        assert self._left.acquire(timeout=START_AND_STOP_S), "no caller left"

    def open(self) -> None:
        """Let all answers go on, those to come too."""
        assert self._thread is not None
        self._thread.run(self._open())

    async def _open(self) -> None:
        self._gate.set()

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

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            recorded = await read_request(reader)
            if recorded is None:
                return
            body: dict[str, Any] = json.loads(recorded.body)
            exchange = Exchange(
                path=recorded.path,
                model=str(body.get("model", "")),
                is_stream=bool(body.get("stream")),
                attempt=1,
                reader=reader,
                writer=writer,
            )
            await self._answer(exchange)
        except ConnectionError:
            self._left.release()
        finally:
            writer.close()

    async def _answer(self, exchange: Exchange) -> None:
        if exchange.is_stream:
            events = exchange.events()
            await exchange.begin_stream()
            await exchange.send_chunks(events[:EVENTS_BEFORE_A_FAULT])
            await self._pass_the_gate(exchange)
            await exchange.send_chunks(events[EVENTS_BEFORE_A_FAULT:])
            await exchange.end_chunks()
            return
        body = json.dumps(exchange.answer()).encode()
        await exchange.head("200 OK", f"content-length: {len(body)}")
        await exchange.send(body[:20])
        await self._pass_the_gate(exchange)
        await exchange.send(body[20:])

    async def _pass_the_gate(self, exchange: Exchange) -> None:
        self._halfway.release()
        opened = asyncio.create_task(self._gate.wait())
        left = asyncio.create_task(exchange.reader.read(1))
        await asyncio.wait({opened, left}, return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        left.cancel()
        if not self._gate.is_set():
            raise ConnectionResetError
