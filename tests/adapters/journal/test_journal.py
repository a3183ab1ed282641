"""Tests of gateway/adapters/journal/journal.py: its rules, on a store in memory and a real disk."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.journal.entries import Entry
from gateway.adapters.journal.folders import adopt
from gateway.adapters.journal.journal import JournalTerms, LocalJournal, OnFullDisk
from gateway.domain.money import ZERO
from gateway.domain.record import Result, StoredText
from gateway.errors import ConfigurationError, Unavailable
from tests.adapters.journal.samples import QUICK, MemoryStore, journaling, opening, opening_of, raised, read_all, until
from tests.adapters.journal.test_segments import files_no_larger_than
from tests.store.records import FULL, request


def ids(count: int, *, start: int = 0) -> set[str]:
    """The ids of the requests with these numbers."""
    return {request(number).id for number in range(start, start + count)}


async def on_disk(root: Path) -> list[Entry]:
    """The entries of the only process that wrote under ``root``, which is gone."""
    [folder] = adopt(root, ignoring=())
    found = [entry for reading in await read_all(folder) for entry, _ in reading.entries]
    folder.close()
    assert not any(isinstance(entry, ValueError) for entry in found)
    return [entry for entry in found if not isinstance(entry, ValueError)]


def size_of_segments(root: Path) -> int:
    """The bytes in all segments under ``root``."""
    return sum(path.stat().st_size for path in root.rglob("*.seg"))


def names_of_segments(root: Path) -> list[str]:
    """The names of all segments under ``root``."""
    return sorted(path.name for path in root.rglob("*.seg"))


async def test_what_was_settled_reaches_the_store(tmp_path: Path) -> None:
    """Records come to the store as they are, opened before or not, once each."""
    store = MemoryStore()
    async with journaling(tmp_path, store) as journal:
        journal.open(opening(1))
        journal.settle(request(1))
        journal.settle(FULL)
        await journal.flush()
        assert list(store.kept.values()) == [request(1), FULL]
        assert journal.state.waiting == 0
        assert journal.state.moved == 2
        assert journal.state.degraded() == ()
    assert [len(batch) for batch in store.batches] in ([2], [1, 1])
    assert store.is_closed


async def test_an_entry_is_on_the_disk_when_the_call_returns(tmp_path: Path) -> None:
    """Opening and settling write at once: a process that ends right after them has lost nothing."""
    store = MemoryStore()
    journal = LocalJournal(tmp_path, store, QUICK)
    sizes = [size_of_segments(tmp_path)]
    journal.open(opening(1))
    sizes.append(size_of_segments(tmp_path))
    journal.settle(request(1))
    sizes.append(size_of_segments(tmp_path))
    assert sizes[0] < sizes[1] < sizes[2]
    await journal.close(within_s=1)
    assert await on_disk(tmp_path) == [opening(1), request(1)]


async def test_each_entry_holds_its_own_plan(tmp_path: Path) -> None:
    """A request is opened with the plan that it had then and settled with the one that it has at the end."""
    opened, settled = opening_of(FULL), FULL
    assert opened.plan is not None
    fallen = replace(settled, plan=replace(opened.plan, reasons=("fell back",)))
    journal = LocalJournal(tmp_path, MemoryStore(), QUICK)
    journal.open(opened)
    journal.settle(settled)
    journal.open(opened)
    journal.settle(fallen)
    await journal.close(within_s=1)
    assert await on_disk(tmp_path) == [opened, settled, opened, fallen]


async def test_flushing_an_empty_journal_returns(tmp_path: Path) -> None:
    """With nothing waiting there is nothing to wait for."""
    async with journaling(tmp_path, MemoryStore()) as journal:
        await journal.flush()


async def test_an_outage_is_told_and_outlived(tmp_path: Path) -> None:
    """While the store is away records wait and the reason is shown; once it is back they are moved."""
    store = MemoryStore(*[Unavailable("the database is away")] * 20)
    async with journaling(tmp_path, store) as journal:
        journal.settle(request(1))
        await until(lambda: journal.state.database_fault is not None)
        assert journal.state.degraded() == ("1 records wait in the journal: the database is away",)
        await journal.flush()
        assert journal.state.degraded() == ()
    assert set(store.kept) == {request(1).id}


async def test_a_defect_of_the_store_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is a failed attempt; its text, which may quote a value, is not logged."""
    caplog.set_level(logging.INFO)
    store = MemoryStore(RuntimeError("a secret"))
    async with journaling(tmp_path, store) as journal:
        journal.settle(request(1))
        await journal.flush()
    assert set(store.kept) == {request(1).id}
    assert "unexpected RuntimeError" in caplog.text
    assert "a secret" not in caplog.text


