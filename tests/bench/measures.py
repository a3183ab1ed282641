"""What is measured of a running server, and the frozen results."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.gateways import gateway
from tests.bench.load import Load, press
from tests.bench.processes import BenchError
from tests.bench.servers import HOME, LOAD_CORE, Row, Server, mock, paced_mock, sampled, serving
from tests.bench.stages import microseconds_per_request
from tests.bench.stream_load import Streams, press_streams

CONNECTIONS = 32
STREAMS = 256
DIRECT = "direct"
_WARM_UP_S = 2
_QUIET_S = 3
_WRITE_PATIENCE_S = 120
_JOURNAL_PATIENCE_S = 300


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each load lasts, and after how many requests memory is weighed."""

    rounds: int
    seconds: int
    first_mark: int
    second_mark: int


FULL = Pace(rounds=3, seconds=10, first_mark=100_000, second_mark=300_000)
QUICK = Pace(rounds=1, seconds=3, first_mark=5_000, second_mark=15_000)


@dataclass(frozen=True, slots=True)
class Turn:
    """One row in one round.

    ``crowd`` is the load at 32 connections, ``alone`` that at one. ``cpu_us`` is the server's own
    CPU per request at 32 connections, user and system, of all its threads and processes;
    ``core_share`` is how much of one core that was.
    """

    crowd: Load
    alone: Load
    cpu_us: float
    core_share: float
    resident_mib: float
    start_s: float


@dataclass(frozen=True, slots=True)
class StreamTurn:
    """One row's streams in one round: begun evenly over a second (``steady``), and all at once (``burst``)."""

    steady: Streams
    burst: Streams


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of one worker as its requests add up, and how many of them its database then held."""

    idle_mib: float
    first_requests: int
    first_mib: float
    second_requests: int
    second_mib: float
    logged: int


@dataclass(frozen=True, slots=True)
class JournalFigures:
    """Entries per second into the journal (an opening and a record per request), and rows per second out of it."""

    entries_per_s: float
    bytes_per_request: float
    sqlite_rows_per_s: float
    postgresql_rows_per_s: float


@contextmanager
def _behind(upstream: Row, row: Row, folder: Path) -> Iterator[Server]:
    """A row in front of an upstream, or the upstream itself where the row is the direct call."""
    with ExitStack() as stack:
        server = stack.enter_context(serving(upstream, folder, "", core=LOAD_CORE))
        if row.name != DIRECT:
            server = stack.enter_context(serving(row, folder, server.base_url))
        yield server


def measure_turn(row: Row, folder: Path, pace: Pace) -> Turn:
    """Start a row afresh, warm it, and load it at one connection and at 32."""
    with _behind(mock(), row, folder) as server:
        press(server, connections=CONNECTIONS, seconds=_WARM_UP_S)
        alone = press(server, connections=1, seconds=pace.seconds)
        spent_s = -server.child.cpu_s()
        crowd = press(server, connections=CONNECTIONS, seconds=pace.seconds)
        spent_s += server.child.cpu_s()
        return Turn(
            crowd=crowd,
            alone=alone,
            cpu_us=spent_s * 1e6 / crowd.requests,
            core_share=spent_s / crowd.duration_s,
            resident_mib=server.child.resident_mib(),
            start_s=server.start_s,
        )


def measure_streams(row: Row, folder: Path, pace: Pace) -> StreamTurn:
    """Hold 256 streams of the paced mock open, directly or through a row."""
    with _behind(paced_mock(), row, folder) as server:
        press_streams(server, connections=8, seconds=1, at_once=False)
        return StreamTurn(
            steady=press_streams(server, connections=STREAMS, seconds=pace.seconds, at_once=False),
            burst=press_streams(server, connections=STREAMS, seconds=pace.seconds, at_once=True),
        )


def measure_memory(folder: Path, pace: Pace) -> Memory:
    """Weigh one gateway worker before any load, at the first mark and at the second."""
    with _behind(mock(), gateway(), folder) as server:
        idle_mib = server.child.resident_mib()
        warm_up = press(server, connections=CONNECTIONS, seconds=_WARM_UP_S)
        rate = warm_up.requests_per_s
        first = _press_until(server, pace.first_mark, warm_up.requests, rate)
        first_mib = _weigh(server)
        second = _press_until(server, pace.second_mark, first, rate)
        return Memory(idle_mib, first, first_mib, second, _weigh(server), _logged_in_time(server, second))


def _press_until(server: Server, mark: int, sent: int, rate: float) -> int:
    while sent < mark:
        seconds = min(30, max(1, math.ceil((mark - sent) / rate)))
        sent += press(server, connections=CONNECTIONS, seconds=seconds).requests
    return sent


def _weigh(server: Server) -> float:
    # The log is written behind the requests; what the writer still holds is not growth.
    time.sleep(_QUIET_S)
    return server.child.resident_mib()


def _logged_in_time(server: Server, answered: int) -> int:
    """The same once the journal's backlog had its time: under full load on one core it is moved behind requests."""
    give_up = time.monotonic() + _WRITE_PATIENCE_S
    while (logged := _logged(server)) < answered and time.monotonic() < give_up:
        time.sleep(0.5)
    return logged


def _logged(server: Server) -> int:
    """How many requests the gateway's database holds. Requests that were never logged would be cheap ones."""
    address = f"file:{server.folder / HOME / 'ponder.db'}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as database:
        count: int = database.execute("SELECT count(*) FROM requests").fetchone()[0]
        return count


def measure_stages(row: Row, folder: Path, pace: Pace) -> dict[str, float]:
    """CPU microseconds of one request by stage, sampled inside the real server under load."""
    into = folder / f"{row.name}-stages.json"
    with _behind(mock(), sampled(row, into), folder) as server:
        press(server, connections=CONNECTIONS, seconds=_WARM_UP_S)
        os.kill(server.child.process.pid, signal.SIGUSR1)
        requests = press(server, connections=CONNECTIONS, seconds=pace.seconds).requests
        os.kill(server.child.process.pid, signal.SIGUSR2)
        give_up = time.monotonic() + _WRITE_PATIENCE_S
        while not into.exists():
            if time.monotonic() > give_up:
                raise BenchError("the sampler wrote no result; the server may have moved to another process")
            time.sleep(0.01)
        return microseconds_per_request(json.loads(into.read_text()), requests)


def measure_journal() -> JournalFigures:
    """The journal alone, in a process of its own: PostgreSQL's package must be set up before it is imported."""
    command = [sys.executable, "-m", "tests.bench.journal"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=_JOURNAL_PATIENCE_S, check=False)
    if finished.returncode != 0:
        raise BenchError(f"the journal could not be measured:\n{finished.stderr[-2000:]}")
    return JournalFigures(**json.loads(finished.stdout.splitlines()[-1]))
