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


async def test_a_written_file_is_a_change(path: Path) -> None:
    """Writing, replacing, removing and creating the file are each reported, once."""
    changes = ConfigFile(path, look_every_s=LOOK_S).changes()
    path.write_text("a: 22\n")
    await _next(changes)
    other = path.with_suffix(".new")
    other.write_text("a: 33\n")
    other.replace(path)
    await _next(changes)
    path.unlink()
    await _next(changes)
    path.write_text("a: 4\n")
    await _next(changes)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10 * LOOK_S):
            await anext(changes)


async def test_a_file_still_being_written_is_left_alone(path: Path) -> None:
    """While the file grows from look to look nothing is reported; when it rests, its last state is."""
    changes = ConfigFile(path, look_every_s=5 * LOOK_S).changes()
    seen: list[str] = []

    async def watch() -> None:
        async for _ in changes:
            seen.append(path.read_text())

    watching = asyncio.create_task(watch())
    for length in range(60):
        path.write_text("x" * length)
        await asyncio.sleep(LOOK_S)
    path.write_text("done")
    async with asyncio.timeout(10):
        while not seen:
            await asyncio.sleep(LOOK_S)
    watching.cancel()
    assert seen == ["done"]


async def test_asking_reports_at_once(path: Path) -> None:
    """Whoever asks does not wait for a change or for the next look."""
    file = ConfigFile(path, look_every_s=3600)
    changes = file.changes()
    file.ask()
    await _next(changes)
