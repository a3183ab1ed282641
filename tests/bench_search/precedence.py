"""Precedence over the model servers, for all that is compared.

A vLLM on a processor waits spinning. Where it shares few cores with others, these have waited for a core for up to
3.7 s at a time, and for 12 s of 18 s in all (Linux 6.18, two cores): more than anything they do themselves.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_PRIORITY: Final = 1
"""The lowest at which a process goes before all ordinary ones."""


def go_ahead(process: int) -> bool:
    """Have a process and those that it begins later scheduled before ordinary ones; whether that was allowed."""
    try:
        for task in Path(f"/proc/{process}/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(_PRIORITY))
    except PermissionError:
        return False
    return True


def go_along(process: int) -> None:
    """Have a process scheduled as any other again."""
    for task in Path(f"/proc/{process}/task").iterdir():
        os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
