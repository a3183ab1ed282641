"""How commands print results: a table for people, JSON with ``--json`` for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

_UNFOLDED = 2_000
_Command = TypeVar("_Command", bound=Callable[..., Any])


def json_option(command: _Command) -> _Command:
    """Add ``--json``, handed to the command as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_rows(columns: Sequence[str], rows: Sequence[Mapping[str, str]], *, title: str | None = None) -> None:
    """Print rows as a table; a row without a column's name leaves its cell empty."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(row.get(column, "") for column in columns))
    # Markup and highlighting are off: names and messages are shown as they are. A pipe has no width to fold at.
    width = None if sys.stdout.isatty() else _UNFOLDED
    Console(highlight=False, markup=False, width=width).print(table)
