"""The processes of a benchmark: started on one core, watched through /proc, ended whatever happens."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class BenchError(Exception):
    """A benchmark that cannot be run; the message says why."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process of ours, leader of its own group."""

    process: subprocess.Popen[bytes]
    log: Path

    def cpu_s(self) -> float:
        """User and system seconds spent so far by the whole group."""
        return sum(int(stat[11]) + int(stat[12]) for stat in self._stats()) / _TICKS_PER_SECOND

    def resident_mib(self) -> float:
        """Resident memory of the whole group."""
        return sum(int(stat[21]) for stat in self._stats()) * _PAGE_BYTES / 2**20

    def _stats(self) -> Iterator[list[str]]:
        """The fields of /proc/PID/stat from the third on, for each living process of the group."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == self.process.pid:
                yield fields

    def tail(self) -> str:
        """The end of what it wrote, for an error message."""
        return self.log.read_text("utf-8", "replace")[-2000:]


@contextmanager
def running(
    command: Sequence[str], *, core: int, environment: Mapping[str, str], folder: Path, log_name: str
) -> Iterator[Child]:
    """Run a command pinned to one core; it ends with this context, or with the harness if that is killed."""
    # setpriv's pdeathsig covers the one case that `finally` cannot: a SIGKILL of the harness.
    pinned = ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(core), *command]
    log = folder / f"{log_name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Child(process, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, and after five seconds insist."""
    for demand, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, demand)
        except ProcessLookupError:
            break
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def plain_environment(**additions: str) -> dict[str, str]:
    """An environment without the caller's keys and settings, which would change what is measured."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **additions}


def answer_of(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Send one POST to a server of ours; its status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, dict(headers))
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def wait_for_answer(
    child: Child,
    port: int,
    path: str,
    body: bytes,
    *,
    headers: Callable[[], Mapping[str, str]],
    patience_s: float,
) -> None:
    """Return as soon as the server answers with 200; raise BenchError if it dies or never does."""
    give_up = time.monotonic() + patience_s
    last = "no connection"
    while time.monotonic() < give_up:
        if child.process.poll() is not None:
            raise BenchError(f"it ended with status {child.process.returncode}:\n{child.tail()}")
        try:
            status, content = answer_of(port, path, body, headers())
        except (OSError, http.client.HTTPException) as fault:
            last = str(fault)
        else:
            if status == 200:
                return
            last = f"status {status}: {content[:500].decode('utf-8', 'replace')}"
        time.sleep(0.005)
    raise BenchError(f"no answer within {patience_s:g} s; last: {last}\n{child.tail()}")
