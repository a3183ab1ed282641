"""The client's end of one connection, to a raw server or fed by the test itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.adapters.wire import Connection
from tests.adapters.raw_server import PATIENCE_S, Peer, RawServer, Serve

HEAD = b"POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


class Freed(list[Connection]):
    """Connections as they were reported free or gone; a test can wait for the next report."""

    def __init__(self) -> None:
        super().__init__()
        self._reported = asyncio.Event()

    def __call__(self, connection: Connection) -> None:
        self.append(connection)
        self._reported.set()

    async def reports(self, count: int) -> None:
        """Wait until there were ``count`` reports."""
        while len(self) < count:
            self._reported.clear()
            async with asyncio.timeout(PATIENCE_S):
                await self._reported.wait()


@asynccontextmanager
async def connected(server: RawServer) -> AsyncIterator[tuple[Connection, Freed]]:
    """A connection to ``server``, closed at the end."""
    loop, freed = asyncio.get_running_loop(), Freed()
    _, connection = await loop.create_connection(lambda: Connection(loop, freed), server.host, server.port)
    try:
        yield connection, freed
    finally:
        connection.close()
        while not connection.is_gone:
            await freed.reports(len(freed) + 1)


async def ask(connection: Connection, body: bytes = b"{}", *, within_s: float = PATIENCE_S) -> bytes:
    """One exchange, its body read to the end."""
    await connection.send(HEAD.replace(b" 2\r", b" %d\r" % len(body)), body, within_s=within_s)
    return await rest(connection, within_s=within_s)


async def rest(connection: Connection, *, within_s: float = PATIENCE_S) -> bytes:
    """What is left of the body."""
    pieces = []
    while piece := await connection.read(within_s=within_s):
        pieces.append(piece)
    return b"".join(pieces)


def saying(data: bytes) -> Serve:
    """Serve one request by ``data``, then close in good order."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(data)

    return serve


async def repeat(peer: Peer, piece: bytes) -> None:
    """Say the same until the client leaves."""
    while not peer.writer.is_closing():
        await peer.say(piece)


class StillTransport(asyncio.Transport):
    """A transport that keeps what is written and says whether it is being read, over a socket that is silent."""

    def __init__(self) -> None:
        super().__init__()
        self._ends = socket.socketpair()
        self.is_paused = False
        self.is_aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._ends[0] if name == "socket" else default

    def write(self, data: Any) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        for end in self._ends:
            end.close()


@asynccontextmanager
async def fed() -> AsyncIterator[tuple[Connection, StillTransport]]:
    """A connection that the test feeds itself."""
    connection, transport = Connection(asyncio.get_running_loop(), Freed()), StillTransport()
    connection.connection_made(transport)
    try:
        yield connection, transport
    finally:
        connection.connection_lost(None)
        transport.close()
