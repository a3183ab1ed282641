"""Tests of gateway/store/files.py, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.domain.background import FilePurpose, StoredFile
from gateway.errors import Unavailable
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.files import CHUNK_BYTES, Files
from tests.store.records import NOON


@pytest.fixture(name="files")
async def _files(database: Database) -> AsyncIterator[Files]:
    connections = Connections(database, most=2)
    yield Files(connections)
    await connections.close()


async def _kept(files: Files, file_id: str, *pieces: bytes, key_id: str = "k1") -> StoredFile:
    draft = await files.begin(file_id, key_id, FilePurpose.BATCH, now=NOON)
    for piece in pieces:
        await draft.write(piece, now=NOON)
    file = StoredFile(file_id, key_id, FilePurpose.BATCH, "a.jsonl", draft.size, NOON, NOON + 60)
    await files.complete(draft, file, now=NOON)
    return file


async def _bytes(files: Files, file_id: str) -> bytes:
    return b"".join([chunk async for chunk in files.chunks(file_id)])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 5])
async def test_a_file_is_read_as_it_was_written(files: Files, size: int) -> None:
    """Whatever its size, and in whatever pieces it came."""
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    file = await _kept(files, "f", data[:7], data[7:])
    assert await files.find("f", "k1", now=NOON) == file
    assert await _bytes(files, "f") == data


async def test_an_unfinished_file_is_nobody_s(files: Files) -> None:
    """A file that is being written is not there yet, and goes if it is never completed."""
    draft = await files.begin("f", "k1", FilePurpose.BATCH, now=NOON)
    await draft.write(b"x" * CHUNK_BYTES, now=NOON)
    assert await files.find("f", "k1", now=NOON) is None
    assert await files.page("k1", limit=9, now=NOON) == []
    assert await files.delete_ended(now=NOON + 3599) == 0
    assert await files.delete_ended(now=NOON + 3600) == 1
    assert await _bytes(files, "f") == b""


async def test_a_file_that_grows_keeps_its_place(files: Files) -> None:
    """The hour after which a file is given up runs from its last chunk, so that a slow upload comes to its end."""
    draft = await files.begin("f", "k1", FilePurpose.BATCH, now=NOON)
    for half_hours in range(1, 5):
        now = NOON + 1800 * half_hours
        await draft.write(b"x" * CHUNK_BYTES, now=now)
        assert await files.delete_ended(now=now) == 0
    file = StoredFile("f", "k1", FilePurpose.BATCH, "a.jsonl", draft.size, NOON, NOON + 9999)
    await files.complete(draft, file, now=NOON + 7200)
    assert await files.find("f", "k1", now=NOON + 7200) == file


async def test_a_file_that_was_given_up_cannot_be_completed(files: Files) -> None:
    """Whoever writes on after an hour's silence is told that the file is gone."""
    draft = await files.begin("f", "k1", FilePurpose.BATCH, now=NOON)
    await draft.write(b"x" * CHUNK_BYTES, now=NOON)
    assert await files.delete_ended(now=NOON + 3600) == 1
    with pytest.raises(Unavailable, match="write it again"):
        await draft.write(b"x" * CHUNK_BYTES, now=NOON + 3601)
    file = StoredFile("f", "k1", FilePurpose.BATCH, "a.jsonl", draft.size, NOON, NOON + 9999)
    with pytest.raises(Unavailable, match="write it again"):
        await files.complete(draft, file, now=NOON + 3601)
    assert await _bytes(files, "f") == b""


async def test_what_is_being_written_counts(files: Files) -> None:
    """A key's bytes are those of its files and of what has arrived of its uploads, nobody else's."""
    await _kept(files, "f", b"hello")
    draft = await files.begin("g", "k1", FilePurpose.BATCH, now=NOON)
    assert await files.stored_bytes("k1") == 5
    await draft.write(b"x" * (CHUNK_BYTES + 1), now=NOON)
    assert await files.stored_bytes("k1") == 5 + CHUNK_BYTES
    await draft.flush(now=NOON)
    assert await files.stored_bytes("k1") == 6 + CHUNK_BYTES
    assert await files.stored_bytes("k2") == 0


async def test_a_file_is_its_key_s_for_its_time(files: Files) -> None:
    """Another key does not find it, and nobody after its time."""
    await _kept(files, "f", b"hello")
    assert await files.find("f", "k2", now=NOON) is None
    assert not await files.delete("f", "k2", now=NOON)
    assert await files.find("f", "k1", now=NOON + 60) is None
    assert await files.delete_ended(now=NOON + 60) == 1


async def test_files_come_in_pages(files: Files) -> None:
    """Newest first or oldest first, those after one of them, of one purpose."""
    made = [await _kept(files, f"f{number}", b"x") for number in range(4)]
    await _kept(files, "g", b"x", key_id="k2")
    assert await files.page("k1", limit=2, now=NOON) == [made[3], made[2]]
    assert await files.page("k1", limit=9, now=NOON, after="f2") == [made[1], made[0]]
    assert await files.page("k1", limit=9, now=NOON, after="f1", is_ascending=True) == [made[2], made[3]]
    assert await files.page("k1", limit=9, now=NOON, purpose=FilePurpose.BATCH_OUTPUT) == []
