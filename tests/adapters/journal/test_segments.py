"""Tests of gateway/adapters/journal/segments.py and, through it, syncing.py and reading.py."""

from __future__ import annotations

import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.adapters.journal.entries import encode_record
from gateway.adapters.journal.folders import Folder, create
from gateway.adapters.journal.framing import frame
from gateway.adapters.journal.reading import read
from gateway.adapters.journal.segments import SegmentWriter
from gateway.adapters.journal.syncing import Syncer
from gateway.domain.record import StoredText
from tests.adapters.journal.samples import read_all
from tests.store.records import FULL, request

FRAMES = [frame(encode_record(request(number))) for number in range(8)]


@contextmanager
def writing(
    root: Path, *, limit_bytes: int = 1 << 20, carried: Callable[[], bytes] = bytes
) -> Iterator[tuple[SegmentWriter, Folder]]:
    """A writer of segments and its folder, closed afterwards."""
    folder = create(root)
    syncer = Syncer(folder.path, every_s=0)
    segments = SegmentWriter(folder, syncer, limit_bytes=limit_bytes, carried=carried)
    yield segments, folder
    segments.close()
    syncer.close()
    assert syncer.fault is None
    folder.close()


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses to let a file of this process grow beyond ``size``, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def ids(folder: Folder) -> list[str]:
    """The ids of the entries in a folder; none of its places may be damaged."""
    readings = await read_all(folder)
    assert not any(reading.damaged for reading in readings)
    return [entry.id for reading in readings for entry, _ in reading.entries if not isinstance(entry, ValueError)]


async def test_what_was_appended_is_read(tmp_path: Path) -> None:
    """Entries come back in their order, each with the position that the writer had behind it."""
    positions = []
    with writing(tmp_path) as (segments, folder):
        for each in FRAMES:
            segments.append(each)
            positions.append(segments.head)
        found = [found for reading in await read_all(folder) for found in reading.entries]
    assert [entry for entry, _ in found] == [request(number) for number in range(8)]
    assert [end for _, end in found] == positions


async def test_a_large_segment_is_followed_by_another(tmp_path: Path) -> None:
    """Once a segment has its size the next frame goes to a new one, closed to others, and none is lost."""
    with writing(tmp_path, limit_bytes=2 * len(FRAMES[0])) as (segments, folder):
        for each in FRAMES:
            segments.append(each)
        assert folder.segments() == [1, 2, 3, 4]
        assert {stat.S_IMODE(folder.segment(number).stat().st_mode) for number in (1, 2, 3, 4)} == {0o600}
        assert await ids(folder) == [request(number).id for number in range(8)]


def test_an_old_segment_is_followed_by_another(tmp_path: Path) -> None:
    """A segment that holds something ends at its age, so that what is moved can be deleted; an empty one stays."""
    with writing(tmp_path) as (segments, folder):
        segments.rotate_after(-1)
        assert folder.segments() == [1]
        segments.append(FRAMES[0])
        segments.rotate_after(3600)
        assert folder.segments() == [1]
        segments.rotate_after(-1)
        assert folder.segments() == [1, 2]


async def test_a_segment_begins_with_what_is_open(tmp_path: Path) -> None:
    """A new segment begins with the frames of open requests, so that it can be understood alone."""
    with writing(tmp_path, carried=lambda: FRAMES[5] + FRAMES[6]) as (segments, folder):
        segments.append(FRAMES[0])
        segments.rotate()
        folder.segment(1).unlink()
        assert segments.head == (2, len(FRAMES[5] + FRAMES[6]))
        assert await ids(folder) == [request(5).id, request(6).id]


async def test_a_large_record_is_read(tmp_path: Path) -> None:
    """A record of many windows, with its stored text, is read whole."""
    large = request(text=StoredText(b"q" * 700_000, b"a" * 700_000))
    with writing(tmp_path) as (segments, folder):
        for record in (request(1), large, request(2)):
            segments.append(frame(encode_record(record)))
        found = [entry for reading in await read_all(folder) for entry, _ in reading.entries]
    assert found == [request(1), large, request(2)]


