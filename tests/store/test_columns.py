"""Tests of gateway/store/columns.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Engine, MetaData, Table, create_engine, insert, select, text

from gateway.store.base import Database, open_async
from gateway.store.columns import Document, UtcDay, UtcTime
from gateway.store.tables import draws, requests
from tests.store.records import DAY_S, NOON

_moments = Table("moments", MetaData(), Column("moment", UtcTime), Column("document", Document))


@pytest.fixture(scope="module")
def memory() -> Engine:
    """An SQLite database for values that need no server."""
    engine = create_engine("sqlite://")
    _moments.metadata.create_all(engine)
    return engine


@given(st.integers(min_value=0, max_value=4_000_000_000_000_000))
def test_a_time_comes_back_to_the_microsecond(memory: Engine, microseconds: int) -> None:
    """Any time until 2096 survives storage, to the microsecond."""
    with memory.connect() as connection:
        connection.execute(insert(_moments).values(moment=microseconds / 1e6))
        (found,) = connection.scalars(select(_moments.c.moment)).all()
    assert found == pytest.approx(microseconds / 1e6, abs=5e-7, rel=0)


async def test_values_mean_the_same_in_both_databases(database: Database) -> None:
    """Times, days and documents come back alike, a missing document as NULL."""
    engine = open_async(database, connections=1)
    async with engine.begin() as connection:
        await connection.run_sync(_moments.metadata.create_all)
        rows: list[dict[str, object]] = [
            {"moment": NOON + DAY_S / 2 - 1e-6, "document": {"a": [1, "ü"]}},
            {"moment": NOON + DAY_S / 2, "document": None},
        ]
        await connection.execute(insert(_moments), rows)
        found = await connection.execute(
            select(_moments.c.moment, UtcDay(_moments.c.moment), _moments.c.document).order_by(_moments.c.moment)
        )
        assert [tuple(row) for row in found] == [
            (NOON + DAY_S / 2 - 1e-6, "2026-11-22", {"a": [1, "ü"]}),
            (NOON + DAY_S / 2, "2026-11-23", None),
        ]
        assert await connection.scalar(text("SELECT count(*) FROM moments WHERE document IS NULL")) == 1
    await engine.dispose()


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_postgres_keeps_native_types(database: Database) -> None:
    """On PostgreSQL ids are UUIDs, times know their zone, and documents are JSONB."""
    engine = open_async(database, connections=1)
    async with engine.connect() as connection:
        found = await connection.execute(
            text(
                "SELECT column_name, data_type FROM information_schema.columns"
                " WHERE table_name = 'requests' AND column_name IN ('id', 'started_at', 'plan')"
            )
        )
        assert {tuple(row) for row in found} == {
            ("id", "uuid"),
            ("started_at", "timestamp with time zone"),
            ("plan", "jsonb"),
        }
    await engine.dispose()


def test_every_key_begins_with_the_start() -> None:
    """Tables can be partitioned by day, as every key begins with the request's start."""
    assert [table.primary_key.columns.keys()[0] for table in (requests, draws)] == ["started_at", "started_at"]
