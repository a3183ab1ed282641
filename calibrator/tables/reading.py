"""Outcome tables from files, whatever their form: by what a file is called, and by what it holds."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, TextIO, cast

from calibrator.tables.results import Said, read_promptfoo, read_samples
from calibrator.tables.rows import Placed, json_object, read_csv, read_objects, read_parquet
from calibrator.tables.table import Gathering, OutcomeTable
from gateway.errors import ConfigurationError

FORMS: Final = ".csv, .jsonl, .json (promptfoo), each also with .gz, and .parquet"
_STEP: Final = 10_000


def read_table(
    files: Iterable[tuple[str | None, Path]],
    *,
    arms: Iterable[str] = (),
    said: Said | None = None,
    advance: Callable[[int], None] | None = None,
) -> OutcomeTable:
    """The table of all files together, each with the arm that its answers are of, where the file does not say.

    Costs that are said by arm take the place of recorded ones. ``advance`` is told the number of outcomes now and
    then. Raises ConfigurationError, naming file, line and field.
    """
    gathering = Gathering()
    known = said or Said()
    number = 0
    for arm, file in files:
        for outcome, place in _outcomes(file, replace(known, arm=arm)):
            gathering.add(outcome, place)
            number += 1
            if advance is not None and number % _STEP == 0:
                advance(number)
    table = gathering.table(arms)
    return table.with_costs(known.costs) if known.costs else table


def _outcomes(file: Path, said: Said) -> Iterator[Placed]:
    form = [suffix for suffix in file.suffixes if suffix != ".gz"][-1:]
    try:
        match form:
            case [".parquet"]:
                yield from read_parquet(file)
            case [".csv"]:
                with _opened(file) as lines:
                    yield from read_csv(lines, file.name)
            case [".jsonl"] | [".ndjson"]:
                yield from _json_lines(file, said)
            case [".json"]:
                with _opened(file) as lines:
                    yield from _promptfoo(lines, file.name, said)
            case _:
                raise ConfigurationError(f"{file.name} is of no known form; {FORMS} are")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as fault:
        raise ConfigurationError(f"{file.name} cannot be read: {type(fault).__name__}: {fault}") from fault


def _json_lines(file: Path, said: Said) -> Iterator[Placed]:
    """Outcomes, or the samples of lm-evaluation-harness: those have a ``doc_id``."""
    with _opened(file) as lines:
        first = next((line for line in lines if line.strip()), "{}")
    is_samples = "doc_id" in json_object(first, f"{file.name}, line 1")
    with _opened(file) as lines:
        yield from read_samples(lines, file.name, said) if is_samples else read_objects(lines, file.name)


def _promptfoo(lines: TextIO, name: str, said: Said) -> Iterator[Placed]:
    try:
        document = json.load(lines)
    except ValueError as fault:
        raise ConfigurationError(f"{name}: not JSON; a results file of promptfoo is expected") from fault
    yield from read_promptfoo(document, name, said)


def _opened(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return cast(TextIO, gzip.open(file, "rt", encoding="utf-8", newline=""))
    return file.open(encoding="utf-8", newline="")
