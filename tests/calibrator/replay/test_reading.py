"""Reading a log, by one process and by several."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from calibrator.replay.log import Log
from calibrator.replay.reading import Follower, read_log
from gateway.errors import NotFound
from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.logged import LoggedDecisions, LoggedPeriod
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from tests.calibrator.replay.traffic import NOON, answered, policy_text, ready_policy, write_site

PERIOD = LoggedPeriod(NOON, NOON + 86_400)


@pytest.fixture
async def decisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoggedDecisions]:
    """A database with what a policy decided, and a configuration with another policy."""
    write_site(tmp_path / "ponder.yaml", newer=policy_text("newer", arms="low medium high"))
    monkeypatch.setenv("PONDER_CONFIG", str(tmp_path / "ponder.yaml"))
    monkeypatch.setenv("PONDER_HOME", str(tmp_path))
    database = locate(f"sqlite:///{tmp_path}/ponder.db")
    await upgrade(f"sqlite:///{tmp_path}/ponder.db")
    sink, connections = open_sink(database), Connections(database, most=1)
    await sink.write([each.record for each in answered(ready_policy(policy_text()), 400)])
    yield LoggedDecisions(connections)
    await sink.close()
    await connections.close()


async def _read(decisions: LoggedDecisions, processes: int | None, told: list[int]) -> Log:
    return await read_log(decisions, PERIOD, Follower("newer", None), told.append, processes=processes)


async def test_several_processes_decide_what_one_does(decisions: LoggedDecisions) -> None:
    """In the same order, and how many are read is told."""
    told: list[int] = []
    alone, shared = await _read(decisions, None, told), await _read(decisions, 2, told)
    assert told == [400, 400]
    assert (alone.arms, alone.cells, alone.left_out) == (shared.arms, shared.cells, shared.left_out)
    for name in ("cell", "arm", "old", "old_row", "new", "new_row", "cost", "latency_s"):
        assert np.array_equal(getattr(alone, name), getattr(shared, name))
    assert alone.arm.size == 400


async def test_a_policy_that_there_is_not_is_told_of_at_once(decisions: LoggedDecisions) -> None:
    """Before anything is read."""
    told: list[int] = []
    with pytest.raises(NotFound, match="older"):
        await read_log(decisions, PERIOD, Follower("older", None), told.append)
    assert told == []
