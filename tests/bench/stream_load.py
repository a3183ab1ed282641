"""A client that holds many SSE streams open at once and notes how late each chunk arrives.

Run as a process of its own, ``python -m tests.bench.stream_load``, so that its work does not delay
the harness; it prints one JSON object. A stream that ends early, fails or loses a chunk is counted
as broken, never left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

import httptools
import uvloop

from tests.bench.paced_mock import CHUNKS, GAP_S
from tests.bench.processes import BenchError, plain_environment
from tests.bench.servers import ASK, CHAT, LOAD_CORE, Server

_STAMP = re.compile(rb"due=(\d+\.\d+) sent=(\d+\.\d+);")
_LONGEST_STAMP = 64
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """Milliseconds at the median, the 99th percentile and the worst."""

    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Streams:
    """What one run over many streams saw.

    ``lateness`` is arrival at the client behind the mock's schedule, over all chunks; ``mock_lag``
    the part of it that the mock itself was late by; ``first_byte`` from sending the ask to the first
    byte of the answer's body.
    """

    streams: int
    broken: int
    chunks: int
    lateness: Distribution
    mock_lag: Distribution
    first_byte: Distribution


@dataclass(frozen=True, slots=True)
class Sighting:
    """One chunk as the client saw it: its stamps and its arrival, all on the shared clock."""

    due: float
    sent: float
    arrived: float


def distribution(seconds: Sequence[float]) -> Distribution:
    """Nearest-rank percentiles, in milliseconds."""
    if not seconds:
        raise BenchError("no stream delivered a single chunk")
    ordered = sorted(seconds)

    def rank(percent: int) -> float:
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] * 1e3

    return Distribution(p50_ms=rank(50), p99_ms=rank(99), max_ms=ordered[-1] * 1e3)


def summarise(sightings: Sequence[Sighting], first_bytes: Sequence[float], broken: int) -> Streams:
    """Turn what was seen into figures."""
    return Streams(
        streams=len(first_bytes),
        broken=broken,
        chunks=len(sightings),
        lateness=distribution([seen.arrived - seen.due for seen in sightings]),
        mock_lag=distribution([seen.sent - seen.due for seen in sightings]),
        first_byte=distribution(first_bytes),
    )


class StampReader:
    """Finds the stamps in a body that arrives in pieces cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, body: bytes) -> list[tuple[float, float]]:
        """The stamps completed by this piece: due and sent."""
        text = self._rest + body
        end = 0
        stamps = []
        for found in _STAMP.finditer(text):
            stamps.append((float(found[1]), float(found[2])))
            end = found.end()
        self._rest = text[max(end, len(text) - _LONGEST_STAMP) :]
        return stamps

    def has_ended(self) -> bool:
        """Whether the last thing read is the stream's terminal event."""
        return b"data: [DONE]" in self._rest


class _Client(asyncio.Protocol):
    """One connection, asking for one stream after another until its time is up."""

    def __init__(self, request: bytes, record: _Record, stop_at: float, done: asyncio.Future[None]) -> None:
        self._request = request
        self._record = record
        self._stop_at = stop_at
        self._done = done
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._reader = StampReader()
        self._chunks = 0
        self._has_begun = False
        self._asked = time.monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._arrived = time.monotonic()
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Note the stamps of one piece; called by the parser."""
        if not self._has_begun:
            self._has_begun = True
            self._record.first_bytes.append(self._arrived - self._asked)
        for due, sent in self._reader.feed(body):
            self._chunks += 1
            self._record.sightings.append(Sighting(due, sent, self._arrived))

    def on_message_complete(self) -> None:
        """Judge the finished stream and ask for the next; called by the parser."""
        is_whole = self._parser.get_status_code() == 200 and self._chunks == CHUNKS and self._reader.has_ended()
        self._record.broken += not is_whole
        if time.monotonic() < self._stop_at:
            self._ask()
        elif not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._record.broken += 1
            self._done.set_result(None)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class _Record:
    """What all connections saw together."""

    def __init__(self) -> None:
        self.sightings: list[Sighting] = []
        self.first_bytes: list[float] = []
        self.broken = 0


async def _load(port: int, headers: dict[str, str], connections: int, seconds: float, ramp_s: float) -> Streams:
    body = json.dumps({**json.loads(ASK), "stream": True}, separators=(",", ":")).encode()
    fields = {**headers, "host": f"127.0.0.1:{port}", "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    request = f"POST {CHAT} HTTP/1.1\r\n{head}\r\n".encode() + body
    record = _Record()
    loop = asyncio.get_running_loop()
    started = time.monotonic()

    async def hold_one(position: int) -> None:
        await asyncio.sleep(ramp_s * position / connections)
        done: asyncio.Future[None] = loop.create_future()
        _, client = await loop.create_connection(
            lambda: _Client(request, record, started + seconds, done), "127.0.0.1", port
        )
        try:
            await asyncio.wait_for(done, seconds + _PATIENCE_S)
        except TimeoutError:
            record.broken += 1
        client.close()

    await asyncio.gather(*(hold_one(position) for position in range(connections)))
    return summarise(record.sightings, record.first_bytes, record.broken)


def press_streams(server: Server, *, connections: int, seconds: int, at_once: bool) -> Streams:
    """Hold this many streams open for a while, begun evenly over one stream's length or all at once."""
    ramp_s = 0.0 if at_once else CHUNKS * GAP_S
    options = {"port": server.port, "connections": connections, "seconds": seconds, "ramp": ramp_s}
    finished = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(LOAD_CORE), sys.executable, "-m", __spec__.name]
        + [f"--{name}={value}" for name, value in options.items()],
        env=plain_environment(BENCH_HEADERS=json.dumps(dict(server.headers))),
        capture_output=True,
        text=True,
        timeout=seconds + 2 * _PATIENCE_S,
        check=False,
    )
    if finished.returncode != 0:
        raise BenchError(f"the stream client failed against {server.name}: {finished.stderr[-2000:]}")
    result = json.loads(finished.stdout)
    return Streams(
        streams=result["streams"],
        broken=result["broken"],
        chunks=result["chunks"],
        lateness=Distribution(**result["lateness"]),
        mock_lag=Distribution(**result["mock_lag"]),
        first_byte=Distribution(**result["first_byte"]),
    )


def main() -> None:
    """Run the load that the command line describes and print what it saw."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--connections", type=int, required=True)
    options.add_argument("--seconds", type=float, required=True)
    options.add_argument("--ramp", type=float, required=True)
    chosen = options.parse_args()
    headers = json.loads(os.environ["BENCH_HEADERS"])
    seen = uvloop.run(_load(chosen.port, headers, chosen.connections, chosen.seconds, chosen.ramp))
    json.dump(asdict(seen), sys.stdout)


if __name__ == "__main__":
    main()
