"""A way to a server that can be cut: connections refused, or open and silent.

Run as ``python -m tests.soak.relay PORT SOCKET``: from a loopback port to a Unix socket. It obeys ``pass``,
``refuse`` (every connection ends and new ones are refused) and ``silence`` (whatever is sent waits).
"""

from __future__ import annotations

import asyncio
import socket
import sys
from enum import StrEnum

import uvloop

from tests.bench.servers import free_port
from tests.soak.obedient import Obedient, obey

_CHUNK_BYTES = 256 * 1024


class Way(StrEnum):
    """What a relay does."""

    PASS = "pass"
    REFUSE = "refuse"
    SILENCE = "silence"


class Relay(Obedient):
    """A relay as a process of its own."""

    def __init__(self, target: str) -> None:
        self.port = free_port()
        super().__init__(__spec__.name, str(self.port), target)

    def set(self, way: Way) -> None:
        """Do this from now on."""
        self.tell(way)


class _Relaying:
    """The relay's inside."""

    def __init__(self, port: int, target: str) -> None:
        self._port = port
        self._target = target
        self._is_open = asyncio.Event()
        self._is_refusing = False
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._transports: set[asyncio.WriteTransport] = set()
        self._pairs: set[asyncio.Task[None]] = set()

    def do(self, word: str) -> None:
        """Obey one word."""
        way = Way(word)
        if way is Way.REFUSE:
            self._close()
        elif self._listening is None:
            self._listen()
        if way is Way.PASS:
            self._is_open.set()
        else:
            self._is_open.clear()

    def _listen(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self._port), backlog=512)
        self._listening.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._listening))

    def _close(self) -> None:
        if self._listening is not None and self._accepting is not None:
            self._accepting.cancel()
            self._listening.close()
            self._listening = None
        for transport in tuple(self._transports):
            transport.abort()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listening)
            pair = asyncio.create_task(self._serve(connection))
            self._pairs.add(pair)
            pair.add_done_callback(self._pairs.discard)

    async def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, writer = await asyncio.open_connection(sock=connection)
        self._transports.add(writer.transport)
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.transport.abort()  # the server is down, and so is the way to it
        else:
            self._transports.add(server_writer.transport)
            await asyncio.gather(self._pass_on(reader, server_writer), self._pass_on(server_reader, writer))
            self._transports.discard(server_writer.transport)
        self._transports.discard(writer.transport)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._is_open.wait()
                if writer.is_closing():
                    break  # the other side has gone meanwhile
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            writer.transport.abort()
        writer.close()


async def _run(port: int, target: str) -> None:
    relaying = _Relaying(port, target)
    relaying.do(Way.PASS)
    await obey(relaying.do)


if __name__ == "__main__":
    uvloop.run(_run(int(sys.argv[1]), sys.argv[2]))
