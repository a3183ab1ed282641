"""The tick that measures: begins what is due, takes part in what is open, and is missed by nobody when it is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from calibrator.running import Runs, Wish
from calibrator.tasks import TICKS
from calibrator.ticks.measuring import begin_due, is_due, tick
from gateway.domain.experiment import ExperimentStanding, ExperimentState
from gateway.domain.key import Role
from gateway.domain.rollout import CALIBRATOR
from gateway.domain.tenancy import Author
from gateway.settings import Places, Settings, load, places
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.tasks import build
from tests.calibrator.scripted import ScriptedServer, environment, policy, site
from tests.store.profiles import document
from tests.store.tenants import OPERATOR
from tests.upstreams.gateway_process import GatewayProcess, awaited

DAY_S = 86_400.0
(MEASURING,) = [each for each in TICKS if each.module == "calibrator.ticks.measuring"]


def right(model: str, number: int) -> bool:
    """The cheap model is wrong now and then."""
    return model != "cheap" or number % 10 > 0


async def _begun(runs: Runs) -> ExperimentStanding:
    return await runs.begin(await runs.plan(Wish("work")))


class Site:
    """A gateway with a policy, and what a worker beside it works with."""

    def __init__(self, gateway: GatewayProcess, server: ScriptedServer) -> None:
        self.gateway = gateway
        self.server = server
        self.environment = environment(gateway)
        self.where: Places = places(self.environment)
        self.settings: Settings = load(self.where.config)

    async def on_runs(self, work: Callable[[Runs], Any]) -> Any:
        """What comes of work on the runs."""
        runs = Runs(self.where, self.settings, self.environment, actor=CALIBRATOR)
        try:
            return await work(runs)
        finally:
            await runs.close()

    async def begun(self) -> ExperimentStanding:
        """A run that an operator began, and left."""
        found: ExperimentStanding = await self.on_runs(_begun)
        return found

    async def standing(self, run_id: str) -> ExperimentStanding:
        """How a run is."""
        found: ExperimentStanding = await self.on_runs(lambda runs: runs.find(run_id))
        return found

    def sql(self, statement: str) -> list[Any]:
        """What the database says."""
        with closing(sqlite3.connect(self.where.home / "ponder.db", timeout=30)) as database:
            rows = database.execute(statement).fetchall()
            database.commit()
            return rows


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site whose surroundings this process has too, as a worker has."""
    with site(tmp_path, right, items=60) as (gateway, server):
        for name, value in environment(gateway).items():
            monkeypatch.setenv(name, value)
        yield Site(gateway, server)


async def test_ticks_bring_a_run_to_its_end(beside: Site) -> None:
    """Two at once share it: no pair is asked twice, and one of them publishes or explains."""
    begun = await beside.begun()
    run_id = begun.experiment.id
    for _ in range(20):
        await asyncio.gather(tick(beside.where, beside.settings), tick(beside.where, beside.settings))
        standing = await beside.standing(run_id)
        if standing.state.is_end:
            break
    assert standing.state in (ExperimentState.PUBLISHED, ExperimentState.UNCHANGED)
    assert len(beside.server.asked) == len(set(beside.server.asked)) > 0
    assert beside.sql("select count(*) from measurement_holds") == [(0,)]
    asked = len(beside.server.asked)
    await tick(beside.where, beside.settings)
    assert len(beside.server.asked) == asked


async def test_a_policy_is_due_when_its_time_has_passed_since_the_last_run(beside: Site) -> None:
    """Never before an operator's first run, nor while one is open; then as often as the policy says."""
    of = policy()["calibrate"]

    async def due(now: float) -> bool:
        documents = await beside.on_runs(lambda runs: _due(runs, now))
        return bool(documents)

    assert of["every"] == "1d"
    assert not await due(time.time() + 9 * DAY_S)
    begun = await beside.begun()
    assert not await due(time.time() + 9 * DAY_S)
    await beside.on_runs(lambda runs: runs.experiments.cancel(begun.experiment.id, note="enough", now=time.time()))
    assert not await due(time.time() + 0.9 * DAY_S)
    assert await due(time.time() + 1.1 * DAY_S)


