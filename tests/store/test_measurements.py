"""Measurements: each pair once, and never more spent than the cap, whoever races whom."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from random import Random

import pytest

from gateway.domain.experiment import CellProgress, ExperimentState, Measurement, MeasurementHold, Refusal
from gateway.domain.money import from_nanos
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.experiments import Experiments
from gateway.store.measurements import Measurements
from tests.store.records import NOON, identity
from tests.store.test_experiments import RUN

CAP = 1_000
"""Of the run, in nano-dollars."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One run, and what measures for it."""

    experiments: Experiments
    measurements: Measurements

    async def spent_and_held(self) -> tuple[int, int]:
        """In nano-dollars."""
        found = await self.experiments.find(RUN.id)
        assert found is not None
        return int(found.spent.scaleb(9)), int(found.held.scaleb(9))

    async def all(self) -> list[Measurement]:
        """Everything measured."""
        return [each async for batch in self.measurements.batches(RUN.id) for each in batch]


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    """A run under a cap."""
    connections = Connections(database, most=8)
    experiments = Experiments(connections)
    await experiments.create(replace(RUN, cap=from_nanos(CAP)))
    yield Bench(experiments, Measurements(connections))
    await connections.close()


def _hold(
    item: str, nanos: int = 100, *, arm: str = "fast", by: str = "a", until: float = NOON + 60
) -> MeasurementHold:
    return MeasurementHold(f"{by}/{item}/{arm}", RUN.id, item, arm, from_nanos(nanos), until)


def _measured(item: str, nanos: int = 50, *, arm: str = "fast", score: float = 1.0) -> Measurement:
    return Measurement(
        item=item,
        arm=arm,
        category="math",
        difficulty="hard",
        score=score,
        cost=from_nanos(nanos),
        tokens=12,
        latency_s=0.25,
        observed_at=NOON + 0.5,
        request_id=identity(7),
    )


async def test_a_measurement_takes_the_place_of_its_hold(bench: Bench) -> None:
    """The most that it may cost is set aside first; then its true cost is charged, and it comes back whole."""
    assert await bench.measurements.hold(_hold("i1")) is None
    assert await bench.spent_and_held() == (0, 100)
    assert await bench.measurements.keep(_hold("i1"), _measured("i1", 30))
    assert await bench.spent_and_held() == (30, 0)
    assert await bench.all() == [_measured("i1", 30)]


async def test_a_measurement_kept_twice_counts_once(bench: Bench) -> None:
    """Neither a row nor a charge comes of the second time."""
    await bench.measurements.hold(_hold("i1"))
    assert await bench.measurements.keep(_hold("i1"), _measured("i1", 30))
    assert not await bench.measurements.keep(_hold("i1"), _measured("i1", 99, score=0))
    assert await bench.spent_and_held() == (30, 0)
    assert await bench.all() == [_measured("i1", 30)]


async def test_a_pair_is_taken_once(bench: Bench) -> None:
    """While it is measured and ever after; another arm on the same item is another pair."""
    first, again = _hold("i1"), _hold("i1", by="b")
    assert await bench.measurements.hold(first) is None
    assert await bench.measurements.hold(again) is Refusal.TAKEN
    await bench.measurements.keep(first, _measured("i1"))
    assert await bench.measurements.hold(again) is Refusal.TAKEN
    assert await bench.measurements.hold(_hold("i1", arm="think")) is None
    assert await bench.spent_and_held() == (50, 100)


async def test_the_cap_is_reached_exactly(bench: Bench) -> None:
    """A hold for just what is left is given, and one for a nano-dollar more is not."""
    await bench.measurements.hold(_hold("i1", CAP - 10))
    await bench.measurements.keep(_hold("i1"), _measured("i1", CAP - 20))
    assert await bench.measurements.hold(_hold("i2", 21)) is Refusal.CAP
    assert await bench.measurements.hold(_hold("i2", 20)) is None
    assert await bench.measurements.hold(_hold("i3", 1)) is Refusal.CAP
    assert await bench.measurements.hold(_hold("i3", 0)) is None


async def test_only_open_runs_are_measured(bench: Bench) -> None:
    """After a run's end, and for one that never was, nothing is set aside."""
    await bench.experiments.cancel(RUN.id, note="by hand", now=NOON)
    assert await bench.measurements.hold(_hold("i1")) is Refusal.ENDED
    assert await bench.measurements.hold(replace(_hold("i1"), experiment_id="nobody")) is Refusal.ENDED


