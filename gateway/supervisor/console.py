"""The one readable log: every line begins with the name of the process that wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

OWN_NAME = "ponder"
_COLOURS = (36, 33, 35, 32, 34, 31)  # cyan, yellow, magenta, green, blue, red
_BOLD = 1


class Console:
    """Writes lines, each prefixed with its writer's name; in colour where a person reads along."""

    def __init__(self, out: TextIO, names: Iterable[str], *, is_coloured: bool) -> None:
        ordered = tuple(names)
        width = max(map(len, (OWN_NAME, *ordered)))
        codes = {OWN_NAME: _BOLD} | {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(ordered)}
        self._out = out
        self._is_open = True
        self._prefixes = {
            name: f"\x1b[{code}m{name:<{width}} |\x1b[0m " if is_coloured else f"{name:<{width}} | "
            for name, code in codes.items()
        }

    def line(self, name: str, text: str) -> None:
        """Write one line of the process ``name``."""
        self._write(self._prefixes[name] + text + "\n")

    def say(self, text: str) -> None:
        """Write a line of the supervisor's own."""
        self.line(OWN_NAME, text)

    def block(self, text: str) -> None:
        """Write text as it is, without a prefix."""
        self._write(text)

    def _write(self, text: str) -> None:
        if not self._is_open:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            # The reader went away (`ponder up | head`); the processes go on without a log.
            self._is_open = False
