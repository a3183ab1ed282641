"""Which export a file is, told by its header, and its rows one after the other."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from gateway.adapters.cost_exports import anthropic, openai
from gateway.adapters.cost_exports.fields import Malformed, Row
from gateway.domain.reconciliation import Charge, Measure
from gateway.errors import ConfigurationError

_LARGEST_JSON = 64 * 1024 * 1024
"""A page of the Admin APIs has 31 days at most; many pages together stay far below."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of export: whose, what it counts, the columns by which it is known, and how a row reads."""

    name: str
    provider: str
    measure: Measure
    columns: tuple[str, ...]
    read: Callable[[Row], Charge | None]


CSV_SHAPES = (
    Shape(
        "Anthropic console, cost", "anthropic", Measure.COST,
        ("usage_date_utc", "model", "token_type", "cost_usd"), anthropic.console_cost,
    ),
    Shape(
        "Anthropic console, usage", "anthropic", Measure.TOKENS,
        ("usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens"),
        anthropic.console_usage,
    ),
    Shape(
        "OpenAI dashboard, costs", "openai", Measure.COST,
        ("start_time", "amount_value", "amount_currency", "line_item"), openai.costs,
    ),
    Shape(
        "OpenAI dashboard, completions usage", "openai", Measure.TOKENS,
        ("start_time", "num_model_requests", "model", "input_tokens", "output_tokens"), openai.completions,
    ),
)  # fmt: skip
JSON_SHAPES = (
    Shape(
        "Anthropic Admin API, cost_report", "anthropic", Measure.COST,
        ("starting_at", "amount", "currency"), anthropic.reported_cost,
    ),
    Shape(
        "Anthropic Admin API, usage_report/messages", "anthropic", Measure.TOKENS,
        ("starting_at", "uncached_input_tokens", "output_tokens"), anthropic.reported_usage,
    ),
    Shape(
        "OpenAI Admin API, costs", "openai", Measure.COST,
        ("start_time", "amount_value", "amount_currency"), openai.costs,
    ),
    Shape(
        "OpenAI Admin API, usage/completions", "openai", Measure.TOKENS,
        ("start_time", "num_model_requests", "input_tokens", "output_tokens"), openai.completions,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Export:
    """An export that was recognised. ``charges`` can be gone through once, while the file is open."""

    shape: Shape
    charges: Iterator[Charge]


def open_export(file: TextIO, name: str) -> Export:
    """Recognise the export by its header; the file is to be open as UTF-8 text (``utf-8-sig``, ``newline=""``).

    Raises ConfigurationError, naming what is accepted and the columns that were found; going through
    ``charges`` raises it as well, naming the line.
    """
    try:
        start = file.read(1)
        while start.isspace():
            start = file.read(1)
        if start in {"{", "["}:
            return _open_json(start + file.read(_LARGEST_JSON), name)
        lines = csv.reader(_continued(start, file))
        header = [column.strip() for column in next(lines)]
    except (StopIteration, csv.Error, UnicodeDecodeError) as fault:
        raise ConfigurationError(f"{name} has no header of a CSV file; accepted are:{_accepted()}") from fault
    shape = _recognise(CSV_SHAPES, header, name)
    return Export(shape, _csv_charges(shape, header, lines, name))


def open_file(path: Path) -> TextIO:
    """The file as text. Raises ConfigurationError."""
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as fault:
        raise ConfigurationError(f"{path.name} cannot be read: {fault.strerror}") from fault


def _continued(start: str, file: TextIO) -> Iterator[str]:
    yield start + file.readline()
    yield from file


def _csv_charges(shape: Shape, header: list[str], lines: Iterable[list[str]], name: str) -> Iterator[Charge]:
    number = 1
    try:
        for number, line in enumerate(lines, start=2):  # noqa: B007  used where reading the next line fails
            if not any(line):
                continue
            # A line may be shorter, as spreadsheets cut off trailing cells that are empty.
            charge = shape.read(dict(zip(header, line, strict=False)))
            if charge is not None:
                yield charge
    except Malformed as fault:
        raise ConfigurationError(f"{name}, row {number}: {fault}") from fault
    except (csv.Error, UnicodeDecodeError) as fault:
        raise ConfigurationError(f"{name} cannot be read after row {number} ({type(fault).__name__})") from fault


def _open_json(text: str, name: str) -> Export:
    if len(text) > _LARGEST_JSON:
        raise ConfigurationError(f"{name} is larger than {_LARGEST_JSON} characters; give fewer pages at a time")
    try:
        # Decimal straight from the text: a float would already have lost the last digits.
        document = json.loads(text, parse_float=Decimal)
        pages = document if isinstance(document, list) else [document]
        if pages and pages[-1].get("has_more"):
            raise ConfigurationError(f"{name} is not whole: has_more is true; add the next pages, as a JSON array")
        rows = [_flat(bucket, result) for page in pages for bucket in page["data"] for result in bucket["results"]]
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as fault:
        raise ConfigurationError(f"{name} is no page of an Admin API; accepted are:{_accepted()}") from fault
    shape = _recognise(JSON_SHAPES, list(rows[0]) if rows else [], name)
    return Export(shape, _json_charges(shape, rows, name))


def _flat(bucket: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """A result with its bucket's times, and its amount as the CSV files have it."""
    times = {key: bucket[key] for key in ("starting_at", "start_time", "end_time") if key in bucket}
    amount = result.get("amount")
    apart = {f"amount_{key}": value for key, value in amount.items()} if isinstance(amount, dict) else {}
    return {**result, **apart, **times}


def _json_charges(shape: Shape, rows: list[dict[str, Any]], name: str) -> Iterator[Charge]:
    for number, row in enumerate(rows, start=1):
        try:
            charge = shape.read(row)
        except Malformed as fault:
            raise ConfigurationError(f"{name}, result {number}: {fault}") from fault
        if charge is not None:
            yield charge


def _recognise(shapes: Iterable[Shape], found: list[str], name: str) -> Shape:
    for shape in shapes:
        if set(shape.columns) <= set(found):
            return shape
    raise ConfigurationError(
        f"{name} is no export that is known. Its columns are: {', '.join(found) or 'none'}. Accepted are:{_accepted()}"
    )


def _accepted() -> str:
    return "".join(
        f"\n  {shape.name} ({kind}) with {', '.join(shape.columns)}"
        for kind, shapes in (("CSV", CSV_SHAPES), ("JSON", JSON_SHAPES))
        for shape in shapes
    )
