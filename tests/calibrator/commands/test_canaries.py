"""`ponder calibrate canaries`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.calibrator.commands.conftest import Ponder
from tests.calibrator.ticks.canaries import Behaviour, built


@pytest.fixture
def home(environment: Mapping[str, str | None]) -> Path:
    """Where the database is."""
    home = Path(str(environment["PONDER_HOME"]))
    home.mkdir(parents=True, exist_ok=True)
    return home


async def _tried(home: Path, *looks: int, is_judged: bool = True) -> None:
    """A canary with as much traffic before each look."""
    async with built(home) as site:
        await site.begin()
        for count in looks:
            await site.traffic(count, Behaviour(accuracy=0.4), Behaviour(accuracy=0.9), is_judged=is_judged)
            await site.tick()


def test_a_canary_is_shown_with_what_is_known_of_it(run: Ponder, config: Path, home: Path) -> None:
    """Quality, errors, time and cost of both versions, and what the guard makes of it."""
    asyncio.run(_tried(home, 20, 400))
    said = run("calibrate", "canaries").stdout
    lines = said.splitlines()
    assert lines[0].startswith(
        "work: version 2 over version 1, on 20% of conversations, withdrawn since 2026-11-22 12:00"
    )
    assert [line.split()[0] for line in lines[1:]] == ["quality", "errors", "time", "cost", "verdict"]
    assert "right beside" in lines[1]
    assert "its answers are worse: " in lines[5]
    (shown,) = json.loads(run("calibrate", "canaries", "--policy", "work", "--json").stdout)
    assert (shown["version"], shown["over"], shown["state"]) == (2, 1, "withdrawn")
    quality = shown["evidence"]["quality"]
    assert quality["lower"] < quality["difference"] < quality["upper"] < 0
    assert quality["p_harm"] < 0.05 < quality["p_no_worse"]
    assert quality["new_conversations"] + quality["old_conversations"] == 420
    assert shown["evidence"]["errors"]["old"] == 0.0
    assert shown["evidence"]["cost"] == {
        "new": None, "old": None, "new_conversations": 0, "old_conversations": 0, "p_broken": 1.0
    }  # fmt: skip
    assert shown["verdict"] == shown["reason"]


def test_a_canary_of_which_nothing_is_known_yet_is_shown(run: Ponder, config: Path, home: Path) -> None:
    """Without figures; and of a policy that tried nothing, nothing."""
    asyncio.run(_tried(home))
    assert run("calibrate", "canaries").stdout.splitlines()[1:] == ["  verdict  not looked at yet"]
    (shown,) = json.loads(run("calibrate", "canaries", "--json").stdout)
    assert (shown["state"], shown["evidence"], shown["verdict"]) == ("running", None, None)
    assert json.loads(run("calibrate", "canaries", "--policy", "other", "--json").stdout) == []
    assert run("calibrate", "canaries", "--policy", "other").stdout == "No version of a profile has been tried yet.\n"


def test_a_canary_without_labels_is_shown(run: Ponder, config: Path, home: Path) -> None:
    """There is no difference to speak of."""
    asyncio.run(_tried(home, 20, is_judged=False))
    (shown,) = json.loads(run("calibrate", "canaries", "--json").stdout)
    assert shown["verdict"].startswith("30 more labelled conversations of its own are needed")
    assert shown["evidence"]["quality"]["difference"] is None
    assert shown["evidence"]["errors"]["old_conversations"] > 0
