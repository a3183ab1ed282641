"""The calibrator's ticks, which join the Celery app by the entry point group ``ponder.tasks``.

What a tick needs is imported when it first runs: the clock, which only sends them, carries no statistics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from gateway.settings import Places, Settings


@dataclass(frozen=True, slots=True)
class Tick:
    """Work that is looked for every so many seconds: ``tick(where, settings)`` of the module that is named."""

    name: str
    every_s: int
    module: str

    def work(self, where: Places, settings: Settings) -> Awaitable[None]:
        """Do what is due."""
        done: Awaitable[None] = import_module(self.module).tick(where, settings)
        return done


TICKS: Final[tuple[Tick, ...]] = (
    Tick("ponder.measuring", 15, "calibrator.ticks.measuring"),
    Tick("ponder.verifying", 60, "calibrator.ticks.verifying"),
    Tick("ponder.guarding", 20, "calibrator.ticks.guarding"),
    Tick("ponder.watching", 900, "calibrator.ticks.watching"),
    Tick("ponder.saving", 300, "calibrator.ticks.saving"),
)
"""All of them; a new one is a module below ``calibrator/ticks`` and a line here."""


def join(app: Any, where: Places, settings: Settings) -> Mapping[str, Any]:
    """Add the ticks to a Celery app; returns their entries for the schedule."""
    for each in TICKS:
        app.task(_task(each, where, settings), name=each.name, shared=False)
    return {each.name: _entry(each) for each in TICKS}


def _task(each: Tick, where: Places, settings: Settings) -> Any:
    async def once() -> None:
        await each.work(where, settings)

    def run() -> None:
        asyncio.run(once())

    return run


def _entry(each: Tick) -> dict[str, Any]:
    # What no worker took by the time of the next one is not done twice.
    return {"task": each.name, "schedule": float(each.every_s), "options": {"expires": each.every_s}}
