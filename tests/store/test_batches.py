"""Tests of gateway/store/batches.py, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.domain.background import (
    Batch,
    BatchClaim,
    BatchState,
    Counts,
    Job,
    JobState,
    LineFault,
    Outcome,
    ProviderBatch,
)
from gateway.store.base import Database
from gateway.store.batches import Batches
from gateway.store.connections import Connections
from gateway.store.jobs import Jobs
from tests.store.records import NOON

LEASE_S = 30.0
BATCH = Batch(
    id="batch_1",
    key_id="k1",
    endpoint="/v1/embeddings",
    input_file_id="f",
    metadata={"a": "b"},
    state=BatchState.VALIDATING,
    created_at=NOON,
    deadline_at=NOON + 3600,
)


@pytest.fixture(name="connections")
async def _connections(database: Database) -> AsyncIterator[Connections]:
    connections = Connections(database, most=4)
    yield connections
    await connections.close()


@pytest.fixture(name="batches")
def _batches(connections: Connections) -> Batches:
    return Batches(connections, "one")


def _line(number: int, batch_id: str = BATCH.id) -> Job:
    return Job(
        f"{batch_id}_{number}", "k1", BATCH.endpoint, "m", b"{}", NOON, NOON + 3600,
        batch_id=batch_id, line=number, custom_id=f"q{number}",
    )  # fmt: skip


async def _claimed(batches: Batches, now: float = NOON) -> BatchClaim:
    claim = await batches.claim(now=now, lease_s=LEASE_S)
    assert claim is not None
    return claim


async def _begun(batches: Batches, lines: int) -> BatchClaim:
    """A batch in progress, claimed, of so many lines."""
    await batches.create(BATCH)
    claim = await _claimed(batches)
    assert await batches.enter(claim, [_line(number + 1) for number in range(lines)], at_provider=False)
    batch = replace(BATCH, state=BatchState.IN_PROGRESS, counts=Counts(lines), stamps={"in_progress": NOON})
    assert await batches.save(claim, batch)
    return BatchClaim(batch, claim.number)


async def test_a_batch_comes_back_as_it_was_stored(batches: Batches) -> None:
    """With its faults, stamps, counts and its place at a provider."""
    await batches.create(BATCH)
    assert await batches.find(BATCH.id, "k1", now=NOON) == BATCH
    full = replace(
        BATCH,
        state=BatchState.FINALIZING,
        stamps={"in_progress": NOON + 0.5, "finalizing": NOON + 1},
        faults=(LineFault("c", "m", 3, "p"), LineFault("d", "n")),
        counts=Counts(3, 2, 1),
        output_file_id="o",
        error_file_id="e",
        provider=ProviderBatch("openai", "file", "batch"),
    )
    assert await batches.save(await _claimed(batches), full)
    assert await batches.find(BATCH.id, "k1", now=NOON) == full
    assert await batches.find(BATCH.id, "k2", now=NOON) is None


async def test_a_batch_is_one_process_s_at_a_time(batches: Batches, connections: Connections) -> None:
    """While the lease lives nobody else takes it; after it somebody does, and the first one changes nothing."""
    await batches.create(BATCH)
    first = await _claimed(batches)
    other = Batches(connections, "two")
    assert await other.claim(now=NOON + LEASE_S - 1, lease_s=LEASE_S) is None
    await _claimed(other, NOON + LEASE_S)
    assert await batches.renew([first], until=NOON + 99) == set()
    assert not await batches.save(first, BATCH)
    assert not await batches.enter(first, [_line(1)], at_provider=False)
    assert not await batches.finish(first, BATCH, (), now=NOON, kept_until=NOON)
    assert await batches.entered(BATCH.id) == 0


async def test_a_batch_that_was_let_go_is_not_renewed(batches: Batches) -> None:
    """A renewal that comes after the letting go takes nothing back."""
    await batches.create(BATCH)
    claim = await _claimed(batches)
    assert await batches.renew([claim], until=NOON + 99) == {BATCH.id}
    await batches.leave(claim, due_at=NOON + 5)
    assert await batches.renew([claim], until=NOON + 99) == set()
    assert await batches.claim(now=NOON + 4, lease_s=LEASE_S) is None
    await _claimed(batches, NOON + 5)


async def test_a_batch_in_progress_is_left_to_its_lines(batches: Batches, connections: Connections) -> None:
    """It wants care again when its last line has ended, or its time is over."""
    claim = await _begun(batches, 2)
    await batches.leave(claim, due_at=NOON)
    assert await batches.claim(now=NOON, lease_s=LEASE_S) is None
    jobs = Jobs(connections, "one")
    outcomes = {1: JobState.COMPLETED, 2: JobState.FAILED}
    for taken in await jobs.claim(now=NOON, lease_s=LEASE_S, most=9, at_rest=()):
        outcome = Outcome(outcomes[taken.job.line or 0], 200, "r", b"{}")
        assert await jobs.finish(taken, outcome, now=NOON, kept_until=None)
    found = await batches.find(BATCH.id, "k1", now=NOON)
    assert found is not None
    assert found.counts == Counts(2, 1, 1) == await batches.count(BATCH.id)
    assert not await batches.has_open_lines(BATCH.id)
    again = await _claimed(batches)
    assert [each.job.line for each in await batches.lines(BATCH.id, after=0, limit=9)] == [1, 2]
    done = replace(again.batch, state=BatchState.COMPLETED)
    assert await batches.finish(again, done, (), now=NOON + 1, kept_until=NOON + 60)
    assert await batches.delete_lines() == 2
    assert await batches.find(BATCH.id, "k1", now=NOON + 60) is None
    assert await batches.delete_ended(now=NOON + 60) == 1


async def test_a_late_batch_wants_care(batches: Batches) -> None:
    """At its deadline a batch is taken although lines of it wait; they can then be ended."""
    claim = await _begun(batches, 1100)
    await batches.leave(claim, due_at=NOON)
    late = await _claimed(batches, BATCH.deadline_at)
    await batches.end_lines(late.batch.id, JobState.EXPIRED, now=BATCH.deadline_at)
    assert await batches.count(BATCH.id) == Counts(1100, 0, 1100)


async def test_cancelling_takes_a_batch_from_whoever_has_it(batches: Batches) -> None:
    """Only its key cancels it; what the one who had it learned is not kept, and the stamp of the first time stays."""
    claim = await _begun(batches, 1)
    assert not await batches.cancel(BATCH.id, "k2", now=NOON)
    assert await batches.cancel(BATCH.id, "k1", now=NOON + 1)
    assert await batches.cancel(BATCH.id, "k1", now=NOON + 2)
    assert not await batches.save(claim, claim.batch)
    again = await _claimed(batches, NOON + 2)
    assert (again.batch.state, again.batch.stamps["cancelling"]) == (BatchState.CANCELLING, NOON + 1)
    assert await batches.finish(again, again.batch, (), now=NOON + 3, kept_until=NOON + 60)
    assert not await batches.cancel(BATCH.id, "k2", now=NOON + 4)


async def test_lines_at_a_provider_are_taken_by_nobody(batches: Batches, connections: Connections) -> None:
    """Until they are given back, which makes them due at once."""
    await batches.create(BATCH)
    claim = await _claimed(batches)
    assert await batches.enter(claim, [_line(1), _line(2)], at_provider=True)
    jobs = Jobs(connections, "one")
    assert await jobs.claim(now=NOON + 10**6, lease_s=LEASE_S, most=9, at_rest=()) == []
    await batches.give_back_lines(BATCH.id)
    taken = await jobs.claim(now=NOON, lease_s=LEASE_S, most=9, at_rest=())
    assert [each.losses for each in taken] == [0, 0]