@pytest.mark.parametrize(
    "bounded",
    [replace(QUICK, memory_records=3), replace(QUICK, memory_bytes=4_000), replace(QUICK, memory_records=0)],
    ids=["three records", "4,000 bytes", "none"],
)
@pytest.mark.parametrize("segment_bytes", [1, 5_000, 1 << 20])
async def test_memory_is_bounded_and_the_disk_is_not(tmp_path: Path, bounded: JournalTerms, segment_bytes: int) -> None:
    """What does not fit into memory while the store is away is read back from the disk, none of it twice."""
    store = MemoryStore()
    store.is_there.clear()
    terms = replace(bounded, segment_bytes=segment_bytes, batch_size=4)
    async with journaling(tmp_path, store, terms) as journal:
        for number in range(50):
            journal.open(opening(number))
            journal.settle(request(number))
        await until(lambda: store.attempts > 0 or bool(journal.state.waiting))
        store.is_there.set()
        for number in range(50, 90):
            journal.settle(request(number))
            await journal.flush()
        assert journal.state.waiting == 0
        assert journal.state.moved == 90
    assert set(store.kept) == ids(90)
    assert sum(len(batch) for batch in store.batches) == 90


async def test_records_keep_coming_while_a_gap_is_closed(tmp_path: Path) -> None:
    """Whenever records arrive while older ones are read back, and however many, each is moved once."""
    store = MemoryStore()
    terms = replace(QUICK, memory_records=5, batch_size=3, segment_bytes=10_000)
    numbers = iter(range(400))
    async with journaling(tmp_path, store, terms) as journal:

        def arrive(count: int) -> None:
            for _ in range(count):
                journal.settle(request(next(numbers)))

        for burst in (20, 1, 7, 60, 2, 2, 2, 30, 5, 6, 90, 1, 1, 100):
            arrive(burst)
            batches = len(store.batches)
            await until(lambda seen=batches: len(store.batches) > seen)  # type: ignore[misc]
        await journal.flush()
    assert sum(len(batch) for batch in store.batches) == len(store.kept) == 327


async def test_moved_segments_are_deleted_and_open_requests_are_not_forgotten(tmp_path: Path) -> None:
    """Segments go once all in them is moved, and a request opened long ago is still found open by the next process."""
    store = MemoryStore()
    terms = replace(QUICK, segment_bytes=1, keep_moved_s=-1)
    journal = LocalJournal(tmp_path, store, terms)
    journal.start()
    journal.open(opening(1))
    journal.raise_ceiling(raised(1, "0.2"))
    for number in range(2, 9):
        journal.settle(request(number))
    await journal.flush()
    await until(lambda: names_of_segments(tmp_path) == ["00000009.seg"])
    await journal.close(within_s=20)
    assert await on_disk(tmp_path) == [opening(1), raised(1, "0.2"), request(8)]


async def test_an_idle_journal_keeps_no_text(tmp_path: Path) -> None:
    """Without further requests a moved segment ends at its age and is deleted: no prompt stays longer than stated."""
    store = MemoryStore()
    terms = replace(QUICK, segment_age_s=0, keep_moved_s=-1)
    async with journaling(tmp_path, store, terms) as journal:
        journal.settle(request(text=StoredText(b"a prompt", b"an answer")))
        await journal.flush()
        await until(lambda: size_of_segments(tmp_path) == 0)


async def test_moved_records_are_not_moved_again(tmp_path: Path) -> None:
    """How far the moving has come stands on the disk as soon as a batch is in the store."""
    async with journaling(tmp_path / "journal", MemoryStore()) as journal:
        journal.settle(request(1))
        await journal.flush()
        shutil.copytree(tmp_path / "journal", tmp_path / "copy")
    for root in (tmp_path / "journal", tmp_path / "copy"):
        later = MemoryStore()
        async with journaling(root, later) as journal:
            await journal.recovered()
        assert later.kept == {}


async def test_a_full_disk_turns_requests_away(tmp_path: Path) -> None:
    """Where that is the setting, an opening that cannot be written is refused with a reason; space ends it."""
    store = MemoryStore()
    async with journaling(tmp_path, store) as journal:
        with files_no_larger_than(10):
            with pytest.raises(Unavailable, match="File too large") as refused:
                journal.open(opening(1))
            assert refused.value.retry_after_s
            assert journal.state.turned_away == 1
            [state] = journal.state.degraded()
            assert state.startswith("the journal cannot be written (File too large): 1 requests were turned away")
        journal.open(opening(2))
        assert journal.state.degraded() == ()


async def test_a_full_disk_turns_another_call_away(tmp_path: Path) -> None:
    """Where that is the setting, more may not be held than can be written down; the request stays open as it was."""
    async with journaling(tmp_path, MemoryStore()) as journal:
        journal.open(opening(1))
        with files_no_larger_than(10), pytest.raises(Unavailable, match="File too large"):
            journal.raise_ceiling(raised(1, "0.2"))
        journal.raise_ceiling(raised(1, "0.1"))
        assert journal.state.degraded() == ()
    assert await on_disk(tmp_path) == [opening(1), raised(1, "0.1")]


async def test_what_is_not_open_is_not_raised(tmp_path: Path) -> None:
    """A request that was served unopened, or has ended, leaves no entry that says what it holds."""
    async with journaling(tmp_path, MemoryStore()) as journal:
        journal.settle(request(1))
        for number in (1, 2):
            journal.raise_ceiling(raised(number, "0.2"))
    assert await on_disk(tmp_path) == [request(1)]


