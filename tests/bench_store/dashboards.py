"""Whether ten dashboards slow requests down: a gateway on the full database, asked at a fixed pace with and without."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
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
_AGAIN: Final = {"PONDER_ACCEPT_NEW_PEPPER": "1"}
"""A kept database was served from another home before, and may be again."""
_START_PATIENCE_S: Final = 240.0
_WARM_UP_S: Final = 15.0
_SETTLE_S: Final = 2.0
_TARGET: Final = 1.05


class Beside(StrEnum):
    """What goes on beside the requests."""

    NOTHING = "no dashboard"
    READERS = f"{READERS} dashboards"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the load: answers' milliseconds, sorted, and what failed."""

    beside: Beside
    taken_ms: Sequence[float]
    failed: int
    pages: int = 0
    pages_failed: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """All turns, and how long the gateway took from its start to its first answer."""

    start_s: float
    seconds: float
    turns: Sequence[Turn]

    def of(self, beside: Beside) -> list[Turn]:
        """The turns of a kind."""
        return [turn for turn in self.turns if turn.beside is beside]

    def together(self, beside: Beside) -> list[float]:
        """All answers' milliseconds of a kind, sorted."""
        return sorted(each for turn in self.of(beside) for each in turn.taken_ms)

    @property
    def ratio(self) -> float:
        """p99 with dashboards, as a multiple of that without."""
        return quantile(self.together(Beside.READERS), 0.99) / quantile(self.together(Beside.NOTHING), 0.99)

    @property
    def is_met(self) -> bool:
        """Whether p99 is the same within 5%."""
        return self.ratio <= _TARGET


def measure(address: str, say: Callable[[str], None], *, seconds: float = SECONDS, rounds: int = ROUNDS) -> Compared:
    """Press in turns, with nothing beside and with ten dashboards, in one gateway's life."""
    missing = [program for program in ("nginx", "taskset", "setpriv") if shutil.which(program) is None]
    if missing:
        raise BenchError(f"missing: {', '.join(missing)}; run: apt-get install -y nginx-light util-linux")
    with tempfile.TemporaryDirectory(prefix="ponder-bench-") as name, _serving(Path(name), address) as (server, home):
        say(f"the gateway answered {server.start_s:.1f} s after its start")
        _press(server, home, Beside.READERS, min(seconds, _WARM_UP_S))
        turns = []
        for _ in range(rounds):
            for beside in Beside:
                turn = _press(server, home, beside, seconds)
                say(f"{beside}: p99 {quantile(turn.taken_ms, 0.99):.2f} ms, {turn.pages} pages")
                turns.append(turn)
        return Compared(server.start_s, seconds, turns)


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
        return replace(launch, environment={**launch.environment, "PONDER_DATABASE_URL": address, **_AGAIN})

    return replace(row, prepare=prepare, patience_s=_START_PATIENCE_S)


def _press(server: Server, home: Path, beside: Beside, seconds: float) -> Turn:
    key, limit_s = (home / "default.key").read_text().strip(), seconds + 60
    load = _command("paced", {"address": server.base_url, "key": key, "rate": RATE, "seconds": seconds})
    with _looked_at(server, home) if beside is Beside.READERS else nullcontext() as readers:
        done = subprocess.run(load, capture_output=True, text=True, check=False, timeout=limit_s)
        pages = {} if readers is None else _end(readers)
    if done.returncode:
        raise BenchError(f"the load ended with status {done.returncode}: {done.stderr[-2000:]}")
    seen = json.loads(done.stdout)
    return Turn(beside, sorted(seen["taken_ms"]), seen["failed"], **pages)


@contextmanager
def _looked_at(server: Server, home: Path) -> Iterator[subprocess.Popen[str]]:
    """Readers that follow the dashboard, once they have begun."""
    admin_key = (home / "admin.key").read_text().strip()
    command = _command("readers", {"address": server.base_url, "admin-key": admin_key, "readers": READERS})
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(_SETTLE_S)
        yield child
    finally:
        child.kill()
        child.wait()


def _end(readers: subprocess.Popen[str]) -> dict[str, int]:
    """End them, and return what they have seen."""
    readers.terminate()
    told, _ = readers.communicate(timeout=30)
    if readers.returncode:
        raise BenchError(f"the readers ended with status {readers.returncode}")
    seen: dict[str, int] = json.loads(told)
    return seen


def _command(module: str, options: Mapping[str, object]) -> list[str]:
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m", f"tests.bench_store.{module}", *given]
