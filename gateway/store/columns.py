"""Column types and expressions that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Double, String, Uuid
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class UtcTime(TypeDecorator[float]):
    """Unix seconds in Python; a UTC time to the microsecond in the database, readable there as such."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = datetime.fromtimestamp(value, UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> float | None:
        return None if value is None else value.replace(tzinfo=UTC).timestamp()


class QuickUuid(Uuid[str]):
    """An id that is never NULL, as text, for who reads millions: nothing is made of SQLite's digits but that."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(as_uuid=False)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], str]:
        # What asyncpg makes of an id writes itself quickly.
        return str if dialect.supports_native_uuid else _hyphenated


def _hyphenated(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Document(TypeDecorator[Any]):
    """JSON text on SQLite, JSONB on PostgreSQL; None is NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(JSON(none_as_null=True))
        # Taken from the loaded dialect: importing it by name would cost an SQLite gateway 5 MB.
        jsonb: type[JSON] = dialect.ischema_names["jsonb"]  # type: ignore[attr-defined]
        return dialect.type_descriptor(jsonb(none_as_null=True))


class UtcDay(FunctionElement[str]):
    """The UTC day of a :class:`UtcTime` column, as ``2026-11-22``."""

    type = String()
    inherit_cache = True
    name = "utc_day"


@compiles(UtcDay, "sqlite")
def _sqlite_day(element: UtcDay, compiler: SQLCompiler, **options: Any) -> str:
    return f"date({compiler.process(element.clauses, **options)})"


@compiles(UtcDay, "postgresql")
def _postgres_day(element: UtcDay, compiler: SQLCompiler, **options: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


class UnixSeconds(FunctionElement[float]):
    """A :class:`UtcTime` column as Unix seconds, true to a tenth of a millisecond."""

    type = Double()
    inherit_cache = True
    name = "unix_seconds"


@compiles(UnixSeconds, "sqlite")
def _sqlite_seconds(element: UnixSeconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"((julianday({compiler.process(element.clauses, **options)}) - 2440587.5) * 86400.0)"


@compiles(UnixSeconds, "postgresql")
def _postgres_seconds(element: UnixSeconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(extract(epoch FROM {compiler.process(element.clauses, **options)}) AS double precision)"
