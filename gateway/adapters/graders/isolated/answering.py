"""How a program that compares is asked: one job at a time, a line of JSON each way, behind limits.

A job may take for ever or all memory that it is given: the gateway kills the process then, and starts another.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from gateway.adapters.graders.isolated import kernel, seccomp

Job: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, Any]
"""``holds``, or why it is ``refused`` as no rule, or ``undecided``."""

_MEMORY_BYTES: Final = 1024 * 1024 * 1024
_FILES: Final = 64
_IDLE_S: Final = 300.0
"""So long without a job, it ends by itself and gives its memory back."""


def answer_jobs(does: Callable[[Job], Answer]) -> None:
    """Close the door, and answer until the input ends. The first argument is the process to end with."""
    if seccomp.is_known():
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != int(sys.argv[1]):
            return  # the gateway died before that was armed
    for kind, most in (
        (resource.RLIMIT_AS, _MEMORY_BYTES),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    if seccomp.is_known():
        seccomp.install()
    _say({"ready": True})
    while select.select([sys.stdin], [], [], _IDLE_S)[0]:
        line = sys.stdin.buffer.readline()
        if not line:
            break
        _say(_answered(does, line))


def _say(answer: Answer) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


def _answered(does: Callable[[Job], Answer], line: bytes) -> Answer:
    try:
        return does(json.loads(line))
    except (MemoryError, RecursionError):
        return {"undecided": "it takes more memory or nesting than is allowed"}
