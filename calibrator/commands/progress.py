"""How far work is that takes longer than a moment: a bar on a terminal, on standard error; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def counted(total: int | None, what: str) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` are done; what is yielded takes the number."""
    columns = (BarColumn(), TextColumn("{task.completed:,.0f}" + f" {what},"), TimeElapsedColumn(), TextColumn("gone,"))
    left = (TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, *left, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)
