"""Tests of gateway/supervisor/supervise.py, with real processes and real signals."""

from __future__ import annotations

import asyncio
import os
import signal

from gateway.supervisor.program import BackOff, Program
from gateway.supervisor.supervise import Supervisor
from tests.supervisor.listening import STUBBORN, WAITS, Heard, console, program

_QUICK = BackOff(first_s=0.01, ceiling_s=0.04, stable_s=60)


def _supervisor(heard: Heard, *programs: Program) -> Supervisor:
    async def all_ready() -> None:
        heard.write("everything is ready\n")

    names = [each.name for each in programs]
    return Supervisor(programs, console(heard, *names), backoff=_QUICK, on_ready=all_ready)


async def test_starts_in_order_and_stops_in_reverse() -> None:
    """Each program starts when the one before it is ready; a signal stops them in reverse order."""
    heard = Heard()
    running = asyncio.create_task(_supervisor(heard, program("model", WAITS), program("gateway", WAITS)).run())
    await heard.until("everything is ready")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0
    assert heard.lines() == [
        "ponder  | starting model",
        "model   | ready",
        "ponder  | starting gateway",
        "gateway | ready",
        "everything is ready",
        "ponder  | SIGTERM: stopping in order; once more kills at once",
        "ponder  | stopping gateway",
        "gateway | goodbye",
        "ponder  | stopping model",
        "model   | goodbye",
    ]


async def test_a_signal_while_starting_stops_what_has_started() -> None:
    """A signal that comes before all are ready stops the first program and never starts the second."""
    heard = Heard()
    slow = program("model", WAITS.replace('print("ready")', 'print("loading")'))
    running = asyncio.create_task(_supervisor(heard, slow, program("gateway", WAITS)).run())
    await heard.until("loading")
    os.kill(os.getpid(), signal.SIGINT)
    assert await asyncio.wait_for(running, 20) == 0
    assert "starting gateway" not in heard.getvalue()
    assert "model   | goodbye" in heard.lines()


async def test_a_stubborn_process_is_killed_after_its_grace() -> None:
    """A process that does not end within its grace is killed."""
    heard = Heard()
    running = asyncio.create_task(_supervisor(heard, program("worker", STUBBORN, grace_s=0.05)).run())
    await heard.until("everything is ready")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0
    assert heard.lines()[-1] == "ponder | worker did not stop; killing it"


async def test_a_second_signal_does_not_wait() -> None:
    """A second signal kills at once what would have had a long grace."""
    heard = Heard()
    running = asyncio.create_task(_supervisor(heard, program("worker", STUBBORN, grace_s=3600)).run())
    await heard.until("everything is ready")
    os.kill(os.getpid(), signal.SIGINT)
    await heard.until("stopping worker")
    os.kill(os.getpid(), signal.SIGINT)
    assert await asyncio.wait_for(running, 20) == 0
    assert "killing what still runs" in heard.getvalue()


async def test_an_essential_program_with_a_wrong_configuration_ends_everything() -> None:
    """When an essential program gives up, the others are stopped and the exit code is 2."""
    heard = Heard()
    broken = program("gateway", "raise SystemExit(2)", is_essential=True)
    supervisor = _supervisor(heard, program("model", WAITS), broken, program("worker", WAITS))
    assert await asyncio.wait_for(supervisor.run(), 20) == 2
    assert "starting worker" not in heard.getvalue()
    assert "model   | goodbye" in heard.lines()
    assert "everything is ready" not in heard.lines()


async def test_the_rest_goes_on_without_a_program_that_is_not_essential() -> None:
    """When a program that is not essential gives up, the others start and go on."""
    heard = Heard()
    running = asyncio.create_task(
        _supervisor(heard, program("worker", "raise SystemExit(2)"), program("gateway", WAITS)).run()
    )
    await heard.until("gateway | ready")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0
    assert "gateway | goodbye" in heard.lines()


async def test_a_crash_before_being_ready_is_started_again() -> None:
    """A program that crashes while it starts is started again, and the next one waits for it."""
    heard = Heard()
    crashing = program("model", "print('boom'); raise SystemExit(1)")
    running = asyncio.create_task(_supervisor(heard, crashing, program("gateway", WAITS)).run())
    await heard.until("boom", times=3)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0
    assert "starting gateway" not in heard.getvalue()
