"""How far work is that takes longer than a moment: a bar on a terminal, on standard error; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from calibrator.measure import Progress as Measured
from gateway.domain.money import show


@contextmanager
def counted(total: int | None, what: str) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` are done; what is yielded takes the number."""
    columns = (BarColumn(), TextColumn("{task.completed:,.0f}" + f" {what},"), TimeElapsedColumn(), TextColumn("gone,"))
    left = (TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, *left, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def measuring() -> Iterator[Callable[[Measured], None]]:
    """Show how far a run is, what it spent, and how long it will take at this pace."""
    columns = (BarColumn(), TextColumn("{task.completed:,.0f} of at most {task.total:,.0f} answers,"))
    money = (TextColumn("${task.fields[spent]} of ${task.fields[cap]},"), TimeElapsedColumn(), TextColumn("gone,"))
    left = (TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, *money, *left, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=1, spent="0", cap="0")

        def report(now: Measured) -> None:
            bar.update(
                task, completed=now.done, total=now.done + max(now.left, 0), spent=show(now.spent), cap=show(now.cap)
            )

        yield report