async def test_a_full_disk_can_be_served_over(tmp_path: Path) -> None:
    """Where that is the setting, requests are served; their records reach the store from memory."""
    store = MemoryStore()
    terms = replace(QUICK, on_full_disk=OnFullDisk.SERVE_UNRECORDED)
    async with journaling(tmp_path, store, terms) as journal:
        with files_no_larger_than(10):
            journal.open(opening(1))
            journal.settle(request(1))
            assert journal.state.unopened == 1
            assert journal.state.unwritten == 1
            await journal.flush()
        assert journal.state.unwritten == 0
        journal.settle(request(2))
        await journal.flush()
    assert set(store.kept) == ids(2, start=1)


async def test_what_neither_disk_nor_memory_takes_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a full disk and no store, memory stays bounded and what was lost is counted, shown and logged."""
    store = MemoryStore()
    store.is_there.clear()
    journal = LocalJournal(tmp_path, store, replace(QUICK, memory_records=2))
    journal.start()
    with files_no_larger_than(10):
        for number in range(5):
            journal.settle(request(number))
    assert journal.state.lost == 3
    assert "3 records were lost while the journal could not be written" in journal.state.degraded()
    await journal.close(within_s=0.01)
    assert journal.state.lost == 5
    assert "2 requests were not recorded" in caplog.text


async def test_a_record_that_has_no_form_is_moved_from_memory(tmp_path: Path) -> None:
    """A value that cannot be journaled costs its record nothing but the protection."""
    store = MemoryStore()
    odd = request(1, tags={"odd": {1, 2}})
    async with journaling(tmp_path, store) as journal:
        journal.settle(odd)
        journal.settle(request(2))
        await journal.flush()
    assert store.kept == {odd.id: odd, request(2).id: request(2)}


async def test_closing_leaves_on_the_disk_what_could_not_be_moved(tmp_path: Path) -> None:
    """A store that is away at closing time costs nothing: the next process moves what waits."""
    store = MemoryStore()
    store.is_there.clear()
    journal = LocalJournal(tmp_path, store, QUICK)
    journal.start()
    journal.settle(request(1))
    await journal.close(within_s=0.01)
    assert store.kept == {}
    later = MemoryStore()
    async with journaling(tmp_path, later) as journal:
        assert await journal.recovered() == ()
        assert set(later.kept) == {request(1).id}
        assert journal.state.adopted == 1


async def test_closing_moves_what_waits(tmp_path: Path) -> None:
    """Closing does not wait for a batch's delay, only for its writing."""
    store = MemoryStore()
    journal = LocalJournal(tmp_path, store, replace(QUICK, batch_delay_s=3600))
    journal.start()
    journal.settle(request(1))
    await journal.close(within_s=20)
    assert set(store.kept) == {request(1).id}


async def test_closing_ends_a_flush_that_cannot_succeed(tmp_path: Path) -> None:
    """Who waits for a flush while the store is away is let go when the journal closes."""
    store = MemoryStore()
    store.is_there.clear()
    journal = LocalJournal(tmp_path, store, QUICK)
    journal.start()
    journal.settle(request(1))
    impatient, patient = asyncio.create_task(journal.flush()), asyncio.create_task(journal.flush())
    await until(lambda: store.attempts > 0)
    impatient.cancel()
    await journal.close(within_s=0)
    await patient


async def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    """A place where no journal can be kept is refused before anything is served, with what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        LocalJournal(tmp_path / "file" / "journal", MemoryStore(), QUICK)


async def test_the_choice_for_a_full_disk_has_no_default() -> None:
    """Whether requests go unrecorded is written out by who makes a journal."""
    with pytest.raises(TypeError, match="on_full_disk"):
        JournalTerms()  # type: ignore[call-arg]


async def test_what_was_interrupted_is_recorded_as_such(tmp_path: Path) -> None:
    """A request opened and never settled becomes a record of unknown cost, with its plan; it is told once."""
    journal = LocalJournal(tmp_path, MemoryStore(), QUICK)
    journal.open(opening(1))
    journal.open(opening(2))
    journal.settle(request(2))
    await journal.close(within_s=1)
    store = MemoryStore()
    async with journaling(tmp_path, store) as journal:
        assert await journal.recovered() == (opening(1),)
        assert journal.state.interrupted == 1
    found = store.kept[request(1).id]
    assert (found.result, found.is_cost_complete, found.cost) == (Result.INTERRUPTED, False, ZERO)
    assert (found.plan, found.started_at, found.calls) == (request(1).plan, request(1).started_at, ())
    assert store.kept[request(2).id] == request(2)
    again = MemoryStore()
    async with journaling(tmp_path, again) as journal:
        assert await journal.recovered() == ()
    assert again.kept == {}


async def test_descriptors_are_given_back(tmp_path: Path) -> None:
    """After closing, no file of the journal is open any more."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        async with journaling(tmp_path, MemoryStore(), replace(QUICK, segment_bytes=1)) as journal:
            for number in range(20):
                journal.settle(request(number))
            await journal.recovered()
    assert len(os.listdir("/proc/self/fd")) == before
