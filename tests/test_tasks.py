"""Tests of gateway/tasks.py, with a real worker and a real beat on the filesystem broker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.domain.money import usd
from gateway.domain.record import StoredText
from gateway.errors import ConfigurationError, Unavailable
from gateway.settings import BrokerSettings, RetentionSettings, Settings, places
from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.reconciliations import Kind, Reconciliations
from gateway.store.requests import Requests
from gateway.store.retention import Retention
from gateway.store.rollups import Rollups
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from gateway.store.traffic import Traffic
from gateway.tasks import (
    RECONCILIATION,
    RETENTION,
    ROLLUPS,
    broker_folder,
    build,
    check_broker,
    compare_calls,
    forget,
    sum_up,
)
from tests.store.records import DAY_S, NOON, identity
from tests.store.records import request as record


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own, with an up-to-date database."""
    return {**os.environ, "PONDER_HOME": str(tmp_path), "PONDER_CONFIG": str(tmp_path / "ponder.yaml")}


@contextmanager
def _running(command: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "gateway.cli", command],
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _until(process: subprocess.Popen[str], words: str) -> str:
    """The process's output up to the line that holds ``words``."""
    assert process.stdout is not None
    heard = ""
    for line in process.stdout:
        heard += line
        if words in line:
            return heard
    pytest.fail(f"the process ended without {words!r}:\n{heard}")


def test_a_worker_does_what_is_due_and_stops_in_order(environment: dict[str, str]) -> None:
    """A tick sent through the broker's folder is done by the worker, which SIGTERM ends with exit code 0."""
    where = places(environment)
    app = build(where, Settings())
    asyncio.run(upgrade(f"sqlite:///{where.home / 'ponder.db'}"))
    app.send_task(RETENTION)
    with _running("worker", environment) as worker:
        heard = _until(worker, f"Task {RETENTION}[")
        heard += _until(worker, "succeeded in")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    assert "Warning" not in heard
    assert not list((broker_folder(where) / "messages").iterdir())


def test_beat_starts_and_stops(environment: dict[str, str]) -> None:
    """Beat starts without a schedule file and ends on SIGTERM with exit code 0."""
    with _running("beat", environment) as beat:
        _until(beat, "beat: Starting")
        beat.send_signal(signal.SIGTERM)
        assert beat.wait(20) == 0
    assert {path.name for path in places(environment).home.iterdir()} == {"broker"}


def test_retention_ticks_hourly_and_do_not_pile_up(environment: dict[str, str]) -> None:
    """The retention tick is sent once an hour and expires before the next."""
    entry = build(places(environment), Settings()).conf.beat_schedule[RETENTION]
    assert entry["schedule"].minute == {17}
    assert len(entry["schedule"].hour) == 24
    assert entry["options"]["expires"] < 3600


def test_only_json_is_accepted(environment: dict[str, str]) -> None:
    """Messages are JSON both ways; pickle is not accepted."""
    conf = build(places(environment), Settings()).conf
    assert (conf.accept_content, conf.task_serializer, conf.result_serializer) == (["json"], "json", "json")


def test_the_broker_folder_is_ours_alone(environment: dict[str, str]) -> None:
    """The folder through which ticks travel can be read by its owner alone."""
    where = places(environment)
    build(where, Settings())
    assert [path.stat().st_mode & 0o077 for path in (broker_folder(where), *broker_folder(where).iterdir())] == [0] * 3


def test_a_configured_broker_is_used(environment: dict[str, str]) -> None:
    """PONDER_BROKER_URL comes before ponder.yaml's broker, and either before the folder."""
    settings = Settings(broker=BrokerSettings(url="redis://127.0.0.1:6379/1"))
    assert build(places(environment), settings).conf.broker_url == "redis://127.0.0.1:6379/1"
    environment["PONDER_BROKER_URL"] = "redis://127.0.0.1:6379/2"
    assert build(places(environment), settings).conf.broker_url == "redis://127.0.0.1:6379/2"


def test_an_unreachable_broker_is_named_without_its_password(environment: dict[str, str]) -> None:
    """A broker that does not answer is reported by its address, the password left out."""
    environment["PONDER_BROKER_URL"] = "amqp://user:secret@127.0.0.1:9//"
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9.* cannot be reached") as raised:
        check_broker(places(environment), Settings())
    assert "secret" not in str(raised.value)


