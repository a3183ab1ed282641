"""Whether ten dashboards slow requests down: a gateway on the full database, asked at a fixed pace with and without."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench.gateways import gateway
from tests.bench.processes import BenchError, plain_environment, running
from tests.bench.servers import HOME, LOAD_CORE, Launch, Row, Server, Site, mock, serving
from tests.bench_store.questions import quantile

READERS: Final = 10
RATE: Final = 100.0
SECONDS: Final = 60.0
ROUNDS: Final = 3
_START_PATIENCE_S: Final = 240.0
_WARM_UP_S: Final = 15.0
_TARGET: Final = 1.05


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the load, with so many dashboards: answers' milliseconds, sorted, and what failed."""

    readers: int
    taken_ms: Sequence[float]
    failed: int
    pages: int
    pages_failed: int


@dataclass(frozen=True, slots=True)
class Beside:
    """All turns, and how long the gateway took from its start to its first answer."""

    start_s: float
    seconds: float
    turns: Sequence[Turn]

    def together(self, readers: int) -> list[float]:
        """All answers' milliseconds with so many dashboards, sorted."""
        return sorted(each for turn in self.turns if turn.readers == readers for each in turn.taken_ms)

    @property
    def ratio(self) -> float:
        """p99 with dashboards, as a multiple of that without."""
        return quantile(self.together(READERS), 0.99) / quantile(self.together(0), 0.99)

    @property
    def is_met(self) -> bool:
        """Whether p99 is the same within 5%."""
        return self.ratio <= _TARGET


def measure(address: str, say: Callable[[str], None], *, seconds: float = SECONDS, rounds: int = ROUNDS) -> Beside:
    """Press in turns, without dashboards and with ten, in one gateway's life."""
    missing = [program for program in ("nginx", "taskset", "setpriv") if shutil.which(program) is None]
    if missing:
        raise BenchError(f"missing: {', '.join(missing)}; run: apt-get install -y nginx-light util-linux")
    turns = []
    with tempfile.TemporaryDirectory(prefix="ponder-bench-") as name, _serving(Path(name), address) as (server, home):
        say(f"the gateway answered {server.start_s:.1f} s after its start")
        _press(server, home, READERS, min(seconds, _WARM_UP_S))
        for _ in range(rounds):
            for readers in (0, READERS):
                turn = _press(server, home, readers, seconds)
                say(f"{readers} dashboards: p99 {quantile(turn.taken_ms, 0.99):.2f} ms, {turn.pages} pages")
                turns.append(turn)
        return Beside(server.start_s, seconds, turns)


@contextmanager
def _serving(folder: Path, address: str) -> Iterator[tuple[Server, Path]]:
    """A gateway on that database behind its mock, with the worker that keeps its sums and the beat that wakes it."""
    row = _on(gateway(), address)
    with serving(mock(), folder, "", core=LOAD_CORE) as upstream, serving(row, folder, upstream.base_url) as server:
        home = server.folder / HOME
        environment = plain_environment(
            PONDER_HOME=str(home), PONDER_CONFIG=str(server.folder / "ponder.yaml"), PONDER_DATABASE_URL=address,
            BENCH_UPSTREAM_KEY="sk-benchmark",
        )  # fmt: skip
        command = (sys.executable, "-m", "gateway.cli")
        with (
            running((*command, "worker"), core=LOAD_CORE, environment=environment, folder=folder, log_name="worker"),
            running((*command, "beat"), core=LOAD_CORE, environment=environment, folder=folder, log_name="beat"),
        ):
            yield server, home


def _on(row: Row, address: str) -> Row:
    def prepare(site: Site) -> Launch:
        launch = row.prepare(site)
        return replace(launch, environment={**launch.environment, "PONDER_DATABASE_URL": address})

    return replace(row, prepare=prepare, patience_s=_START_PATIENCE_S)


def _press(server: Server, home: Path, readers: int, seconds: float) -> Turn:
    options = {
        "address": server.base_url,
        "key": (home / "default.key").read_text().strip(),
        "admin-key": (home / "admin.key").read_text().strip(),
        "rate": RATE,
        "seconds": seconds,
        "readers": readers,
    }
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m", "tests.bench_store.paced", *given]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    if found.returncode:
        raise BenchError(f"the load ended with status {found.returncode}: {found.stderr[-2000:]}")
    seen = json.loads(found.stdout)
    return Turn(readers, sorted(seen["taken_ms"]), seen["failed"], seen["pages"], seen["pages_failed"])
