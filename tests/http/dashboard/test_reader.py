"""The dashboard's own process: there while somebody looks, behind the gateway, and never in its way."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError, Unavailable
from gateway.http.dashboard.reader import Reader
from tests.http.dashboard.browser import Browser
from tests.http.dashboard.seeding import CONFIGURATION, seed
from tests.processes import leaders, members, until
from tests.upstreams.gateway_process import GatewayProcess

Opens = Callable[..., Reader]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a week's traffic."""
    home = tmp_path_factory.mktemp("reader") / "home"
    seed(home, time.time())
    return f"sqlite:///{home}/ponder.db"


@pytest.fixture
async def opens(url: str) -> AsyncIterator[Opens]:
    """Opens readers, and closes them."""
    opened: list[Reader] = []

    def reader(address: str = url, **terms: float) -> Reader:
        opened.append(Reader(address, **terms))
        return opened[-1]

    yield reader
    for each in opened:
        await each.close()


def _started(before: set[int]) -> set[int]:
    return leaders(os.getpid()) - before


def _told(process: int, what: str) -> bytes:
    return Path(f"/proc/{process}/{what}").read_bytes()


async def test_it_is_there_while_somebody_looks(opens: Opens) -> None:
    """The first look starts it, the next ones find it, and closing ends it; a reader that never looked has none."""
    before = leaders(os.getpid())
    reader, unused = opens(), opens()
    assert not _started(before)
    assert "7 under way here" in await reader.draw("live", under_way=7)
    assert len(started := _started(before)) == 1
    assert await reader.draw("durations")
    assert _started(before) == started
    await reader.close()
    await unused.close()
    assert not _started(before)


async def test_many_looks_at_once_share_it(opens: Opens) -> None:
    """Each gets its own answer, and one process is started for all of them."""
    before, reader = leaders(os.getpid()), opens()
    drawn = await asyncio.gather(*(reader.draw("live", under_way=number) for number in range(20)))
    assert [f"{number} under way here" in each for number, each in enumerate(drawn)] == [True] * 20
    assert len(_started(before)) == 1


async def test_it_stands_behind_the_gateway_and_knows_no_secret(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its priority is lower than the gateway's, its command line names no database, and it has no provider's key."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-provider")
    before, reader = leaders(os.getpid()), opens()
    await reader.draw("durations")
    (process,) = _started(before)
    assert os.getpriority(os.PRIO_PROCESS, process) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    assert b"sqlite" not in _told(process, "cmdline")
    assert b"sk-of-a-provider" not in _told(process, "environ")


async def test_one_that_was_killed_is_replaced(opens: Opens) -> None:
    """Killed while idle or under way, the look after it and the looks that it took along are answered."""
    before, reader = leaders(os.getpid()), opens()
    await reader.draw("durations")
    (first,) = _started(before)
    os.kill(first, signal.SIGKILL)
    assert await reader.draw("durations")
    (second,) = _started(before)
    os.kill(second, signal.SIGSTOP)
    waiting = asyncio.create_task(reader.draw("live", under_way=3))
    await asyncio.sleep(0.1)
    os.kill(second, signal.SIGKILL)
    assert "3 under way here" in await waiting
    assert second not in _started(before)


async def test_it_ends_when_nobody_looks(opens: Opens) -> None:
    """Without a look for that long it is gone, and is started again by the next one."""
    before, reader = leaders(os.getpid()), opens(idle_s=0.5)
    await reader.draw("durations")
    await until(lambda: not _started(before))
    assert await reader.draw("durations")


async def test_one_that_is_slow_is_not_waited_for(opens: Opens) -> None:
    """A look ends with a word of why when its time is over, and the next ones are answered."""
    before, reader = leaders(os.getpid()), opens(patience_s=3.0)
    await reader.draw("durations")
    (process,) = _started(before)
    os.kill(process, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="took longer than 3 s"):
        await reader.draw("durations")
    os.kill(process, signal.SIGCONT)
    assert "5 under way here" in await reader.draw("live", under_way=5)


async def test_what_the_database_refuses_is_told_as_ever(opens: Opens, tmp_path: Path) -> None:
    """A database without our tables is a matter of configuration, told by the same words as everywhere."""
    (tmp_path / "empty.db").touch()
    with pytest.raises(ConfigurationError, match="does not have the tables of this release"):
        await opens(f"sqlite:///{tmp_path}/empty.db").draw("live", under_way=0)


async def test_a_fault_of_ours_ends_nothing_else(opens: Opens, caplog: pytest.LogCaptureFixture) -> None:
    """A view that fails is told in the log without its values, and the process goes on."""
    before, reader = leaders(os.getpid()), opens()
    with pytest.raises(Unavailable, match="'spending' cannot be drawn"):
        await reader.draw("spending", by="a secret")
    assert "failed with KeyError" in caplog.text
    assert "views.py" in caplog.text
    assert "a secret" not in caplog.text
    (process,) = _started(before)
    assert await reader.draw("spending", by="key")
    assert _started(before) == {process}


async def test_one_that_cannot_begin_is_left_alone_for_a_while(opens: Opens, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever ends it as it begins is told once by its own words, and not tried again with each look."""
    reader = opens("nonsense://nowhere")
    for _ in range(3):
        with pytest.raises(Unavailable, match="ended as it began") as refused:
            await reader.draw("durations")
        assert 0 < (refused.value.retry_after_s or 0) <= 5
    assert capfd.readouterr().err.count("the database address begins with nonsense") == 1


async def test_it_ends_with_a_gateway_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL leaves the gateway no word to say; its dashboard's process is gone all the same."""
    with GatewayProcess(tmp_path / "home", CONFIGURATION, {}) as gateway:
        before = leaders(gateway.pid)
        await asyncio.to_thread(_look, gateway)
        (process,) = leaders(gateway.pid) - before
        gateway.send_signal(signal.SIGKILL)
        await until(lambda: process not in members(process))


def _look(gateway: GatewayProcess) -> None:
    browser = Browser(gateway.address)
    assert browser.sign_in((gateway.home / "admin.key").read_text().strip()).status_code == 303
    assert browser.get("/dashboard").status_code == 200
