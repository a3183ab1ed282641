"""How long the latest requests took, read back from the log."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.latency import Timing
from gateway.domain.record import Result
from gateway.domain.usage import Usage
from gateway.store.base import Database
from gateway.store.records import Records
from gateway.store.sinks import Sink
from gateway.store.timings import Timings
from tests.store.records import BARE, FULL, NOON, call, request


async def test_a_request_tells_its_time_and_its_calls_their_tokens(sink: Sink, database: Database) -> None:
    """Prompts of several calls are one prompt, their answers add up, and a call without usage counts nothing."""
    await Records(sink).keep([FULL])
    assert await Timings(database).latest(10) == [Timing("default\nstep-up", 10, 5, 6, 0.25, 0.5)]


async def test_draws_of_one_prompt_are_one_prompt(sink: Sink, database: Database) -> None:
    """A search asks the same prompt many times: its length counts once, what was answered counts each time."""
    draws = tuple(call(attempt=1, usage=Usage(input_tokens=100, output_tokens=40, thinking_tokens=7)) for _ in range(3))
    await Records(sink).keep([request(calls=draws)])
    assert await Timings(database).latest(10) == [Timing("gpt-mini", 100, 120, 21, 0.25, 0.5)]


async def test_the_latest_come_oldest_first(sink: Sink, database: Database) -> None:
    """Of many requests the newest are taken, and returned in the order in which they began."""
    seconds = [request(number, started_at=NOON + number, total_s=float(number)) for number in range(1, 8)]
    await Records(sink).keep(seconds)
    found = await Timings(database).latest(3)
    assert [timing.total_s for timing in found] == [5.0, 6.0, 7.0]
    assert {timing.arm for timing in found} == {"gpt-mini"}


async def test_only_what_an_arm_took_its_time_for_counts(sink: Sink, database: Database) -> None:
    """Requests that were refused, failed or left tell nothing; those that ran out of time do."""
    late = request(1, result=Result.TIMED_OUT, status=504, total_s=60.0, calls=(call(usage=None, cost=None),))
    others = [
        request(number, result=result)
        for number, result in enumerate((Result.REFUSED, Result.FAILED, Result.DISCONNECTED, Result.TRUNCATED), 2)
    ]
    await Records(sink).keep([late, *others, BARE])
    assert await Timings(database).latest(10) == [Timing("gpt-mini", 0, 0, 0, 0.25, 60.0)]


async def test_cached_prompt_tokens_are_prompt_tokens(sink: Sink, database: Database) -> None:
    """The whole prompt counts, whatever was cached of it."""
    usage = Usage(input_tokens=1, cached_tokens=20, cache_write_5m_tokens=300, cache_write_1h_tokens=4000)
    await Records(sink).keep([replace(request(), first_byte_s=None, calls=(call(usage=usage),))])
    assert await Timings(database).latest(10) == [Timing("gpt-mini", 4321, 0, 0, None, 0.5)]
