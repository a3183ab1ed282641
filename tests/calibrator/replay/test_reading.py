"""Reading a log, by one process and by several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibrator.replay.log import Log
from calibrator.replay.reading import Follower, read_log
from gateway.errors import NotFound
from gateway.store.base import Database, locate
from gateway.store.connections import Connections
from gateway.store.logged import LoggedPeriod
from gateway.store.outcomes import Outcomes
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from tests.calibrator.replay.traffic import NOON, answered, policy_text, ready_policy, write_site

PERIOD = LoggedPeriod(NOON, NOON + 86_400)


@pytest.fixture
async def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """What a policy decided, and every third answer's label; and a configuration with another policy."""
    write_site(tmp_path / "ponder.yaml", newer=policy_text("newer", arms="low medium high"))
    monkeypatch.setenv("PONDER_CONFIG", str(tmp_path / "ponder.yaml"))
    monkeypatch.setenv("PONDER_HOME", str(tmp_path))
    database = locate(f"sqlite:///{tmp_path}/ponder.db")
    await upgrade(f"sqlite:///{tmp_path}/ponder.db")
    sink, connections = open_sink(database), Connections(database, most=1)
    traffic = list(answered(ready_policy(policy_text()), 400))
    await sink.write([each.record for each in traffic])
    await Outcomes(connections).add([each.outcome(probability=0.5) for each in traffic[::3]])
    await sink.close()
    await connections.close()
    return database


async def _read(database: Database, processes: int | None, told: list[int]) -> Log:
    return await read_log(database, PERIOD, Follower("newer", None), told.append, processes=processes, stretch=150)


async def test_several_processes_read_what_one_does(database: Database) -> None:
    """In the same order, labels among it, and how many are read is told."""
    told: list[int] = []
    alone, shared = await _read(database, 1, told), await _read(database, 2, told)
    assert told == [400, 151, 302, 400]
    assert (alone.arms, alone.cells, alone.sources, alone.left_out) == (
        shared.arms,
        shared.cells,
        shared.sources,
        shared.left_out,
    )
    for name in ("cell", "arm", "old", "old_row", "new", "new_row", "cost", "latency_s"):
        assert np.array_equal(getattr(alone, name), getattr(shared, name))
    for name in ("row", "source", "score", "weight", "probability"):
        assert np.array_equal(getattr(alone.labels, name), getattr(shared.labels, name))
    assert alone.arm.size == 400
    assert alone.labels.row.size == 134


async def test_a_policy_that_there_is_not_is_told_of_at_once(database: Database) -> None:
    """Before anything is read."""
    told: list[int] = []
    with pytest.raises(NotFound, match="older"):
        await read_log(database, PERIOD, Follower("older", None), told.append)
    assert told == []
