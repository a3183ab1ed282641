"""Tests of gateway/store/schema.py and migrations."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import gateway
from gateway.errors import ConfigurationError, Unavailable
from gateway.store import schema
from gateway.store.base import locate, metadata, open_async
from gateway.store.requests import Filter, Requests
from gateway.store.retention import Retention
from gateway.store.sinks import open_sink
from tests.store.records import BARE, FULL


async def _execute(url: str, *statements: str) -> None:
    engine = open_async(locate(url), connections=1)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


_PARTITION = re.compile(r".*_(default|(day|until)_\d{8})")


async def _tables(url: str, *, with_partitions: bool = False) -> set[str]:
    """The tables, mostly without the partitions that some have on PostgreSQL."""
    engine = open_async(locate(url), connections=1)
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda shared: inspect(shared).get_table_names())
    await engine.dispose()
    return {name for name in names if with_partitions or not _PARTITION.fullmatch(name)}


async def _python(code: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        *arguments,
        cwd=Path(gateway.__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().strip()


_UPGRADE = "import asyncio, sys; from gateway.store import schema; print(asyncio.run(schema.upgrade(sys.argv[1])))"


def test_the_head_is_that_of_the_migrations() -> None:
    """The constant that a start compares with is the newest migration's revision."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_each_migration_is_named_by_its_revision() -> None:
    """Files and revisions carry the same date, so that both sort in the order in which they apply."""
    names = sorted(path.name for path in (schema.MIGRATIONS / "versions").glob("*.py"))
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert [re.sub(r"^(\d{4})-(\d\d)-(\d\d)-(\d{4})_.*", r"\1\2\3_\4", name) for name in names] == [
        script.revision for script in reversed(scripts)
    ]


async def test_an_upgrade_makes_the_tables_once(empty_url: str) -> None:
    """An empty database is brought to this release; a second time there is nothing to do."""
    assert await schema.revision(empty_url) is None
    assert await schema.upgrade(empty_url)
    assert await schema.revision(empty_url) == schema.HEAD
    assert await _tables(empty_url) == {"alembic_version", *metadata.tables}
    assert not await schema.upgrade(empty_url)


async def test_the_migrations_make_what_the_code_declares(url: str) -> None:
    """Alembic finds no difference between the tables declared and those migrated to."""
    await schema.run_alembic(url, lambda command, configuration: command.check(configuration))


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE draws ADD COLUMN surplus INTEGER",
        "DROP INDEX ix_requests_id",
        "DROP TABLE request_texts",
    ],
)
async def test_a_schema_that_drifted_is_found(url: str, change: str) -> None:
    """The comparison notices a column too many, an index or a table too few."""
    await _execute(url, change)
    with pytest.raises(ConfigurationError, match="New upgrade operations detected"):
        await schema.run_alembic(url, lambda command, configuration: command.check(configuration))


async def test_down_and_up_with_data(url: str) -> None:
    """A schema with rows in it goes down to nothing and comes up again, ready for rows."""
    for _ in range(2):
        sink, store = open_sink(locate(url)), Requests(locate(url))
        await sink.write([FULL])
        assert await store.find(FULL.id) == FULL
        await sink.close()
        await store.close()
        await schema.run_alembic(url, lambda command, configuration: command.downgrade(configuration, "base"))
        assert await _tables(url) == {"alembic_version"}
        assert await schema.revision(url) is None
        assert await schema.upgrade(url)


async def test_rows_stay_while_days_come_and_go(url: str) -> None:
    """A log without partitions gets them without losing a row, loses them again, and finds each row by its id."""
    sink, store = open_sink(locate(url)), Requests(locate(url))
    await sink.write([FULL, BARE])
    for _ in range(2):
        await schema.run_alembic(url, lambda command, configuration: command.downgrade(configuration, "20261122_1540"))
        assert not [name for name in await _tables(url, with_partitions=True) if _PARTITION.fullmatch(name)]
        assert await schema.upgrade(url)
        assert [await store.find(each.id) for each in (FULL, BARE)] == [FULL, BARE]
    await sink.write([FULL, BARE])
    assert (await store.totals(Filter())).requests == 2
    await sink.close()
    await store.close()


async def test_carried_sums_go_with_their_table(url: str) -> None:
    """Without spent_before the log stays as it is; deletions carry again once the table is back."""
    sink, store, retention = open_sink(locate(url)), Requests(locate(url)), Retention(locate(url))
    await sink.write([FULL, BARE])
    last = max(FULL.started_at, BARE.started_at)
    assert await retention.delete_requests(last, now=last) == 1
    await schema.run_alembic(url, lambda command, configuration: command.downgrade(configuration, "20261122_0857"))
    assert "spent_before" not in await _tables(url)
    assert (await store.totals(Filter())).requests == 1
    assert await schema.upgrade(url)
    assert await retention.delete_requests(last + 1, now=last) == 1
    for each in (sink, store, retention):
        await each.close()


