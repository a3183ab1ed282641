"""Outcome tables as files of rows: CSV, JSON lines and Parquet. Strict: each fault is named with its line and field."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from calibrator.tables.table import Outcome
from gateway.errors import ConfigurationError

Placed = tuple[Outcome, str]
"""An outcome, and where it stands."""

NEEDED: Final = ("item", "category", "arm", "correct", "cost")
OPTIONAL: Final = ("difficulty", "latency_s", "observed_at")
_TRUTHS: Final = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


def read_csv(lines: TextIO, name: str) -> Iterator[Placed]:
    """The outcomes of a CSV file, whose first line names the columns."""
    reader = csv.reader(lines, strict=True)
    try:
        columns = next(reader, [])
        places = _columns(columns, f"{name}, line 1")
        width = len(columns)
        for row in reader:
            place = f"{name}, line {reader.line_num}"
            if len(row) != width:
                raise ConfigurationError(f"{place}: {len(row)} fields; the first line names {width} columns")
            yield _outcome({column: row[at] for column, at in places}, place), place
    except csv.Error as fault:
        raise ConfigurationError(f"{name}, line {reader.line_num}: no CSV: {fault}") from fault


def read_objects(lines: TextIO, name: str) -> Iterator[Placed]:
    """The outcomes of a file of JSON lines, an object for each."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"{name}, line {number}"
            yield _outcome(_checked(json_object(line, place), place), place), place


def read_parquet(file: Path) -> Iterator[Placed]:
    """The outcomes of a Parquet file; pyarrow reads it, and is not installed with Ponder."""
    try:
        from pyarrow import parquet
    except ImportError as fault:
        raise ConfigurationError(
            f"{file.name}: Parquet is read by pyarrow, which is not installed: `.venv/bin/pip install pyarrow`, "
            "or write the table as CSV"
        ) from fault
    number = 0
    for batch in parquet.ParquetFile(file).iter_batches():
        for row in batch.to_pylist():
            number += 1
            place = f"{file.name}, row {number}"
            yield _outcome(_checked(row, place), place), place


def json_object(line: str, place: str) -> Mapping[str, Any]:
    """The JSON object of a line. Raises ConfigurationError for anything else."""
    try:
        row = json.loads(line)
    except ValueError as fault:
        raise ConfigurationError(f"{place}: not JSON; one object for each outcome is expected") from fault
    if not isinstance(row, dict):
        raise ConfigurationError(f"{place}: a {type(row).__name__}; one object for each outcome is expected")
    return row


def _columns(columns: Sequence[str], place: str) -> list[tuple[str, int]]:
    _check_names(columns, place)
    if len(set(columns)) != len(columns):
        raise ConfigurationError(f"{place}: a column is named twice")
    return [(column, columns.index(column)) for column in columns]


def _checked(row: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    _check_names(row, place)
    return row


def _check_names(names: Sequence[str] | Mapping[str, Any], place: str) -> None:
    unknown = [name for name in names if name not in NEEDED and name not in OPTIONAL]
    missing = [name for name in NEEDED if name not in names]
    if unknown or missing:
        said = f"{unknown[0]!r} is unknown" if unknown else f"{missing[0]!r} is missing"
        raise ConfigurationError(f"{place}: {said}; {', '.join(NEEDED)} are needed, {', '.join(OPTIONAL)} may follow")


def _outcome(row: Mapping[str, Any], place: str) -> Outcome:
    return Outcome(
        item=_text(row, "item", place),
        category=_text(row, "category", place),
        difficulty=_text(row, "difficulty", place) if row.get("difficulty") else None,
        arm=_text(row, "arm", place),
        score=score(row["correct"], "correct", place),
        cost=amount(row["cost"], "cost", place),
        latency_s=amount(row["latency_s"], "latency_s", place) if _is_said(row, "latency_s") else math.nan,
        observed_at=moment(row["observed_at"], place) if _is_said(row, "observed_at") else math.nan,
    )


def _is_said(row: Mapping[str, Any], name: str) -> bool:
    return row.get(name) not in (None, "")


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    value = row[name]
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise ConfigurationError(f"{place}: {name}: a text is expected")
    return str(value)


def score(value: Any, name: str, place: str) -> float:
    """A score from 0 to 1, or true or false. Raises ConfigurationError for anything else, nothing included."""
    known = _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None
    number = known if known is not None else _number(value)
    if not 0 <= number <= 1:
        raise ConfigurationError(f"{place}: {name}: {value!r} is no score; 0 to 1, true and false are")
    return number


def amount(value: Any, name: str, place: str) -> float:
    """A number, zero or more. Raises ConfigurationError for anything else, nothing included."""
    number = _number(value)
    if not 0 <= number < math.inf:
        raise ConfigurationError(f"{place}: {name}: {value!r} is no number from zero on")
    return number


def moment(value: Any, place: str) -> float:
    """A time in Unix seconds: from those, or from a date or time in ISO 8601, UTC where it does not say."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    number = _number(value)
    if math.isfinite(number):
        return number
    try:
        read = datetime.fromisoformat(str(value))
    except ValueError as fault:
        raise ConfigurationError(
            f"{place}: observed_at: {value!r} is no time; 2026-11-22, 2026-11-22T10:00:00Z and Unix seconds are"
        ) from fault
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _number(value: Any) -> float:
    """The number; nan for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
