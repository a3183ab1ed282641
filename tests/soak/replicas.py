"""Throughput against the number of gateways, on one PostgreSQL and one Redis, all on the cores of one machine."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import Load, parse
from tests.bench.processes import BenchError, plain_environment
from tests.bench.servers import CHAT, HERE
from tests.soak.chaos import AMPLE_USD, keys_of
from tests.soak.installation import Installation, installed
from tests.soak.load import Kind, body_of

_CONNECTIONS = 32
_WARM_UP_S, _SECONDS, _ROUNDS = 2, 8, 3


@dataclass(frozen=True, slots=True)
class Throughput:
    """What so many gateways did together in the best of some rounds."""

    gateways: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """The gateways' own processor time per request."""
    cores_busy: float
    """How many cores' time the gateways had."""
    others_busy: float
    """How many cores' time everything else had: clients, provider, relays, Redis, PostgreSQL."""


def measure(folder: Path, counts: Sequence[int], say: Callable[[str], None]) -> list[Throughput]:
    """Measure installations of these sizes, one after the other."""
    found = []
    for count in counts:
        with installed(folder / str(count), gateways=count, workers=0) as installation:
            found.append(_measure(installation, count))
        say(f"{count} gateways: {found[-1].requests_per_s:,.0f} requests/s, {found[-1].cpu_us:,.0f} µs CPU each")
    return found


def _measure(installation: Installation, count: int) -> Throughput:
    (key,) = keys_of(installation, AMPLE_USD)
    addresses = [each.address for each in installation.gateways]
    _press(addresses, key.secret, _WARM_UP_S)
    return max((_round(installation, addresses, key.secret, count) for _ in range(_ROUNDS)), key=_rate)


def _rate(found: Throughput) -> float:
    return found.requests_per_s


def _round(installation: Installation, addresses: Sequence[str], secret: str, count: int) -> Throughput:
    spent_s = -sum(gateway.cpu_s() for gateway in installation.gateways)
    busy_s = -_busy_s()
    loads = _press(addresses, secret, _SECONDS)
    spent_s += sum(gateway.cpu_s() for gateway in installation.gateways)
    busy_s += _busy_s()
    requests = sum(load.requests for load in loads)
    took_s = max(load.duration_s for load in loads)
    return Throughput(
        gateways=count,
        requests_per_s=requests / took_s,
        p50_ms=max(load.p50_ms for load in loads),
        p99_ms=max(load.p99_ms for load in loads),
        cpu_us=spent_s * 1e6 / requests,
        cores_busy=spent_s / took_s,
        others_busy=(busy_s - spent_s) / took_s,
    )


def _busy_s() -> float:
    """Seconds that all cores together have worked since the machine started."""
    fields = Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:]
    user, nice, system, _, _, interrupts, soft = map(int, fields[:7])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def _press(addresses: Sequence[str], secret: str, seconds: int) -> list[Load]:
    """Ask all gateways as fast as they answer, the connections shared out among them; an error voids the run."""
    headers = f"authorization: Bearer {secret}\ncontent-type: application/json\n"
    with tempfile.NamedTemporaryFile(prefix="ponder-ask-", suffix=".json") as file:
        file.write(body_of(Kind.WHOLE, 1))
        file.flush()
        environment = plain_environment(BENCH_BODY=file.name, BENCH_HEADERS=headers)
        connections = f"-c{_CONNECTIONS // len(addresses)}"
        options = ["wrk", "-t1", connections, f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "post.lua")]
        running = [
            subprocess.Popen([*options, address + CHAT], env=environment, stdout=subprocess.PIPE, text=True)
            for address in addresses
        ]
        loads = [parse(each.communicate(timeout=seconds + 60)[0]) for each in running]
    if failed := sum(load.errors for load in loads):
        raise BenchError(f"{failed} of {sum(load.requests for load in loads)} requests failed")
    return loads


def section(found: Sequence[Throughput], machine: str, versions: str) -> str:
    """The figures as a section of the page."""
    first = found[0]
    rows = "".join(
        f"| {each.gateways} | {each.requests_per_s:,.0f} | {each.requests_per_s / first.requests_per_s:.2f} "
        f"| {each.p50_ms:.1f} | {each.p99_ms:.1f} | {each.cpu_us:,.0f} | {each.cores_busy:.2f} "
        f"| {each.others_busy:.2f} |\n"
        for each in found
    )
    return f"""\
{machine}; {versions}

{_CONNECTIONS} connections in all, {_SECONDS} seconds, the best of {_ROUNDS} rounds; budgets held in Redis, records
in PostgreSQL. Clients, provider, relays, Redis and PostgreSQL are on the same cores as the gateways: once those
are all busy, what tells how far it goes on more machines is the processor time of one request.

| gateways | requests/s | × one | p50 ms | p99 ms | gateways' CPU µs a request | their cores | cores of all else |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}"""
