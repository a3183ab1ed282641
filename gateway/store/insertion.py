"""Writing rows exactly once, on either database.

Rows carry keys that come from their record alone, and a row whose key is already there is left
alone. So a batch may be written again after a failure, or by two writers at once, and counts once.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import Connection, Dialect, Table, insert

from gateway.store.rows import Batch, Row
from gateway.store.tables import draws, request_texts, requests
from gateway.store.traffic_tables import traffic_minute_marks


def write(connection: Connection, batch: Batch) -> None:
    """Write the batch in the connection's transaction; rows already present stay as they are."""
    _write_rows(connection, requests, batch.requests)
    _write_rows(connection, draws, batch.draws)
    _write_rows(connection, request_texts, batch.texts)
    _write_rows(connection, traffic_minute_marks, batch.marks)


def _write_rows(connection: Connection, table: Table, rows: list[Row]) -> None:
    if rows:
        connection.exec_driver_sql(_statement(table, connection.dialect), rows)


@cache
def _statement(table: Table, dialect: Dialect) -> str:
    """The INSERT in the driver's words; its parameters stand in the order of the table's columns."""
    return f"{insert(table).compile(dialect=dialect)} ON CONFLICT DO NOTHING"
