"""Noticing that the configuration file has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.adapters.config_file import ConfigFile

LOOK_S = 0.02


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "ponder.yaml"
    path.write_text("a: 1\n")
    return path


async def _next(changes: AsyncIterator[None]) -> None:
    async with asyncio.timeout(10):
        await anext(changes)


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _replace(path: Path, text: str) -> None:
    """As most editors save: a new file takes the old one's name."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


def _remove(path: Path, _: str) -> None:
    path.unlink()


async def test_every_change_is_reported_once(path: Path) -> None:
    """Writing, replacing, removing and creating the file are changes; leaving it alone is none."""
    changes = ConfigFile(path, look_every_s=LOOK_S).changes()
    for number, change in enumerate((_write, _replace, _remove, _write)):
        change(path, "x" * number)
        await _next(changes)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10 * LOOK_S):
            await anext(changes)


async def test_a_file_still_being_written_is_left_alone(path: Path) -> None:
    """While the file grows from look to look nothing is reported; when it rests, it is."""
    changes = ConfigFile(path, look_every_s=5 * LOOK_S).changes()
    change = asyncio.create_task(_next(changes))
    for length in range(60):
        _write(path, "x" * length)
        await asyncio.sleep(LOOK_S)
        assert not change.done()
    await change


async def test_asking_reports_at_once(path: Path) -> None:
    """Whoever asks does not wait for a change or for the next look."""
    file = ConfigFile(path, look_every_s=3600)
    changes = file.changes()
    file.ask()
    await _next(changes)


async def test_what_lies_beside_counts_as_well(tmp_path: Path) -> None:
    """A change of what belongs to the configuration is reported like one of the file."""
    beside = ["one"]
    file = ConfigFile(tmp_path / "ponder.yaml", beside=lambda: tuple(beside), look_every_s=0.001)
    changes = file.changes()
    beside.append("two")
    await asyncio.wait_for(anext(changes), 10)
    beside.pop()
    await asyncio.wait_for(anext(changes), 10)