async def test_retention_deletes_what_is_old_and_keeps_the_rest(tmp_path: Path) -> None:
    """Requests and texts beyond their days go, younger ones stay, and a second tick finds nothing to do."""
    url = f"sqlite:///{tmp_path / 'ponder.db'}"
    await upgrade(url)
    text = StoredText(b"question", b"answer")
    ages_days = {1: 91, 2: 89, 3: 8, 4: 6}
    sink = open_sink(locate(url))
    await sink.write([record(number, started_at=NOON - age * DAY_S, text=text) for number, age in ages_days.items()])
    await sink.close()
    for _ in range(2):
        await forget(Retention(locate(url)), RetentionSettings(), now=NOON, for_at_most_s=10)
    requests = Requests(locate(url))
    found = {number: await requests.find(identity(number, NOON - age * DAY_S)) for number, age in ages_days.items()}
    await requests.close()
    assert {number: kept.text for number, kept in found.items() if kept is not None} == {2: None, 3: None, 4: text}


async def test_retention_takes_a_database_without_tables_for_a_misconfiguration(tmp_path: Path) -> None:
    """On a database that was never migrated, the tick says what to run."""
    store = Retention(locate(f"sqlite:///{tmp_path / 'ponder.db'}"))
    with pytest.raises(ConfigurationError, match="ponder db upgrade"):
        await forget(store, RetentionSettings(), now=time.time(), for_at_most_s=10)


async def test_yesterdays_requests_are_compared_with_their_calls_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The tick stores what it found under yesterday and warns with figures; a second tick finds it done."""
    url = f"sqlite:///{tmp_path / 'ponder.db'}"
    await upgrade(url)
    sink = open_sink(locate(url))
    await sink.write([record(1), record(2, cost=usd("0.000125"))])
    await sink.close()
    for now in (NOON + DAY_S, NOON + DAY_S + 3600):
        await compare_calls(Reconciliations(locate(url)), now=now, for_at_most_s=10)
    results = Reconciliations(locate(url))
    (found,) = await results.recent(limit=10)
    await results.close()
    assert (found.day, found.kind, found.finished_at) == ("2026-11-22", Kind.CALLS, NOON + DAY_S)
    assert (found.finding.compared, found.finding.differing) == (2, 1)
    (warning,) = [line.message for line in caplog.records if line.levelname == "WARNING"]
    assert warning == (
        "reconciliation: 1 of 2 requests of 2026-11-22 cost something else than their calls, by $0.000002 in all: "
        f"request_id {identity(2)}, key_id default, request_usd 0.000125, calls_usd 0.000123"
    )


async def test_a_check_that_was_broken_off_is_done_again(tmp_path: Path) -> None:
    """A tick whose worker died leaves an unfinished check, which the next tick finishes."""
    url = f"sqlite:///{tmp_path / 'ponder.db'}"
    await upgrade(url)
    results = Reconciliations(locate(url))
    assert await results.begin("2026-11-22", Kind.CALLS, now=NOON + DAY_S)
    await compare_calls(Reconciliations(locate(url)), now=NOON + DAY_S + 3600, for_at_most_s=10)
    assert await results.is_finished("2026-11-22", Kind.CALLS)
    await results.close()


def test_the_books_are_looked_at_every_hour(environment: dict[str, str]) -> None:
    """A night without a worker is made up for: the tick comes hourly, and does not pile up."""
    entry = build(places(environment), Settings()).conf.beat_schedule[RECONCILIATION]
    assert (entry["schedule"].minute, len(entry["schedule"].hour)) == ({23}, 24)
    assert entry["options"]["expires"] < 3600


def test_traffic_is_summed_up_thrice_a_minute(environment: dict[str, str]) -> None:
    """The tick that keeps the dashboard's sums comes every 20 seconds, and does not pile up."""
    entry = build(places(environment), Settings()).conf.beat_schedule[ROLLUPS]
    assert entry["schedule"] == entry["options"]["expires"] == 20


async def test_sums_that_take_too_long_are_left_to_the_next_tick(tmp_path: Path) -> None:
    """A tick without time ends quietly with its connections closed, and the next one makes up for it."""
    url = f"sqlite:///{tmp_path / 'ponder.db'}"
    await upgrade(url)
    sink = open_sink(locate(url))
    await sink.write([record(started_at=NOON)])
    await sink.close()
    for seconds, count in ((0.0, 0), (30.0, 1)):
        store = Rollups(Connections(locate(url), most=1))
        await sum_up(store, now=NOON + 60, kept_since=0.0, for_at_most_s=seconds)
        connections = Connections(locate(url), most=1)
        assert sum(each.count for each in await Traffic(connections).hours(0.0, NOON + DAY_S)) == count
        await connections.close()
