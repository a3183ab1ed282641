"""A server over raw sockets in the test's own event loop: each connection is served by the test's own function."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

PATIENCE_S = 20.0
Serve = Callable[["Peer"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived."""

    head: bytes
    body: bytes

    @property
    def start(self) -> str:
        """The request line."""
        return self.head.split(b"\r\n", 1)[0].decode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All header lines, in order."""
        lines = self.head.decode("latin-1").rstrip("\r\n").split("\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


@dataclass(frozen=True, slots=True)
class Peer:
    """The server's side of one connection; ``number`` counts from 1."""

    number: int
    server: RawServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def asked(self) -> Asked:
        """The next request, read whole. Raises IncompleteReadError once the client has gone."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await self.reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
        asked = Asked(head, body)
        self.server.asked.append(asked)
        return asked

    async def say(self, data: bytes) -> None:
        """Write bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def until_left(self) -> None:
        """Wait until the client closes the connection."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        """Close the connection by a reset."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def close(self) -> None:
        """Close in good order, with TLS by its close_notify."""
        self.writer.close()
        await self.writer.wait_closed()


@dataclass(slots=True)
class RawServer:
    """``async with RawServer(serve) as server``. What ``serve`` raises, but for a lost client, fails the test."""

    serve: Serve
    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The address of an upstream."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, 0, ssl=self.tls, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.create_task(self._run(Peer(self.connections, self, reader, writer))))

    async def _run(self, peer: Peer) -> None:
        try:
            await self.serve(peer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            peer.writer.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        if fault is None:
            for outcome in ended:
                if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                    raise outcome
        await asyncio.sleep(0)


def answer(body: bytes = b"{}", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole answer with its length."""
    lines = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answering(*answers: bytes) -> Serve:
    """Serve each connection by the same answers, one per request; the last one is repeated."""

    async def serve(peer: Peer) -> None:
        left = list(answers)
        while True:
            await peer.asked()
            await peer.say(left.pop(0) if len(left) > 1 else left[0])

    return serve


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until ``condition`` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  what is waited for has no event to tell of it
            await asyncio.sleep(0)


def open_sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue  # the listing's own descriptor
    return count
