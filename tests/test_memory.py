"""What a process remembers between requests, and what it begins with."""

from __future__ import annotations

from pathlib import Path

from gateway.adapters.sticky_memory import MemorySticky
from gateway.adapters.sticky_redis import RedisSticky
from gateway.memory import Memory
from gateway.store.base import locate
from gateway.store.records import Records
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from gateway.store.timings import Timings
from gateway.telemetry import Meter
from tests.flow.turning_clock import TurningClock
from tests.store.records import NOON, request


async def test_a_start_knows_what_the_log_tells(tmp_path: Path) -> None:
    """The arms of past requests have their latencies before the first call of this process."""
    url = f"sqlite:///{tmp_path}/ponder.db"
    await upgrade(url)
    sink = open_sink(locate(url))
    await Records(sink).keep([request(number, started_at=NOON + number, total_s=3.0) for number in range(1, 30)])
    await sink.close()
    memory = Memory(None, TurningClock(), Timings(locate(url)))
    await memory.start()
    found = memory.latencies.snapshot().find("gpt-mini", prompt_tokens=12)
    assert found is not None
    assert (found.total_p95_s, found.samples) == (3.0, 29)
    assert isinstance(memory.sticky, MemorySticky)
    await memory.close()


async def test_a_log_that_cannot_be_read_stops_no_start(tmp_path: Path) -> None:
    """With a database that has no tables nothing is known of arms, and the process starts all the same."""
    memory = Memory(None, TurningClock(), Timings(locate(f"sqlite:///{tmp_path}/ponder.db")))
    await memory.start()
    assert memory.latencies.snapshot().find("gpt-mini", prompt_tokens=12) is None
    await memory.close()


async def test_with_redis_conversations_are_shared(tmp_path: Path) -> None:
    """Where there is a Redis, sticky arms are kept in it, and its failures are exposed."""
    memory = Memory("redis://127.0.0.1:9/0", TurningClock(), Timings(locate(f"sqlite:///{tmp_path}/ponder.db")))
    meter = Meter()
    memory.watch(meter)
    await memory.start()
    assert isinstance(memory.sticky, RedisSticky)
    assert await memory.sticky.get(bytes(16)) is None
    assert "ponder_sticky_failures_total 1.0" in meter.render().decode()
    await memory.close()
