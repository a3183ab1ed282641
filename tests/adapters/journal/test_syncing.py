"""Tests of gateway/adapters/journal/syncing.py."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.adapters.journal.syncing import Syncer
from tests.adapters.journal.samples import until


def opened(path: Path) -> int:
    """The descriptor of a new file."""
    return os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)


def is_open(descriptor: int) -> bool:
    """Whether the descriptor belongs to a file."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


async def test_a_write_is_synced_soon(tmp_path: Path) -> None:
    """What was announced is synced, once for all that was announced meanwhile, and then waits for more."""
    syncer = Syncer(tmp_path, every_s=0)
    syncer.take_over(opened(tmp_path / "a"))
    for _ in range(3):
        await until(lambda: not syncer.is_due)
        syncer.wake()
        assert syncer.fault is None
    syncer.close()


async def test_a_file_is_closed_once_another_took_its_place(tmp_path: Path) -> None:
    """A finished file is synced and closed by the syncer, the current one stays open until the end."""
    syncer = Syncer(tmp_path, every_s=0)
    first, second = opened(tmp_path / "a"), opened(tmp_path / "b")
    syncer.take_over(first)
    syncer.take_over(second)
    await until(lambda: not is_open(first))
    assert is_open(second)
    syncer.close()
    assert not is_open(second)


async def test_a_disk_that_does_not_sync_is_told(tmp_path: Path) -> None:
    """A failed sync is stated with its reason until one succeeds."""
    syncer = Syncer(tmp_path, every_s=0)
    reading, writing = os.pipe()  # a pipe cannot be synced
    syncer.take_over(writing)
    await until(lambda: syncer.fault is not None)
    assert syncer.fault == "Invalid argument"
    syncer.take_over(opened(tmp_path / "a"))
    await until(lambda: not is_open(writing) and not syncer.is_due)
    syncer.wake()
    await until(lambda: syncer.fault is None)
    syncer.close()
    os.close(reading)
