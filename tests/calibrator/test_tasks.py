"""The calibrator's ticks in the Celery app: what they are called, when they come, and that each can be run."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from calibrator.tasks import TICKS, Tick
from gateway.settings import Settings, places
from gateway.tasks import build


@pytest.mark.parametrize("each", TICKS, ids=lambda each: each.name)
def test_a_tick_is_a_coroutine_of_its_module(each: Tick) -> None:
    """It takes the places and the settings, and is named for its module."""
    assert each.name == f"ponder.{each.module.rpartition('.')[2]}"
    work = import_module(each.module).tick
    assert inspect.iscoroutinefunction(work)
    assert list(inspect.signature(work).parameters) == ["where", "settings"]


def test_ticks_join_the_app_and_its_schedule(tmp_path: Path) -> None:
    """By their entry point; what nobody took by the time of the next is dropped."""
    app = build(places({"PONDER_HOME": str(tmp_path)}), Settings())
    for each in TICKS:
        entry = app.conf.beat_schedule[each.name]
        assert each.name in app.tasks
        assert (entry["task"], entry["schedule"]) == (each.name, each.every_s)
        assert entry["options"]["expires"] <= each.every_s


def test_the_clock_carries_no_statistics(tmp_path: Path) -> None:
    """What ticks need is imported when they first run: sending them takes neither numpy nor scipy."""
    code = (
        "import sys; from gateway.settings import Settings, places; from gateway.tasks import build; "
        "build(places({'PONDER_HOME': sys.argv[1]}), Settings()); "
        "print([name for name in ('numpy', 'scipy') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert said.stdout.strip() == "[]"
