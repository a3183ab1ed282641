"""Calibration runs: one open per policy, worked on by one process at a time, ended once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.domain.experiment import Experiment, ExperimentClaim, ExperimentState
from gateway.domain.money import ZERO, usd
from gateway.errors import Conflict
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.experiments import Experiments
from tests.store.records import NOON

RUN = Experiment(
    id="run_1",
    policy="default",
    policy_digest="p" * 64,
    digest="d" * 64,
    seed=2**63 - 1,
    target={"loss_at_most": 0.02, "arms": ["fast", "think"]},
    cap=usd("0.000000009"),
    created_at=NOON,
    created_by="key_operator",
)


@pytest.fixture
async def experiments(database: Database) -> AsyncIterator[Experiments]:
    """The runs of an empty database."""
    connections = Connections(database, most=4)
    yield Experiments(connections)
    await connections.close()


async def _claimed(experiments: Experiments, owner: str, now: float = NOON) -> ExperimentClaim:
    claim = await experiments.claim(RUN.id, owner=owner, now=now, lease_s=10)
    assert claim is not None
    return claim


async def test_a_run_begins_as_it_was_given(experiments: Experiments) -> None:
    """Every field comes back, nothing is spent, and nobody has it."""
    await experiments.create(RUN)
    found = await experiments.find(RUN.id)
    assert found is not None
    assert found.experiment == RUN
    assert (found.state, found.spent, found.held, found.owner) == (ExperimentState.MEASURING, ZERO, ZERO, None)
    assert (found.note, found.lease_until, found.finished_at) == (None, None, None)
    assert await experiments.open_run("default") == found
    assert await experiments.find("run_none") is None
    assert await experiments.open_run("thrift") is None


async def test_a_policy_has_one_open_run(experiments: Experiments) -> None:
    """Of runs that begin at once one wins, the refusal names it, and other policies are not concerned."""
    attempts = (experiments.create(replace(RUN, id=f"run_{number}")) for number in range(4))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [each for each in results if isinstance(each, Conflict)]
    assert len(refused) == 3
    (running,) = await experiments.open_runs()
    assert all(running.experiment.id in each.message for each in refused)
    await experiments.create(replace(RUN, id="run_thrift", policy="thrift"))
    assert len(await experiments.open_runs()) == 2


async def test_after_a_run_comes_the_next(experiments: Experiments) -> None:
    """A policy whose run has ended may be calibrated again, and the newest stands first."""
    await experiments.create(RUN)
    assert await experiments.cancel(RUN.id, note="by hand", now=NOON + 1)
    await experiments.create(replace(RUN, id="run_2", created_at=NOON + 2))
    await experiments.create(replace(RUN, id="run_3", policy="thrift", created_at=NOON + 3))
    assert [each.experiment.id for each in await experiments.recent(limit=9)] == ["run_3", "run_2", "run_1"]
    assert [each.experiment.id for each in await experiments.recent(limit=1, policy="default")] == ["run_2"]
    assert [each.experiment.id for each in await experiments.open_runs()] == ["run_2", "run_3"]


async def test_one_process_has_a_run_at_a_time(experiments: Experiments) -> None:
    """Of many that want it one gets it, until it lets go or its lease is over."""
    await experiments.create(RUN)
    wanted = (experiments.claim(RUN.id, owner=f"w{number}", now=NOON, lease_s=10) for number in range(4))
    (claim,) = [each for each in await asyncio.gather(*wanted) if each is not None]
    assert claim.standing.owner == claim.owner
    assert claim.standing.lease_until == NOON + 10
    assert await experiments.claim(RUN.id, owner="later", now=NOON + 9.9, lease_s=10) is None
    assert await experiments.renew(claim, until=NOON + 20)
    assert await experiments.claim(RUN.id, owner="later", now=NOON + 19.9, lease_s=10) is None
    assert await experiments.release(claim)
    assert (await _claimed(experiments, "later", NOON + 12)).number == claim.number + 1


async def test_who_lost_a_run_changes_nothing(experiments: Experiments) -> None:
    """A claim whose lease was over and taken by another is void, and so is an older one of the same process."""
    await experiments.create(RUN)
    lost = await _claimed(experiments, "slow")
    taken = await _claimed(experiments, "quick", NOON + 10)
    again = await _claimed(experiments, "quick", NOON + 11)
    for claim in (lost, taken):
        assert not await experiments.renew(claim, until=NOON + 99)
        assert not await experiments.release(claim)
        assert not await experiments.advance(claim, ExperimentState.CHOOSING)
        assert not await experiments.finish(claim, ExperimentState.FAILED, note="x", now=NOON + 12)
    assert await experiments.advance(again, ExperimentState.CHOOSING, note="all is measured")
    found = await experiments.find(RUN.id)
    assert found is not None
    assert (found.state, found.note, found.owner) == (ExperimentState.CHOOSING, "all is measured", "quick")


async def test_a_run_ends_once(experiments: Experiments) -> None:
    """An ended run is nobody's, and is neither ended, cancelled nor claimed again."""
    await experiments.create(RUN)
    claim = await _claimed(experiments, "w")
    assert await experiments.finish(claim, ExperimentState.UNCHANGED, note="90 more items", now=NOON + 5)
    assert not await experiments.finish(claim, ExperimentState.PUBLISHED, note=None, now=NOON + 6)
    assert not await experiments.cancel(RUN.id, note="late", now=NOON + 7)
    assert await experiments.claim(RUN.id, owner="w", now=NOON + 99, lease_s=10) is None
    found = await experiments.find(RUN.id)
    assert found is not None
    assert (found.state, found.note, found.finished_at) == (ExperimentState.UNCHANGED, "90 more items", NOON + 5)
    assert (found.owner, found.lease_until) == (None, None)


async def test_a_cancelled_run_is_taken_from_its_holder(experiments: Experiments) -> None:
    """Whoever works on it finds its claim void."""
    await experiments.create(RUN)
    claim = await _claimed(experiments, "w")
    assert await experiments.cancel(RUN.id, note="by hand", now=NOON + 1)
    assert not await experiments.renew(claim, until=NOON + 20)


async def test_ends_and_steps_are_not_mixed_up(experiments: Experiments) -> None:
    """A run is not advanced to an end, and does not end in a state on the way."""
    await experiments.create(RUN)
    claim = await _claimed(experiments, "w")
    with pytest.raises(ValueError, match=r"finish\(\)"):
        await experiments.advance(claim, ExperimentState.FAILED)
    with pytest.raises(ValueError, match="an end"):
        await experiments.finish(claim, ExperimentState.CHOOSING, note=None, now=NOON)
