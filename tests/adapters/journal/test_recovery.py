"""Tests of gateway/adapters/journal/recovery.py: what processes that are gone left, killed ones among them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from gateway.adapters.journal.entries import encode_opening, encode_raised, encode_record
from gateway.adapters.journal.folders import Progress, adopt, create
from gateway.adapters.journal.framing import frame
from gateway.adapters.journal.journal import LocalJournal
from gateway.domain.money import ZERO, usd
from gateway.domain.record import Result
from tests.adapters.journal.dying_writer import RAISED
from tests.adapters.journal.samples import QUICK, MemoryStore, journaling, opening, raised, until
from tests.store.records import request


def left_behind(root: Path, *segments: bytes, progress: Progress | None = None) -> Path:
    """The folder of a process that is gone, with these segments."""
    folder = create(root)
    for number, data in enumerate(segments, start=1):
        folder.segment(number).write_bytes(data)
    if progress is not None:
        folder.note(progress)
    folder.close()
    return folder.path


def settled(*numbers: int) -> bytes:
    """The frames of settled requests."""
    return b"".join(frame(encode_record(request(number))) for number in numbers)


def opened(*numbers: int) -> bytes:
    """The frames of opened requests."""
    return b"".join(frame(encode_opening(opening(number))) for number in numbers)


async def recover(root: Path, store: MemoryStore | None = None) -> MemoryStore:
    """What a new process moves from there."""
    store = store or MemoryStore()
    async with journaling(root, store) as journal:
        await journal.recovered()
    return store


def numbers(store: MemoryStore, result: Result) -> list[int]:
    """The numbers of the requests in the store that ended so."""
    return [int(each.id.rpartition("-")[2], 16) for each in store.kept.values() if each.result is result]


async def kill_while_writing(root: Path, lines: int) -> Mapping[bytes, set[int]]:
    """Kill a writing process once it has told of so many entries; the numbers it opened, raised, settled for sure."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.adapters.journal.dying_writer", str(root)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told = [await process.stdout.readline() for _ in range(lines)]
    process.kill()
    told += (await process.stdout.read()).splitlines()
    await process.wait()
    assert process.returncode == -9
    by_kind: dict[bytes, set[int]] = {b"opened": set(), b"raised": set(), b"settled": set()}
    complete = [line.split() for line in told if line.strip().endswith(tuple(by_kind))]
    for number, kind in complete:
        by_kind[kind].add(int(number))
    return by_kind


@pytest.mark.parametrize("lines", [1, 2, 57, 500])
async def test_a_killed_process_loses_nothing(tmp_path: Path, lines: int) -> None:
    """After SIGKILL amid writing, every answered request has its record, and every opened one has one too."""
    for_sure = await kill_while_writing(tmp_path, lines)
    opened_for_sure, settled_for_sure = for_sure[b"opened"], for_sure[b"settled"]
    store = await recover(tmp_path)
    answered = {each.id for each in store.kept.values() if each.result is Result.ANSWERED}
    cut_off = {each.id for each in store.kept.values() if each.result is Result.INTERRUPTED}
    assert {request(number).id for number in settled_for_sure} <= answered
    assert {request(number).id for number in opened_for_sure} <= answered | cut_off
    assert not answered & cut_off
    # The last entry may have been written and not told any more.
    assert len(answered) - len(settled_for_sure) in {0, 1}
    assert len(answered | cut_off) - len(opened_for_sure) in {0, 1}
    assert sum(len(batch) for batch in store.batches) == len(store.kept)
    charged = {each.id for each in store.kept.values() if each.charge == usd(RAISED)}
    assert {request(number).id for number in for_sure[b"raised"]} <= charged <= cut_off
    assert len(charged) - len(for_sure[b"raised"]) in {0, 1}


async def test_two_processes_share_what_several_left(tmp_path: Path) -> None:
    """When two look at the same time, every record is moved by one of them."""
    for number in range(0, 60, 3):
        left_behind(tmp_path, settled(number, number + 1), settled(number + 2))
    first, second = MemoryStore(), MemoryStore()
    async with journaling(tmp_path, first) as one, journaling(tmp_path, second) as two:
        await asyncio.gather(one.recovered(), two.recovered())
        await until(lambda: one.state.adopted + two.state.adopted == 20)
    assert first.kept.keys() | second.kept.keys() == {request(number).id for number in range(60)}
    assert not first.kept.keys() & second.kept.keys()


async def test_a_sibling_s_death_is_noticed(tmp_path: Path) -> None:
    """A process that ends while others live has its records moved by one of them, without a restart."""
    store = MemoryStore()
    async with journaling(tmp_path, store) as living:
        await living.recovered()
        dying = LocalJournal(tmp_path, MemoryStore(), QUICK)
        dying.settle(request(1))
        await dying.close(within_s=0)
        await until(lambda: request(1).id in store.kept)
        assert living.state.adopted == 1


async def test_a_raised_ceiling_counts_from_its_last_byte_on(tmp_path: Path) -> None:
    """Cut off at every byte of the last entry, the request is charged the ceiling before it; whole, the one it says."""
    before = frame(encode_opening(replace(opening(1), ceiling=usd("0.1"))))
    before += frame(encode_raised(raised(1, "0.2")))
    last = frame(encode_raised(raised(1, "0.3")))
    for kept in range(len(last) + 1):
        left_behind(tmp_path / str(kept), before + last[:kept])
        store = await recover(tmp_path / str(kept))
        assert [each.charge for each in store.kept.values()] == [usd("0.3" if kept == len(last) else "0.2")], kept


