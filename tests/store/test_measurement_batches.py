"""Batches of pairs: held whole under one name or not at all, and found again with what is still to come of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import pytest

from gateway.domain.experiment import Measurement, MeasurementBatch, MeasurementHold, Refusal
from gateway.domain.money import ZERO, from_nanos
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.experiments import Experiments
from gateway.store.measurement_batches import MeasurementBatches
from gateway.store.measurements import Measurements
from gateway.store.sinks import Sink
from tests.store.records import NOON, identity, request
from tests.store.test_experiments import RUN

CAP = 1_000
BATCH = MeasurementBatch("hold_1", RUN.id, None, NOON)


@dataclass(frozen=True, slots=True)
class Bench:
    """One run under a cap of 1,000 nano-dollars."""

    experiments: Experiments
    measurements: Measurements
    batches: MeasurementBatches

    async def held(self) -> int:
        """In nano-dollars."""
        found = await self.experiments.find(RUN.id)
        assert found is not None
        return int(found.held.scaleb(9))


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    """A run that has begun."""
    connections = Connections(database, most=4)
    experiments = Experiments(connections)
    await experiments.create(replace(RUN, cap=from_nanos(CAP)))
    yield Bench(experiments, Measurements(connections), MeasurementBatches(connections))
    await connections.close()


def _holds(*items: str, nanos: int = 100, by: str = BATCH.id) -> Sequence[MeasurementHold]:
    return [MeasurementHold(by, RUN.id, item, "fast", from_nanos(nanos), NOON + 60) for item in items]


async def test_a_batch_is_held_whole(bench: Bench) -> None:
    """Its money and its pairs are taken together, nobody measures them meanwhile, and they are found by its name."""
    holds = _holds("a", "b", "c")
    assert await bench.batches.begin(BATCH, holds) is None
    assert await bench.held() == 300
    assert await bench.batches.of_run(RUN.id) == [BATCH]
    assert await bench.batches.holds(BATCH) == holds
    assert await bench.measurements.hold(_holds("b", by="other")[0]) is Refusal.TAKEN


async def test_a_batch_beyond_the_cap_is_noted_and_not_held(bench: Bench) -> None:
    """None of its money is set aside; that it was refused stays known, so that nobody tries again with a part of it."""
    assert await bench.batches.begin(BATCH, _holds("a", "b", "c", nanos=334)) is Refusal.CAP
    assert await bench.held() == 0
    assert await bench.batches.of_run(RUN.id) == [replace(BATCH, ended_at=NOON, unanswered=3)]
    assert await bench.batches.holds(BATCH) == []


async def test_a_batch_with_a_pair_that_is_taken_leaves_nothing(bench: Bench) -> None:
    """Another process measures it."""
    await bench.measurements.hold(_holds("c", nanos=0, by="other")[0])
    assert await bench.batches.begin(BATCH, _holds("a", "b", "c")) is Refusal.TAKEN
    assert await bench.held() == 0
    assert await bench.batches.of_run(RUN.id) == []
    assert await bench.batches.holds(BATCH) == []


async def test_two_that_race_hold_no_pair_twice(bench: Bench) -> None:
    """One of two batches with a pair in common is begun, and the other leaves nothing behind."""
    other = replace(BATCH, id="hold_2")
    began = await asyncio.gather(
        bench.batches.begin(BATCH, _holds("a", "b")), bench.batches.begin(other, _holds("b", "c", by=other.id))
    )
    assert set(began) == {None, Refusal.TAKEN}
    assert await bench.held() == 200


async def test_pairs_come_out_of_a_batch_one_by_one(bench: Bench) -> None:
    """What is kept or given back is no longer awaited, with its cost charged; then the batch has ended."""
    a, b = _holds("a", "b")
    await bench.batches.begin(BATCH, [a, b])
    await bench.batches.submitted(BATCH, "batch_ponder_1")
    measured = Measurement("a", "fast", "math", None, 1.0, from_nanos(30), 9, 0.0, NOON)
    assert await bench.measurements.keep(a, measured)
    assert await bench.batches.holds(BATCH) == [b]
    await bench.measurements.release(b, cost=ZERO)
    await bench.batches.end(BATCH, unanswered=1, now=NOON + 9)
    ended = replace(BATCH, batch_id="batch_ponder_1", ended_at=NOON + 9, unanswered=1)
    assert await bench.batches.of_run(RUN.id) == [ended]
    assert await bench.held() == 0


async def test_a_hold_without_the_batchs_name_is_refused(bench: Bench) -> None:
    """It would never be found again."""
    with pytest.raises(ValueError, match="bear its id"):
        await bench.batches.begin(BATCH, _holds("a", by="other"))


async def test_costs_are_those_of_the_ledger(bench: Bench, sink: Sink) -> None:
    """Where nobody knows all of a request's cost there is none; one that is not on record yet is left out."""
    await sink.write([request(1, cost=from_nanos(70)), request(2, is_cost_complete=False)])
    found = await bench.batches.costs([identity(1), identity(2), identity(3)])
    assert found == {identity(1): from_nanos(70), identity(2): None}
