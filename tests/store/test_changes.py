"""Tests of gateway/store/changes.py: numbers, undoing, and an audit log that only grows."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.store.base import Database, open_async
from gateway.store.changes import AuditEntry, Changes, last_number
from tests.store.records import NOON
from tests.store.tenants import ADMIN


async def _make(changes: Changes, target: str = "key:1") -> int:
    async with changes.begin(ADMIN) as change:
        await change.record("test", target, before=None, after={"n": change.number, "ü": [None, 0.5]})
    return change.number


async def _fail(changes: Changes) -> None:
    async with changes.begin(ADMIN) as change:
        await change.record("test", "key:1", before=None, after=None)
        raise RuntimeError


async def _number(changes: Changes) -> int:
    async with changes.reading() as connection:
        return await last_number(connection)


async def test_changes_are_numbered_and_audited(changes: Changes) -> None:
    """Each change has the next number, and its row tells who, when, what, before and after."""
    assert [await _make(changes) for _ in range(3)] == [1, 2, 3]
    assert await _number(changes) == 3
    newest, *_ = await changes.audit(limit=10)
    assert newest == AuditEntry(3, NOON, "admin", "test", "key:1", None, {"n": 3, "ü": [None, 0.5]})


async def test_a_change_that_records_nothing_is_undone(changes: Changes) -> None:
    """A change without its row in the audit log, or one that fails, leaves neither number nor pepper behind."""
    async with changes.begin(ADMIN) as change:
        await change.set_pepper("unrecorded")
    with pytest.raises(RuntimeError):
        await _fail(changes)
    assert await _number(changes) == 0
    assert await changes.pepper() is None
    assert await changes.audit(limit=10) == []


async def test_changes_at_once_follow_one_another(changes: Changes) -> None:
    """Changes made at the same time take turns, and each number is given once."""
    numbers = await asyncio.gather(*(_make(changes) for _ in range(8)))
    assert sorted(numbers) == list(range(1, 9))


async def test_the_log_is_read_by_pages_and_by_target(changes: Changes) -> None:
    """The newest come first, those before a number next, and those of one target apart."""
    for target in ("key:1", "team:1", "key:1", "key:2"):
        await _make(changes, target)
    assert [entry.number for entry in await changes.audit(limit=3)] == [4, 3, 2]
    assert [entry.number for entry in await changes.audit(limit=3, before=2)] == [1]
    assert [entry.number for entry in await changes.audit(limit=3, target="key:1")] == [3, 1]


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_the_log_only_grows(changes: Changes, database: Database, statement: str) -> None:
    """The database itself refuses to alter or delete what the log holds."""
    await _make(changes)
    engine = open_async(database, connections=1)
    expected = "syntax error" if statement.startswith("TRUNCATE") and database.is_sqlite else "only grows"
    with pytest.raises(DBAPIError, match=expected):
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    await engine.dispose()
    assert len(await changes.audit(limit=10)) == 1
