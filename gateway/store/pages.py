"""Long results, read a page at a time: each by a short query of its own, so that nothing waits for a long one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Select, tuple_

from gateway.store.connections import Connections


async def pages(
    connections: Connections,
    statement: Select[*tuple[Any, ...]],
    order: Sequence[Column[Any]],
    *,
    size: int,
    first: ColumnElement[bool] | None = None,
) -> AsyncIterator[Sequence[Row[*tuple[Any, ...]]]]:
    """The rows of a query by these columns, so many at a time; no page is empty.

    The columns are among those selected, are never null, and no two rows have the same ones. ``first`` says where
    the first page begins; for the others their place in the order does, which keeps an index's range narrow.
    """
    ordered = statement.order_by(*order).limit(size)
    following = ordered if first is None else ordered.where(first)
    while True:
        async with connections.reading() as connection:
            rows = (await connection.execute(following)).all()
        if rows:
            yield rows
        if len(rows) < size:
            return
        last = rows[-1]._mapping
        following = ordered.where(tuple_(*order) > tuple(last[column.name] for column in order))
