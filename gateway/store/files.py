"""Files, kept in chunks: written and read without ever being whole in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.background import FilePurpose, StoredFile
from gateway.errors import Unavailable
from gateway.store.background_tables import file_chunks, files
from gateway.store.connections import Connections

CHUNK_BYTES = 256 * 1024
"""What writers put into one chunk: a transaction of a millisecond or two."""

UNFINISHED_S = 3600.0
"""How long a file that is being written keeps its place after its last chunk: its process may have ended."""
_DELETED_AT_ONCE = 50


class FileDraft:
    """A file being written: nobody sees it before it is complete."""

    def __init__(self, connections: Connections, file_id: str) -> None:
        self._connections = connections
        self._id = file_id
        self._waiting = bytearray()
        self._chunks = 0
        self.size = 0

    async def write(self, data: bytes, *, now: float) -> None:
        """Add bytes. Raises Unavailable or ConfigurationError."""
        self._waiting += data
        self.size += len(data)
        while len(self._waiting) >= CHUNK_BYTES:
            await self._store(CHUNK_BYTES, now)

    async def flush(self, *, now: float) -> None:
        """Store what is left."""
        if self._waiting:
            await self._store(len(self._waiting), now)

    async def _store(self, size: int, now: float) -> None:
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        values = {"file_id": self._id, "number": self._chunks, "data": data}
        self._chunks += 1
        async with self._connections.writing() as connection:
            grown = {"size": files.c.size + size, "kept_until": now + UNFINISHED_S}
            await _change(connection, self._id, grown)
            await connection.execute(insert(file_chunks).values(values))


class Files:
    """The files in a database; each belongs to one key."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def begin(self, file_id: str, key_id: str, purpose: FilePurpose, *, now: float) -> FileDraft:
        """A new file, to be written and then completed or abandoned."""
        values = {
            "id": file_id,
            "key_id": key_id,
            "purpose": purpose,
            "name": "",
            "size": 0,
            "is_complete": False,
            "created_at": now,
            "kept_until": now + UNFINISHED_S,
        }
        async with self._connections.writing() as connection:
            await connection.execute(insert(files).values(values))
        return FileDraft(self._connections, file_id)

    async def complete(self, draft: FileDraft, file: StoredFile, *, now: float) -> None:
        """Make a file that was written whole its key's."""
        await draft.flush(now=now)
        async with self._connections.writing() as connection:
            await completed(connection, file)

    async def abandon(self, file_id: str) -> None:
        """Forget a file, complete or not."""
        async with self._connections.writing() as connection:
            await _delete(connection, [file_id])

    async def find(self, file_id: str, key_id: str, *, now: float) -> StoredFile | None:
        """A key's file, unless its time is over."""
        async with self._connections.reading() as connection:
            statement = select(files).where(files.c.id == file_id, *_visible(key_id, now))
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else _to_file(row)

    async def stored_bytes(self, key_id: str) -> int:
        """How many bytes a key's files have together, of those being written what is stored so far."""
        total = select(func.coalesce(func.sum(files.c.size), 0)).where(files.c.key_id == key_id)
        async with self._connections.reading() as connection:
            return int((await connection.execute(total)).scalar_one())

    async def page(
        self,
        key_id: str,
        *,
        limit: int,
        now: float,
        after: str | None = None,
        purpose: FilePurpose | None = None,
        is_ascending: bool = False,
    ) -> list[StoredFile]:
        """A key's files, the newest first unless told otherwise; those that follow ``after``."""
        statement = select(files).where(*_visible(key_id, now)).limit(limit)
        if purpose is not None:
            statement = statement.where(files.c.purpose == purpose)
        if after is not None:
            statement = statement.where(files.c.id > after if is_ascending else files.c.id < after)
        order = files.c.id.asc() if is_ascending else files.c.id.desc()  # ids begin with their time
        async with self._connections.reading() as connection:
            return [_to_file(row) for row in (await connection.execute(statement.order_by(order))).mappings()]

    async def chunks(self, file_id: str) -> AsyncIterator[bytes]:
        """The file's bytes in order, each chunk read when it is asked for."""
        number = 0
        while True:
            wanted = select(file_chunks.c.data).where(file_chunks.c.file_id == file_id, file_chunks.c.number == number)
            async with self._connections.reading() as connection:
                data: bytes | None = await connection.scalar(wanted)
            if data is None:
                return
            yield data
            number += 1

    async def delete(self, file_id: str, key_id: str, *, now: float) -> bool:
        """Delete a key's file; False if there is none."""
        if await self.find(file_id, key_id, now=now) is None:
            return False
        await self.abandon(file_id)
        return True

    async def delete_ended(self, *, now: float) -> int:
        """Delete files whose time is over, some dozens at most; how many they were."""
        over = select(files.c.id).where(files.c.kept_until <= now).limit(_DELETED_AT_ONCE)
        async with self._connections.reading() as connection:
            found = (await connection.execute(over)).scalars().all()
        for file_id in found:
            await self.abandon(file_id)
        return len(found)


async def completed(connection: AsyncConnection, file: StoredFile) -> None:
    """Make a written file visible, within a transaction."""
    values: dict[str, Any] = {
        "name": file.name,
        "size": file.size,
        "purpose": file.purpose,
        "is_complete": True,
        "kept_until": file.kept_until,
    }
    await _change(connection, file.id, values)


async def _change(connection: AsyncConnection, file_id: str, values: dict[str, Any]) -> None:
    """Change the row of a file that is being written. Raises Unavailable if it stood still for too long."""
    changed = await connection.execute(update(files).where(files.c.id == file_id).values(values))
    if not changed.rowcount:
        raise Unavailable("this file was given up, as nothing was added to it for an hour; write it again")


async def _delete(connection: AsyncConnection, file_ids: Sequence[str]) -> None:
    await connection.execute(delete(file_chunks).where(file_chunks.c.file_id.in_(file_ids)))
    await connection.execute(delete(files).where(files.c.id.in_(file_ids)))


def _visible(key_id: str, now: float) -> tuple[ColumnElement[bool], ...]:
    return files.c.key_id == key_id, files.c.is_complete, files.c.kept_until > now


def _to_file(row: RowMapping) -> StoredFile:
    return StoredFile(
        id=row["id"],
        key_id=row["key_id"],
        purpose=FilePurpose(row["purpose"]),
        name=row["name"],
        size=row["size"],
        created_at=row["created_at"],
        kept_until=row["kept_until"],
    )
