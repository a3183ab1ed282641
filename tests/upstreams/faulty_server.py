"""A provider that misbehaves on purpose, over raw sockets; each fault has a name and an address.

``http://127.0.0.1:PORT/FAULT`` is the address of an upstream with that fault, in every dialect.
What the server saw of each fault is counted: calls, and calls that the caller left.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from tests.upstreams.faults import FAULTS
from tests.upstreams.faulty_exchange import CallerLeftError, Exchange
from tests.upstreams.listening import LoopThread, Recorded


def closed_port() -> int:
    """A port on loopback where connections are refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class FaultyServer:
    """Serves every fault of :data:`tests.upstreams.faults.FAULTS`, one connection per request."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        """Calls that the caller abandoned before the fault had run its course."""
        self.requests: list[Recorded] = []
        self._thread: LoopThread | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    def address(self, fault: str) -> str:
        """The address of an upstream that has ``fault``; ``/v1`` comes below it."""
        return f"http://127.0.0.1:{self.port}/{fault}"

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
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            recorded = await read_request(reader)
            if recorded is not None:
                await self._misbehave(recorded, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller went away between two writes; counted where it matters
        finally:
            writer.close()

    async def _misbehave(self, recorded: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if recorded.method == "GET":  # the gateway's question what the models take, which has no fault
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return
        _, fault, path = recorded.path.split("/", 2)
        self.requests.append(recorded)
        self.calls[fault] += 1
        body: Mapping[str, Any] = json.loads(recorded.body) if recorded.body else {}
        exchange = Exchange(
            path=f"/{path}",
            model=str(body.get("model", "")),
            is_stream=bool(body.get("stream")),
            attempt=self.calls[fault],
            reader=reader,
            writer=writer,
        )
        try:
            await FAULTS[fault](exchange)
        except (CallerLeftError, ConnectionError):
            self.left[fault] += 1


async def read_request(reader: asyncio.StreamReader) -> Recorded | None:
    """One request, whole; None when the caller closes instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Recorded(method, path, headers, body)
