"""Following the database: changes are taken in, and what goes wrong is told once and then seldom."""

from __future__ import annotations

import logging

import pytest

from gateway.errors import Unavailable
from gateway.store.following import Following
from tests.adapters.journal.samples import until


class _Looks:
    """Looks at something, each of which goes wrong in its own way; None is one that goes well."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.taken = 0

    async def __call__(self) -> None:
        fault = self.faults[min(self.taken, len(self.faults) - 1)]
        self.taken += 1
        if fault is not None:
            raise fault


async def _follow(looks: _Looks, *, until_taken: int, tell_again_s: float = 3600.0) -> None:
    following = Following("keys", looks, poll_s=0.001, tell_again_s=tell_again_s)
    following.start()
    await until(lambda: looks.taken >= until_taken)
    await following.close()


async def test_a_lasting_fault_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours that every look meets is in the log one time, with its trace."""
    await _follow(_Looks(KeyError("ours")), until_taken=10)
    (told,) = caplog.records
    assert told.getMessage() == "keys cannot be followed, those last known serve on"
    assert told.exc_info is not None


async def test_a_lasting_fault_is_told_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """While it lasts it is not forgotten: it is told anew when the time for that has passed."""
    await _follow(_Looks(KeyError("ours")), until_taken=10, tell_again_s=0.0)
    assert len(caplog.records) >= 9


async def test_a_fault_that_comes_back_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    """After looks that went well a fault is news, and so is their going well."""
    caplog.set_level(logging.INFO)
    await _follow(_Looks(KeyError("ours"), None, None, KeyError("ours")), until_taken=6)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "ERROR"]


async def test_a_database_that_is_away_is_told_by_others(caplog: pytest.LogCaptureFixture) -> None:
    """What the key ring tells of the same database is not told twice."""
    await _follow(_Looks(Unavailable("the database is away")), until_taken=3)
    assert not caplog.records


async def test_what_was_never_begun_can_be_closed() -> None:
    """A start that failed before it followed anything still ends cleanly."""
    await Following("keys", _Looks(None)).close()
