"""``/admin/runs``: the calibration runs, and what they measured."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.domain.experiment import Experiment, Measurement
from gateway.domain.money import usd
from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.experiments import Experiments
from gateway.store.measurements import Measurements
from tests.http.admin.administrator import Administrator, fresh
from tests.store.records import NOON


async def write_run(home: Path, policy: str, run_id: str) -> None:
    """Keep a run that is open, with two answers."""
    connections = Connections(locate(f"sqlite:///{home}/ponder.db"), most=1)
    begun = Experiment(run_id, policy, "d1", "d2", 7, {"arms": ["fast"]}, usd("2.5"), NOON, "calibrator")
    await Experiments(connections).create(begun)
    measured = (
        Measurement(f"i{number}", "fast", "math", "easy", float(number), usd("0.25"), 10, 1.0, NOON)
        for number in range(2)
    )
    await Measurements(connections).add(run_id, measured)
    await connections.close()


def test_runs_are_listed_and_read_by_viewers(home: Path, admin: Administrator) -> None:
    """Money as decimal text, the target as it was begun with, and scores by arm, category and difficulty."""
    policy, run_id = fresh("calibrated"), fresh("run")
    asyncio.run(write_run(home, policy, run_id))
    viewer = admin.having("viewer")
    (line,) = viewer.get("/runs", policy=policy)["data"]
    assert line == {
        "run": run_id,
        "policy": policy,
        "state": "measuring",
        "note": None,
        "spent_usd": "0",
        "held_usd": "0",
        "cap_usd": "2.5",
        "created_at": "2026-11-22T12:00:00Z",
        "by": "calibrator",
        "finished_at": None,
    }
    assert viewer.get(f"/runs/{run_id}") == {
        **line,
        "policy_digest": "d1",
        "digest": "d2",
        "seed": 7,
        "target": {"arms": ["fast"]},
        "measured": [
            {
                "category": "math",
                "difficulty": "easy",
                "arm": "fast",
                "items": 2,
                "mean_score": 0.5,
                "cost_usd": "0.5",
            }
        ],
    }
