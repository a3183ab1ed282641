"""Ties child processes to their supervisor: when it dies, even by SIGKILL, they are told to stop.

Linux has a signal for this (PR_SET_PDEATHSIG). Elsewhere a sentry process holds a pipe whose other
end closes with the supervisor.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Protocol

_PR_SET_PDEATHSIG = 1
_SENTRY = 'children=; while read -r line; do children=$line; done; [ -z "$children" ] || kill -TERM $children'
"""The last line read names the living children; the end of input means that the supervisor is gone."""


class Tether(Protocol):
    """A way to make children end with their parent."""

    @property
    def before_exec(self) -> Callable[[], None] | None:
        """Runs in the child between fork and exec."""
        ...

    def watch(self, children: Iterable[int]) -> None:
        """Called with the ids of all living children whenever one starts or ends."""
        ...

    def close(self) -> None:
        """The supervisor ends in good order; no child lives."""
        ...


class DeathSignal:
    """Linux: the kernel sends each child SIGTERM when its parent dies."""

    def __init__(self) -> None:
        # Loaded here, because between fork and exec nothing should be allocated or imported.
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        parent = os.getpid()

        def arm() -> None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)  # the supervisor died before the signal was armed

        self.before_exec: Callable[[], None] | None = arm

    def watch(self, children: Iterable[int]) -> None:
        """The kernel does the watching."""

    def close(self) -> None:
        """Nothing to give back."""


class Sentry:
    """Everywhere with a POSIX shell: a process that outlives the supervisor just long enough to stop its children."""

    def __init__(self) -> None:
        self.before_exec: Callable[[], None] | None = None
        self._shell = subprocess.Popen(  # noqa: S603 - a constant script
            ("/bin/sh", "-c", _SENTRY), stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def watch(self, children: Iterable[int]) -> None:
        self._tell(" ".join(map(str, children)))

    def close(self) -> None:
        self._tell("")
        self._shell.communicate()

    def _tell(self, line: str) -> None:
        if self._shell.stdin is not None and self._shell.poll() is None:
            self._shell.stdin.write(line + "\n")
            self._shell.stdin.flush()


def tether() -> Tether:
    """The surest tether that this platform has."""
    return DeathSignal() if sys.platform == "linux" else Sentry()
