"""Processes that compare: asked, killed when late, replaced, and never outliving their use."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from gateway.adapters.graders.workers import Workers
from gateway.errors import Unavailable
from tests.processes import leaders, until

AMPLE_S = 60.0
BACKTRACKS = {"schema": '{"pattern": "^(x+x+)+y$"}', "text": '"' + "x" * 100 + '"'}
QUICK = {"pattern": "^a+$", "text": "aaa"}


async def _ask(workers: Workers, job: dict[str, object], limit_s: float = AMPLE_S) -> dict[str, object]:
    return await workers.ask(job, limit_s=limit_s, deadline_s=AMPLE_S)


async def test_a_process_is_started_once_and_kept() -> None:
    """The first job starts a process, the next ones find it; closing ends it."""
    before = leaders(os.getpid())
    workers = Workers("rules", most=2)
    assert leaders(os.getpid()) == before
    assert await _ask(workers, QUICK) == {"holds": True}
    started = leaders(os.getpid()) - before
    assert len(started) == 1
    assert await _ask(workers, QUICK | {"text": "b"}) == {"holds": False}
    assert leaders(os.getpid()) - before == started
    await workers.close()
    await until(lambda: not leaders(os.getpid()) - before)


async def test_a_late_process_is_killed_and_replaced() -> None:
    """A job without end is refused at its limit, its process is gone, and the next job is served."""
    before = leaders(os.getpid())
    workers = Workers("rules", most=1)
    with pytest.raises(Unavailable, match=r"checking rules took longer than the 0\.2 s that it had"):
        await _ask(workers, BACKTRACKS, limit_s=0.2)
    await until(lambda: not leaders(os.getpid()) - before)
    assert await _ask(workers, QUICK) == {"holds": True}
    await workers.close()


async def test_a_cancelled_job_leaves_no_process() -> None:
    """When a search drops an answer, what compares it is stopped at once, as it may take for ever."""
    before = leaders(os.getpid())
    workers = Workers("rules", most=1)
    assert await _ask(workers, QUICK) == {"holds": True}
    asking = asyncio.ensure_future(_ask(workers, BACKTRACKS))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: not leaders(os.getpid()) - before)
    await workers.close()


async def test_a_process_that_died_while_idle_is_replaced() -> None:
    """A job is asked again of a new process, if the one that it was given to is gone."""
    before = leaders(os.getpid())
    workers = Workers("rules", most=1)
    assert await _ask(workers, QUICK) == {"holds": True}
    (idle,) = leaders(os.getpid()) - before
    os.kill(idle, signal.SIGKILL)
    await until(lambda: idle not in leaders(os.getpid()))
    assert await _ask(workers, QUICK) == {"holds": True}
    await workers.close()


async def test_no_more_processes_than_places() -> None:
    """Jobs beyond the number of processes wait for their turn, and all are served."""
    before = leaders(os.getpid())
    workers = Workers("rules", most=2)
    said = await asyncio.gather(*(_ask(workers, QUICK) for _ in range(20)))
    assert said == [{"holds": True}] * 20
    assert len(leaders(os.getpid()) - before) <= 2
    await workers.close()


async def test_waiting_for_a_place_counts() -> None:
    """A job that gets no process before its deadline is refused."""
    workers = Workers("rules", most=1)
    first = asyncio.ensure_future(_ask(workers, BACKTRACKS, limit_s=1.0))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match=r"0\.05 s"):
        await workers.ask(QUICK, limit_s=AMPLE_S, deadline_s=0.05)
    with pytest.raises(Unavailable):
        await first
    await workers.close()


async def test_a_family_that_does_not_exist_cannot_be_asked() -> None:
    """A process that does not come up is said to, and not asked again and again."""
    workers = Workers("poetry", most=1)
    with pytest.raises(Unavailable, match="the process that checks poetry could not be started"):
        await _ask(workers, QUICK)
    await workers.close()


async def test_memory_has_an_end() -> None:
    """A job that takes more than its process may have is undecided, and the process goes on."""
    workers = Workers("rules", most=1)
    huge = {"schema": "true", "text": "[" + "{}," * 16_000_000 + "1]"}
    assert "undecided" in await _ask(workers, huge)
    assert await _ask(workers, QUICK) == {"holds": True}
    await workers.close()
