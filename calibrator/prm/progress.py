"""How far a long run is: a bar with the time left on a terminal, a line now and then elsewhere; on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gateway.domain.money import Usd, show

_LINES: Final = 20
"""Lines in all, where there is no terminal."""


class Shown:
    """Progress in items, with what was spent."""

    def __init__(self, items: int, spent: Callable[[], Usd]) -> None:
        self._items = items
        self._spent = spent
        self._done = 0.0
        self._said = 0
        self._has_terminal = sys.stderr.isatty()
        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total} items, ${task.fields[spent]} spent,"),
            TimeElapsedColumn(),
            TextColumn("gone,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
            disable=not self._has_terminal,
        )
        self._task = self._bar.add_task("", total=items, spent=show(spent()))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, items: float) -> None:
        """Some more is done."""
        self._done += items
        self._bar.update(self._task, completed=self._done, spent=show(self._spent()))
        part = int(self._done * _LINES / self._items)
        if not self._has_terminal and part > self._said:
            self._said = part
            click.echo(f"{self._done:.0f} of {self._items} items, ${show(self._spent())} spent", err=True)
