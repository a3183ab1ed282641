"""INSERTs that meet a row with their key: it stays, or it takes the new values. The same on both databases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, Insert, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class KeepingInsert(Insert):
    """An INSERT that leaves a row alone whose key is there; of many rows the others are written."""

    inherit_cache = True


class ReplacingInsert(Insert):
    """An INSERT that gives a row whose key is there the new values of all its other columns."""

    inherit_cache = True


@compiles(KeepingInsert)
def _keeping(element: KeepingInsert, compiler: SQLCompiler, **options: Any) -> str:
    return f"{_plain(element, compiler, options)} ON CONFLICT DO NOTHING"


@compiles(ReplacingInsert)
def _replacing(element: ReplacingInsert, compiler: SQLCompiler, **options: Any) -> str:
    table = element.table
    assert isinstance(table, Table)  # noqa: S101  an INSERT's is one
    keys, others = _names(table.primary_key), _names(each for each in table.columns if not each.primary_key)
    values = ", ".join(f"{name} = excluded.{name}" for name in others)
    return f"{_plain(element, compiler, options)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {values}"


def _plain(element: Insert, compiler: SQLCompiler, options: Mapping[str, Any]) -> str:
    statement: str = compiler.visit_insert(element, **options)  # type: ignore[no-untyped-call]  # SQLAlchemy has no type
    return statement


def _names(columns: Iterable[Column[Any]]) -> list[str]:
    return [column.name for column in columns]