async def test_a_failed_upgrade_leaves_nothing_behind(empty_url: str) -> None:
    """A migration that fails half-way is undone whole, and succeeds once the obstacle is gone."""
    await _execute(empty_url, "CREATE TABLE draws (obstacle INTEGER)")
    with pytest.raises(ConfigurationError):
        await schema.upgrade(empty_url)
    assert "requests" not in await _tables(empty_url)
    await _execute(empty_url, "DROP TABLE draws")
    assert await schema.upgrade(empty_url)


async def test_many_processes_migrate_once(empty_url: str) -> None:
    """Processes and tasks that start together on an empty database all find it migrated, by one of them."""
    outcomes = await asyncio.gather(
        _python(_UPGRADE, empty_url),
        _python(_UPGRADE, empty_url),
        schema.upgrade(empty_url),
        schema.upgrade(empty_url),
    )
    assert len(outcomes) == 4
    assert await schema.revision(empty_url) == schema.HEAD
    engine = open_async(locate(empty_url), connections=1)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    await engine.dispose()


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_a_migrator_waits_for_the_other(empty_url: str) -> None:
    """On PostgreSQL a migrator waits while another holds the lock, and then finds its work done."""
    engine = open_async(locate(empty_url), connections=1)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": schema.MIGRATION_LOCK})
        waiting = asyncio.create_task(schema.upgrade(empty_url))
        blocked = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        async with asyncio.timeout(20):
            while not await connection.scalar(blocked):  # noqa: ASYNC110 - a state of the server
                await asyncio.sleep(0.01)
        assert not waiting.done()
        assert "requests" not in await _tables(empty_url)
        await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": schema.MIGRATION_LOCK})
        assert await waiting
    await engine.dispose()


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_a_migration_gives_up_on_a_lock(url: str) -> None:
    """A migration that meets a locked table ends within its lock timeout, and says that waiting can help."""
    engine = open_async(locate(url), connections=1)
    async with engine.begin() as connection:
        await connection.execute(text("LOCK TABLE draws IN ACCESS SHARE MODE"))
        with pytest.raises(Unavailable, match="55P03"):
            await schema.run_alembic(url, lambda command, configuration: command.downgrade(configuration, "base"))
    await engine.dispose()
    assert await schema.revision(url) == schema.HEAD


async def test_a_newer_schema_is_left_alone(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The release before can start on the schema of the release after, and says so."""
    await _execute(url, "UPDATE alembic_version SET version_num = '29990101_0000'")
    assert not await schema.upgrade(url)
    assert await schema.revision(url) == "29990101_0000"
    assert "newer than this release's" in caplog.text


async def test_a_schema_of_nobodys_is_refused(url: str) -> None:
    """A revision that no migration of ours leads from is the operator's to sort out."""
    await _execute(url, "UPDATE alembic_version SET version_num = '1999'")
    with pytest.raises(ConfigurationError, match="Can't locate revision"):
        await schema.upgrade(url)


async def test_a_current_schema_needs_no_alembic(tmp_path: Path, migrated_sqlite: Path) -> None:
    """A start with a current schema does not import Alembic, nor the drivers of the other database."""
    shutil.copy(migrated_sqlite, tmp_path / "ponder.db")
    code = _UPGRADE + "; print([name for name in ('alembic', 'asyncpg') if name in sys.modules])"
    assert await _python(code, f"sqlite:///{tmp_path}/ponder.db") == "False\n[]"


async def test_a_draft_holds_the_difference(tmp_path: Path, migrated_sqlite: Path) -> None:
    """A drafted migration is a file of its own, named by date, that adds what the database lacks."""
    shutil.copy(migrated_sqlite, tmp_path / "ponder.db")
    connection = sqlite3.connect(tmp_path / "ponder.db")
    connection.execute("DROP INDEX ix_requests_id")
    connection.close()
    folder = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    await schema.draft(f"sqlite:///{tmp_path}/ponder.db", "Find requests by id", folder=folder)
    (drafted,) = folder.glob("versions/*_find_requests_by_id.py")
    source = drafted.read_text()
    compile(source, drafted.name, "exec")
    assert "ix_requests_id" in source
    assert f"down_revision = '{schema.HEAD}'" in source