async def _due(runs: Runs, now: float) -> bool:
    of = (await runs.policies())["work"].document.calibrate
    assert of is not None
    return await is_due(runs, "work", of, now=now)


async def test_a_profile_that_was_suspended_is_calibrated_anew_at_once(beside: Site) -> None:
    """Where the calibrator took it out of force; where an operator did, nothing is begun."""
    begun = await beside.begun()
    now = time.time()
    await beside.on_runs(lambda runs: runs.experiments.cancel(begun.experiment.id, note="enough", now=now - 60))
    changes = Changes(locate(f"sqlite:///{beside.where.home / 'ponder.db'}"))
    await Profiles(changes).publish(document("work"), number=1, expires_at=now + DAY_S, by=OPERATOR)
    for actor, is_expected in ((OPERATOR.id, False), (CALIBRATOR, True)):
        await Rollouts(changes).activate("work", 1, reason="tried", by=OPERATOR)
        assert not await beside.on_runs(lambda runs: _due(runs, now))
        await Rollouts(changes).roll_back("work", reason="in doubt", by=Author(actor, Role.ADMIN, now))
        assert await beside.on_runs(lambda runs: _due(runs, now)) is is_expected
    await changes.close()


async def test_what_is_due_is_begun_once(beside: Site) -> None:
    """However many ticks find it due; and an imported table is no run to count from."""
    begun = await beside.begun()
    await beside.on_runs(lambda runs: runs.experiments.cancel(begun.experiment.id, note="enough", now=time.time()))
    later = time.time() + 2 * DAY_S

    async def begin(runs: Runs) -> None:
        await asyncio.gather(*(begin_due(runs, now=later) for _ in range(3)))

    await beside.on_runs(begin)
    rows = beside.sql("select state, created_by from experiments order by created_at")
    assert rows == [("cancelled", CALIBRATOR), ("measuring", CALIBRATOR)]


async def test_a_run_that_cannot_go_on_is_told_once_and_left(beside: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Items that changed hold up that run, and not the worker; its note says why, until it goes on."""
    begun = await beside.begun()
    items = beside.gateway.home / "policies" / "work" / "golden" / "items.jsonl"
    before = items.read_text("utf-8")
    items.write_text("{}\n", "utf-8")
    for _ in range(2):
        await tick(beside.where, beside.settings)
    assert caplog.text.count(f"run {begun.experiment.id} of policy work is held up") == 1
    held_up = await beside.standing(begun.experiment.id)
    assert (held_up.state, held_up.owner) == (ExperimentState.MEASURING, None)
    assert held_up.note is not None
    assert "items.jsonl, line 1" in held_up.note
    items.write_text(before, "utf-8")
    await tick(beside.where, beside.settings)
    assert (await beside.standing(begun.experiment.id)).note != held_up.note


@contextmanager
def _worker(beside: Site) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "worker"],
        env={**os.environ, **beside.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_another_worker_goes_on_for_one_that_was_killed(beside: Site) -> None:
    """A real Celery worker dies in the middle of an answer; what it measured stays, and the run comes to its end."""
    begun = asyncio.run(beside.begun())
    app = build(beside.where, beside.settings)
    beside.server.is_open.clear()
    app.send_task(MEASURING.name)
    with _worker(beside) as first:
        awaited(lambda: beside.server.asked, "the first ask", within_s=60)
        first.send_signal(signal.SIGKILL)
    beside.server.is_open.set()
    held = beside.sql("select count(*) from measurement_holds")[0][0]
    assert held > 0
    beside.sql("update measurement_holds set until = 1")

    def has_ended() -> bool:
        app.send_task(MEASURING.name)
        time.sleep(0.5)
        return asyncio.run(beside.standing(begun.experiment.id)).state.is_end

    with _worker(beside):
        awaited(has_ended, "the end of the run", within_s=60)
    kept = beside.sql("select count(*) from measurements")[0][0]
    assert len(beside.server.asked) == kept + held
