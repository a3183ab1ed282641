"""Throughput and latency under wrk, the load generator of every figure that is not about streams."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

from tests.bench.processes import BenchError, plain_environment
from tests.bench.servers import CHAT, HERE, LOAD_CORE, Server


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw."""

    requests: int
    duration_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    errors: int

    @property
    def requests_per_s(self) -> float:
        """Answers per second, over all connections."""
        return self.requests / self.duration_s


def parse(output: str) -> Load:
    """Read the line that post.lua prints at the end of a run."""
    found = re.search(r"^RESULT (\{.*\})$", output, re.MULTILINE)
    if found is None:
        raise BenchError(f"wrk printed no result:\n{output[-2000:]}")
    result: dict[str, Any] = json.loads(found[1])
    return Load(
        requests=result["requests"],
        duration_s=result["duration_us"] / 1e6,
        p50_ms=result["p50_us"] / 1e3,
        p90_ms=result["p90_us"] / 1e3,
        p99_ms=result["p99_us"] / 1e3,
        errors=result["errors"],
    )


def press(server: Server, *, connections: int, seconds: int) -> Load:
    """Send the one ask as fast as answers come, from this many connections; an error voids the run."""
    headers = "".join(f"{name}: {value}\n" for name, value in server.headers.items())
    environment = plain_environment(BENCH_BODY=str(server.ask), BENCH_HEADERS=headers)
    wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "post.lua")]
    finished = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(LOAD_CORE), *wrk, server.base_url + CHAT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    if finished.returncode != 0:
        raise BenchError(f"wrk failed against {server.name}: {finished.stderr[-2000:]}")
    load = parse(finished.stdout)
    if load.errors:
        raise BenchError(f"{server.name} failed {load.errors} of {load.requests} requests:\n{server.child.tail()}")
    return load