async def test_reading_ends_where_it_is_told(tmp_path: Path) -> None:
    """What lies behind the end asked for is not looked at, be it half written."""
    with writing(tmp_path) as (segments, folder):
        segments.append(FRAMES[0])
        end = segments.head
        segments.append(FRAMES[1][:-1])
        reading = await read(folder, (1, 0), end)
    assert [entry for entry, _ in reading.entries] == [request(0)]
    assert (reading.next, reading.damaged) == (end, 0)


async def test_a_missing_segment_is_passed_over(tmp_path: Path) -> None:
    """Reading goes on with the next segment that is there."""
    with writing(tmp_path, limit_bytes=1) as (segments, folder):
        for each in FRAMES:
            segments.append(each)
        for number in (1, 3, 4):
            folder.segment(number).unlink()
        end, start = folder.end(), (1, 0)
        found = []
        while start < end:
            reading = await read(folder, start, end)
            found += [entry for entry, _ in reading.entries]
            start = reading.next
    assert found == [request(number) for number in (1, 4, 5, 6, 7)]


@pytest.mark.parametrize("place", [0, 1, 2, 6, 10, 200, len(FRAMES[1]) - 1])
async def test_damage_is_reported_and_passed_over(tmp_path: Path, place: int, caplog: pytest.LogCaptureFixture) -> None:
    """A flipped byte takes its own record, is logged with its place, and the records behind it are read."""
    with writing(tmp_path) as (segments, folder):
        for each in FRAMES[:3]:
            segments.append(each)
        data = bytearray(folder.segment(1).read_bytes())
        data[len(FRAMES[0]) + place] ^= 0x10
        folder.segment(1).write_bytes(bytes(data))
        readings = await read_all(folder)
    assert [entry for reading in readings for entry, _ in reading.entries] == [request(0), request(2)]
    assert sum(reading.damaged for reading in readings) == 1
    assert f"00000001.seg: {len(FRAMES[1])} bytes at {len(FRAMES[0])} are no entry" in caplog.text


async def test_every_cut_through_the_last_record_spares_the_others(tmp_path: Path) -> None:
    """Truncated at any byte of its last record, a segment gives all records before it, and no damage is reported."""
    last = frame(encode_record(FULL))
    with writing(tmp_path) as (segments, folder):
        for each in (*FRAMES[:3], last):
            segments.append(each)
        whole = folder.segment(1).read_bytes()
        for cut in range(len(whole) - len(last), len(whole)):
            folder.segment(1).write_bytes(whole[:cut])
            readings = await read_all(folder)
            assert [entry for reading in readings for entry, _ in reading.entries] == [request(n) for n in range(3)]
            assert not any(reading.damaged for reading in readings)


async def test_a_full_disk_leaves_no_half_of_a_frame(tmp_path: Path) -> None:
    """A frame that does not fit is refused whole: what was there stays, and what comes later is read."""
    with writing(tmp_path) as (segments, folder):
        segments.append(FRAMES[0])
        before = segments.head
        with files_no_larger_than(len(FRAMES[0]) + 100), pytest.raises(OSError, match="too large"):
            segments.append(FRAMES[1])
        assert segments.head == before
        assert folder.segment(1).stat().st_size == before[1]
        segments.append(FRAMES[2])
        assert await ids(folder) == [request(0).id, request(2).id]


async def test_without_room_for_a_new_segment_the_old_one_grows(tmp_path: Path) -> None:
    """A segment that cannot be followed by another is written on, and no empty file is left behind."""
    with writing(tmp_path, limit_bytes=1, carried=lambda: FRAMES[7]) as (segments, folder):
        before = folder.segments()
        with files_no_larger_than(len(FRAMES[7]) - 1), pytest.raises(OSError, match="too large"):
            segments.append(FRAMES[0])
        assert folder.segments() == before
        segments.append(FRAMES[1])
        assert await ids(folder) == [request(7).id, request(7).id, request(1).id]


async def test_a_closed_writer_writes_no_more(tmp_path: Path) -> None:
    """After closing, an append fails, and does not reach a file that took over the descriptor's number."""
    with writing(tmp_path) as (segments, folder):
        segments.close()
        with pytest.raises(OSError, match="descriptor"):
            segments.append(FRAMES[0])
        assert await ids(folder) == []