async def test_what_was_under_way_at_the_end_is_still_kept(bench: Bench) -> None:
    """It is paid for, whatever became of the run."""
    await bench.measurements.hold(_hold("i1"))
    await bench.experiments.cancel(RUN.id, note="by hand", now=NOON)
    assert await bench.measurements.keep(_hold("i1"), _measured("i1", 30))
    assert await bench.spent_and_held() == (30, 0)


async def test_a_pair_that_failed_is_given_back(bench: Bench) -> None:
    """What was spent on it stays spent, once, and it can be measured again."""
    await bench.measurements.hold(_hold("i1"))
    for _ in range(2):
        await bench.measurements.release(_hold("i1"), cost=from_nanos(7))
    assert await bench.spent_and_held() == (7, 0)
    assert await bench.measurements.hold(_hold("i1", by="b")) is None


async def test_holds_of_the_dead_are_charged_whole(bench: Bench) -> None:
    """When its time is over, and no sooner, a hold is spent and its pair is free; who comes late pays nothing more."""
    await bench.measurements.hold(_hold("i1", 100, until=NOON + 10))
    await bench.measurements.hold(_hold("i2", 200, until=NOON + 11))
    assert await bench.measurements.release_expired(RUN.id, now=NOON + 9.9) == 0
    assert await bench.measurements.release_expired(RUN.id, now=NOON + 10) == 1
    assert await bench.spent_and_held() == (100, 200)
    assert await bench.measurements.hold(_hold("i1", 300, by="b")) is None
    assert await bench.measurements.keep(_hold("i1"), _measured("i1", 60))
    assert await bench.spent_and_held() == (100, 500)
    assert not await bench.measurements.keep(_hold("i1", by="b"), _measured("i1", 70))
    assert await bench.spent_and_held() == (170, 200)


async def test_a_cost_beyond_its_hold_counts_in_full(bench: Bench) -> None:
    """What the provider took is spent, and leaves less for the others."""
    await bench.measurements.hold(_hold("i1", 100))
    await bench.measurements.keep(_hold("i1"), _measured("i1", CAP - 1))
    assert await bench.measurements.hold(_hold("i2", 2)) is Refusal.CAP
    assert await bench.measurements.hold(_hold("i2", 1)) is None


async def test_what_makes_no_sense_is_refused(bench: Bench) -> None:
    """A negative hold would widen the cap, and a measurement of another pair would free the wrong one."""
    with pytest.raises(ValueError, match="negative"):
        await bench.measurements.hold(_hold("i1", -1))
    await bench.measurements.hold(_hold("i1"))
    with pytest.raises(ValueError, match="its own pair"):
        await bench.measurements.keep(_hold("i1"), _measured("i2"))
    assert await bench.spent_and_held() == (0, 100)


async def test_imported_measurements_cost_nothing(bench: Bench) -> None:
    """They are added in any number, each pair once however often the table is imported."""
    table = [_measured(f"i{number:05}", nanos=number) for number in range(2_345)]
    await bench.measurements.add(RUN.id, table[:2_000])
    await bench.measurements.add(RUN.id, table)
    assert await bench.all() == table
    assert await bench.spent_and_held() == (0, 0)


async def test_measurements_are_read_in_parts(bench: Bench) -> None:
    """Each is in one part, by item and arm, whatever the parts' size."""
    table = [_measured(f"i{number}", arm=arm) for number in range(4) for arm in ("fast", "think")]
    await bench.measurements.add(RUN.id, reversed(table))
    for size in (1, 3, 4, 8, 9):
        parts = [part async for part in bench.measurements.batches(RUN.id, size=size)]
        assert [each for part in parts for each in part] == table
        assert max(len(part) for part in parts) <= size
    assert [part async for part in bench.measurements.batches("nobody")] == []


