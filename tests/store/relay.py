"""A database that goes away: a relay before a real one, which can be cut and mended."""

from __future__ import annotations

import asyncio
from pathlib import Path


class Relay:
    """Passes bytes between a Unix socket in ``folder`` and the server's, until it is cut."""

    def __init__(self, folder: Path, server_socket: Path) -> None:
        self.folder = folder
        self._path = folder / server_socket.name
        self._server_socket = server_socket
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def cut(self) -> None:
        """Break every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        for writer in tuple(self._writers):
            writer.transport.abort()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._server_socket)
        both = {writer, server_writer}
        self._writers |= both
        await asyncio.gather(_pass_on(reader, server_writer), _pass_on(server_reader, writer))
        self._writers -= both


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()