async def test_a_damaged_raise_leaves_the_ceiling_before_it(tmp_path: Path) -> None:
    """A flipped byte in the middle takes that entry alone, and is counted."""
    damaged = bytearray(frame(encode_raised(raised(1, "0.3"))))
    damaged[20] ^= 1
    left_behind(tmp_path, opened(1) + frame(encode_raised(raised(1, "0.2"))) + bytes(damaged) + opened(2))
    store = MemoryStore()
    async with journaling(tmp_path, store) as journal:
        await journal.recovered()
        assert journal.state.damaged == 1
    assert [each.charge for each in store.kept.values()] == [usd("0.2"), ZERO]


async def test_a_raise_of_a_settled_request_is_nothing(tmp_path: Path) -> None:
    """What is raised without being open, as where its opening was damaged, makes no record and changes none."""
    left_behind(tmp_path, opened(1) + settled(1) + frame(encode_raised(raised(1, "9"))))
    store = await recover(tmp_path)
    assert [each.charge for each in store.kept.values()] == [request(1).charge]


async def test_moving_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What the checkpoint covers is not moved again; it still tells that its requests were settled."""
    first = settled(1)
    data = opened(1, 2, 3) + first + settled(2)
    left_behind(tmp_path, data, settled(4), progress=Progress((1, len(opened(1, 2, 3) + first))))
    store = await recover(tmp_path)
    assert numbers(store, Result.ANSWERED) == [2, 4]
    assert numbers(store, Result.INTERRUPTED) == [3]


async def test_a_crash_before_the_checkpoint_makes_no_second_record(tmp_path: Path) -> None:
    """What had reached the database when the process ended, but not its checkpoint, is offered again and kept once."""
    left_behind(tmp_path, opened(1, 2) + settled(1), progress=Progress((0, 0)))
    store = MemoryStore()
    await store.keep([request(1)])
    await recover(tmp_path, store)
    assert [len(batch) for batch in store.batches] == [1, 1, 1]
    assert len(store.kept) == 2


async def test_after_a_power_cut_all_is_moved_again(tmp_path: Path) -> None:
    """What an earlier start of the machine left is moved from its beginning: its database may have lost the end."""
    path = left_behind(tmp_path, settled(1), settled(2), progress=Progress((2, 0), is_finished=True))
    (path / "owner").write_bytes(b"an earlier start")
    store = await recover(tmp_path)
    assert numbers(store, Result.ANSWERED) == [1, 2]


async def test_a_folder_is_deleted_some_time_after_it_was_moved(tmp_path: Path) -> None:
    """A moved folder stays for the stated time, over restarts, and goes then."""
    path = left_behind(tmp_path, settled(1))
    await recover(tmp_path)
    assert path.exists()
    await recover(tmp_path)
    os.utime(path / "checkpoint", (1, 1))
    async with journaling(tmp_path, MemoryStore()):
        await until(lambda: not path.exists())


async def test_a_damaged_settlement_leaves_an_interrupted_request(tmp_path: Path) -> None:
    """Where a settled entry cannot be read any more, its opening still makes a record; the damage is counted."""
    damaged = bytearray(settled(2))
    damaged[40] ^= 1
    left_behind(tmp_path, opened(1, 2, 3) + settled(1) + bytes(damaged) + settled(3))
    store = MemoryStore()
    async with journaling(tmp_path, store) as journal:
        await journal.recovered()
        assert journal.state.damaged == 1
        assert "1 entries of the journal were damaged and passed over; see the log" in journal.state.degraded()
    assert numbers(store, Result.ANSWERED) == [1, 3]
    assert numbers(store, Result.INTERRUPTED) == [2]


async def test_what_a_later_release_wrote_is_left_to_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An entry that this release cannot read stops the moving of its folder, which stays for one that can."""
    document = orjson.loads(encode_record(request(2)))
    document[1] = 99
    path = left_behind(tmp_path, opened(1, 3) + settled(1) + frame(orjson.dumps(document)) + settled(3))
    store = await recover(tmp_path)
    assert numbers(store, Result.ANSWERED) == [1]
    assert numbers(store, Result.INTERRUPTED) == []
    assert "version 99" in caplog.text
    folder = next(folder for folder in adopt(tmp_path, ignoring=()) if folder.path == path)
    assert folder.progress() == Progress((1, len(opened(1, 3) + settled(1))))
    folder.close()


async def test_a_segment_that_cannot_be_read_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that the disk does not give is set aside with a reason, and the others are moved."""
    path = left_behind(tmp_path, settled(1))
    (path / "00000001.seg").unlink()
    (path / "00000001.seg").mkdir()
    left_behind(tmp_path, settled(2))
    store = await recover(tmp_path)
    assert numbers(store, Result.ANSWERED) == [2]
    assert "it cannot be read (Is a directory)" in caplog.text
    assert path.exists()


async def test_an_empty_folder_is_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process that ended before its first entry leaves nothing to tell."""
    caplog.set_level(logging.WARNING)
    left_behind(tmp_path)
    left_behind(tmp_path, b"")
    left_behind(tmp_path, settled(1)[:30])
    assert (await recover(tmp_path)).kept == {}
    assert caplog.text == ""


async def test_many_interrupted_requests_come_in_batches(tmp_path: Path) -> None:
    """However many requests were open, no batch is larger than stated."""
    left_behind(tmp_path, opened(*range(1, 12)))
    store = MemoryStore()
    async with journaling(tmp_path, store, replace(QUICK, batch_size=5)) as journal:
        assert len(await journal.recovered()) == 11
    assert [len(batch) for batch in store.batches] == [5, 5, 1]
