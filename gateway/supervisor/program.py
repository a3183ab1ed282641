"""What is supervised: a command, how it shows that it is ready, and how it is restarted."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

CONFIGURATION_EXIT = 2
"""The exit code of a process whose configuration is wrong: starting it again would change nothing."""


@dataclass(frozen=True, slots=True)
class AnswersHttp:
    """Ready once ``GET path`` answers 200."""

    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port}{self.path} answers"


@dataclass(frozen=True, slots=True)
class PrintsLine:
    """Ready once a line of its output holds ``text``."""

    text: str

    def __str__(self) -> str:
        return f"it prints {self.text!r}"


Readiness: TypeAlias = AnswersHttp | PrintsLine


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running.

    ``environment`` is its whole environment. When an ``is_essential`` program gives up, everything
    stops. ``grace_s`` is the time it has between SIGTERM and SIGKILL.
    """

    name: str
    command: tuple[str, ...]
    readiness: Readiness
    is_essential: bool
    environment: Mapping[str, str] = field(repr=False)
    grace_s: float = 10.0


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait before a restart: doubling from ``first_s``, and anew after a stable life."""

    first_s: float = 0.5
    ceiling_s: float = 30.0
    stable_s: float = 60.0

    def after(self, previous_s: float | None, *, lived_s: float) -> float:
        """The pause before the next start, given the last pause and how long the process lived."""
        if previous_s is None or lived_s >= self.stable_s:
            return self.first_s
        return min(previous_s * 2, self.ceiling_s)


def describe_exit(code: int) -> str:
    """An exit code of :mod:`subprocess` in words: ``exited with code 1``, ``was killed by SIGKILL``."""
    if code >= 0:
        return f"exited with code {code}"
    names = {member.value: member.name for member in signal.Signals}
    return f"was killed by {names.get(-code, f'signal {-code}')}"
