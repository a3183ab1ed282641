"""Tests of gateway/supervisor/keeper.py, with real processes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from gateway.supervisor.keeper import Keeper, answers
from gateway.supervisor.program import AnswersHttp, BackOff, Program
from gateway.supervisor.tether import tether
from tests.supervisor.listening import STUBBORN, WAITS, Heard, console, program

_QUICK = BackOff(first_s=0.01, ceiling_s=0.04, stable_s=60)


def _keeper(heard: Heard, kept: Program, backoff: BackOff = _QUICK) -> Keeper:
    return Keeper(kept, console(heard, kept.name), backoff, tether(), lambda: None)


async def test_a_crashed_process_is_started_again_with_growing_pauses() -> None:
    """A process that crashes is started again, and the log says why and after how long."""
    heard = Heard()
    keeper = _keeper(heard, program("model", "import sys; print('crash'); sys.exit(7)"))
    task = asyncio.create_task(keeper.keep())
    await heard.until("starting it again in 0.04 s")
    keeper.stop()
    await task
    said = [line for line in heard.lines() if "exited with" in line]
    assert said[:3] == [
        f"ponder | model exited with code 7; starting it again in {s} s" for s in ("0.01", "0.02", "0.04")
    ]


async def test_a_configuration_error_is_final() -> None:
    """A process that exits with code 2 is given up at once."""
    heard = Heard()
    keeper = _keeper(heard, program("gateway", "import sys; print('no such key'); sys.exit(2)"))
    await asyncio.wait_for(keeper.keep(), 20)
    assert keeper.is_given_up
    assert heard.lines()[0] == "gateway | no such key"
    assert "is not started again" in heard.lines()[1]


async def test_a_command_that_does_not_exist_is_tried_again() -> None:
    """A command that cannot be started is reported and tried again like a crash."""
    heard = Heard()
    absent = Program(
        "worker", ("/nonexistent/ponder",), AnswersHttp("127.0.0.1", 1, "/"), is_essential=False, environment={}
    )
    keeper = _keeper(heard, absent)
    task = asyncio.create_task(keeper.keep())
    await heard.until("worker cannot be started: No such file or directory", times=2)
    keeper.stop()
    await task


async def test_stopping_during_a_pause_ends_the_pause() -> None:
    """A stop that comes between two lives does not wait for the pause to end."""
    heard = Heard()
    keeper = _keeper(heard, program("model", "raise SystemExit(1)"), BackOff(first_s=3600))
    task = asyncio.create_task(keeper.keep())
    await heard.until("starting it again in 3600 s")
    keeper.stop()
    await asyncio.wait_for(task, 20)


async def test_ready_once_the_line_is_printed() -> None:
    """A program is ready when its output holds the awaited words, and ends on SIGTERM."""
    heard = Heard()
    keeper = _keeper(heard, program("beat", WAITS))
    task = asyncio.create_task(keeper.keep())
    await asyncio.wait_for(keeper.ready.wait(), 20)
    assert keeper.child is not None
    keeper.stop()
    await task
    assert heard.lines() == ["beat   | ready", "beat   | goodbye"]
    assert keeper.child is None


async def test_ready_once_http_answers() -> None:
    """A program is ready when its address answers 200, and not while it refuses or answers otherwise."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if b" /ready " in request else b"HTTP/1.1 503 Busy\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await answers(AnswersHttp("127.0.0.1", port, "/ready"))
        assert not await answers(AnswersHttp("127.0.0.1", port, "/busy"))
    assert not await answers(AnswersHttp("127.0.0.1", port, "/ready"))


async def test_an_overlong_line_is_passed_on_in_pieces() -> None:
    """Output without line ends does not pile up in memory, and none of it is lost."""
    heard = Heard()
    source = "import sys; sys.stdout.write('x' * 300_000); print('ready'); raise SystemExit(2)"
    await _keeper(heard, program("model", source)).keep()
    assert heard.getvalue().count("x") == 300_000
    assert max(map(len, heard.lines())) < 200_000


async def test_what_a_process_leaves_behind_is_killed(tmp_path: Path) -> None:
    """A grandchild that holds the output open neither delays the restart nor survives its parent."""
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    lingering = f"import signal; held = open({str(alive)!r}, 'w'); print('grandchild', flush=True); signal.pause()"
    source = f"""
        import subprocess
        child = subprocess.Popen([{sys.executable!r}, "-S", "-c", {lingering!r}], stdout=subprocess.PIPE)
        child.stdout.readline()
        raise SystemExit(2)
    """
    until_closed = asyncio.create_task(asyncio.to_thread(alive.read_text))
    heard = Heard()
    await asyncio.wait_for(_keeper(heard, program("model", source)).keep(), 20)
    assert await asyncio.wait_for(until_closed, 20) == ""


async def test_killing_ends_a_process_that_ignores_sigterm() -> None:
    """A process that ignores SIGTERM ends when it is killed."""
    heard = Heard()
    keeper = _keeper(heard, program("worker", STUBBORN))
    task = asyncio.create_task(keeper.keep())
    await asyncio.wait_for(keeper.ready.wait(), 20)
    keeper.stop()
    keeper.kill()
    await asyncio.wait_for(task, 20)
