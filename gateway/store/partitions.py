"""The days of the tables of requests, on PostgreSQL: which partitions there are, and making those to come.

The four tables have the same partitions: one for each UTC day, one for all that was there before there were any
(``…_until_DAY``), and a default one that takes what has no place: days whose partition was not made in time, or is
gone. Names tell the bounds, so nothing else has to be kept; partitions with other names are an operator's own.
Dropping days is :mod:`gateway.store.retention`'s. SQLite has none of this.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import MetaData, Table, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.store.calibration_tables import outcomes
from gateway.store.tables import draws, request_texts, requests

PARTITIONED: Final = (requests, draws, request_texts, outcomes)
"""In the order in which a batch of records locks them: in another one, two transactions could wait in a circle."""
AHEAD_DAYS: Final = 7
"""So long nobody has to make any."""
LOCK_WAIT: Final = "SET LOCAL lock_timeout = '1s'"
"""What a change of partitions waits for a lock: queries that come later wait behind it."""
_TURN: Final = 7_665_776_983
"""The advisory lock of whoever changes partitions; the number before is the migrators'."""
_DAY_S: Final = 86_400.0
_NAME: Final = re.compile(r"(?P<table>[a-z_]+)_(?P<kind>day|until)_(?P<day>\d{8})")
_CHILDREN: Final = text(
    "SELECT child.relname FROM pg_inherits "
    "JOIN pg_class child ON child.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent "
    "WHERE parent.relname = :table AND pg_table_is_visible(parent.oid) ORDER BY 1"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a table; what began at ``ends`` or later is not in it. The default one has no end."""

    table: Table
    name: str
    ends: float | None
    is_day: bool

    def as_table(self) -> Table:
        """The partition as a table of its own, with the columns of the whole."""
        return self.table.to_metadata(MetaData(), name=self.name)


async def partitions_of(connection: AsyncConnection, table: Table) -> tuple[Partition, ...]:
    """The partitions of one of the four, by name; those with names that are not ours are left out."""
    names = (await connection.scalars(_CHILDREN, {"table": table.name})).all()
    return tuple(part for name in names if (part := _read(table, name)) is not None)


async def take_turn(connection: AsyncConnection) -> bool:
    """Whether partitions may be changed until the end of the transaction; not while somebody else does."""
    return bool(await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _TURN}))


async def make_ahead(engine: AsyncEngine, now: float) -> int:
    """Make the partitions of today and of the days to come that there are not; returns of how many days.

    A day that the default partition holds rows of stays there. Somebody else's turn at the same moment is left to
    them.
    """
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = 0
    for day in (today + timedelta(days=number) for number in range(AHEAD_DAYS + 1)):
        try:
            async with engine.begin() as connection:
                made += await _make(connection, day)
        except IntegrityError:
            _log.warning(
                "the partition of %s cannot be made, as rows of that day stand in the default one already; "
                "they are deleted one by one when their time is over", day.date(),
            )  # fmt: skip
    return made


async def _make(connection: AsyncConnection, day: datetime) -> bool:
    await connection.exec_driver_sql(LOCK_WAIT)
    if not await take_turn(connection):
        return False
    missing = [table for table in PARTITIONED if not _is_there(await partitions_of(connection, table), day.timestamp())]
    for table in missing:
        name = f"{table.name}_day_{day:%Y%m%d}"
        bounds = f"FROM ('{day.isoformat()}') TO ('{(day + timedelta(days=1)).isoformat()}')"
        # Made apart and then attached: to make it in its place would lock out whoever reads the other days.
        await connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL)")
        await connection.exec_driver_sql(f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES {bounds}")
    return bool(missing)


def _is_there(parts: Iterable[Partition], begins: float) -> bool:
    for part in parts:
        if part.ends is not None and (part.ends == begins + _DAY_S if part.is_day else begins < part.ends):
            return True
    return False


def _read(table: Table, name: str) -> Partition | None:
    if name == f"{table.name}_default":
        return Partition(table, name, ends=None, is_day=False)
    found = _NAME.fullmatch(name)
    if found is None or found["table"] != table.name:
        return None
    day = datetime.strptime(found["day"], "%Y%m%d").replace(tzinfo=UTC).timestamp()
    is_day = found["kind"] == "day"
    return Partition(table, name, day + _DAY_S if is_day else day, is_day)