async def test_progress_is_told_by_cell_and_arm(bench: Bench) -> None:
    """Items, right answers and cost; a cell without difficulty is one of its own."""
    await bench.measurements.add(
        RUN.id,
        [
            _measured("i1", 10),
            _measured("i2", 20, score=0.5),
            _measured("i1", 5, arm="think"),
            replace(_measured("i3", 1), category="code", difficulty=None),
        ],
    )
    assert await bench.measurements.progress(RUN.id) == (
        CellProgress("code", None, "fast", 1, 1.0, from_nanos(1)),
        CellProgress("math", "hard", "fast", 2, 1.5, from_nanos(30)),
        CellProgress("math", "hard", "think", 1, 1.0, from_nanos(5)),
    )
    assert await bench.measurements.progress("nobody") == ()


async def test_many_processes_never_overspend(bench: Bench, database: Database) -> None:
    """Whoever holds, keeps, fails and dies: the money adds up, stays under the cap, and no pair counts twice."""
    random = Random(5)
    charged: Counter[str] = Counter()

    async def work(name: str, measurements: Measurements, pairs: list[str], draws: list[float]) -> None:
        for item, draw in zip(pairs, draws, strict=True):
            ceiling = 20 + int(draw * 60)
            hold = _hold(item, ceiling, by=name, until=NOON + (10 if draw < 0.2 else 60))
            if await measurements.hold(hold) is not None:
                continue
            cost = ceiling - int(draw * 10)
            if draw < 0.2:
                charged["died"] += ceiling
            elif draw < 0.3:
                await measurements.release(hold, cost=from_nanos(cost))
                charged["failed"] += cost
            else:
                assert await measurements.keep(hold, _measured(item, cost))
                charged["kept"] += cost
            spent, held = await bench.spent_and_held()
            assert spent + held <= CAP

    others = [Connections(database, most=2) for _ in range(3)]
    crews = [bench.measurements, *(Measurements(each) for each in others)]
    tasks = []
    for number, measurements in enumerate(crews):
        pairs = [f"i{random.randrange(20)}" for _ in range(15)]
        tasks.append(work(f"w{number}", measurements, pairs, [random.random() for _ in pairs]))
    await asyncio.gather(*tasks)
    for measurements in crews:
        await measurements.release_expired(RUN.id, now=NOON + 10)
    kept = await bench.all()
    assert await bench.spent_and_held() == (charged.total(), 0)
    assert charged.total() <= CAP
    assert charged["kept"] == sum(int(each.cost.scaleb(9)) for each in kept)
    assert len(kept) == len({each.item for each in kept})
    assert charged["kept"] > 0
    for each in others:
        await each.close()


async def test_a_race_for_the_last_cent_has_one_winner(bench: Bench) -> None:
    """Of holds that would each fill the cap, one is given, whether they are for one pair or for several."""
    several = await asyncio.gather(*(bench.measurements.hold(_hold(f"i{number}", CAP)) for number in range(6)))
    assert Counter(several) == {None: 1, Refusal.CAP: 5}


async def test_a_race_for_a_pair_has_one_winner(bench: Bench) -> None:
    """Of processes that take the same pair at once one gets it, and only its money is set aside."""
    same = await asyncio.gather(*(bench.measurements.hold(_hold("i", 10, by=f"w{number}")) for number in range(6)))
    assert Counter(same) == {None: 1, Refusal.TAKEN: 5}
    assert await bench.spent_and_held() == (0, 10)


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_what_a_reference_said_is_forgotten_with_the_end_of_its_run(bench: Bench, is_cancelled: bool) -> None:
    """However the run ends; an answer that comes after it is kept without its words."""
    drawn = [replace(_measured(item, arm="think#1"), answer="42") for item in ("i1", "i2")]
    for each in drawn:
        await bench.measurements.hold(_hold(each.item, arm=each.arm))
    await bench.measurements.keep(_hold("i1", arm="think#1"), drawn[0])
    assert await bench.all() == drawn[:1]
    claim = await bench.experiments.claim(RUN.id, owner="me", now=NOON, lease_s=60)
    assert claim is not None
    if is_cancelled:
        assert await bench.experiments.cancel(RUN.id, note="enough", now=NOON)
    else:
        assert await bench.experiments.finish(claim, ExperimentState.UNCHANGED, note=None, now=NOON)
    await bench.measurements.keep(_hold("i2", arm="think#1"), drawn[1])
    assert await bench.all() == [replace(each, answer=None) for each in drawn]
    assert all("42" not in repr(each) for each in drawn)
