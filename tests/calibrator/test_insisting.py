"""Work that is tried again while the database is locked or away."""

from __future__ import annotations

import pytest

from calibrator.insisting import insist
from gateway.errors import ConfigurationError, PonderError, Unavailable


class Moody:
    """Raises these errors, one after the other, before it comes to something."""

    def __init__(self, *faults: PonderError) -> None:
        self.faults = list(faults)
        self.tries = 0

    async def __call__(self) -> int:
        self.tries += 1
        if self.faults:
            raise self.faults.pop(0)
        return 7


async def test_what_passes_is_waited_for() -> None:
    """The work is done once it can be."""
    work = Moody(Unavailable("locked"), Unavailable("locked"))
    assert await insist(work) == 7
    assert work.tries == 3


async def test_what_does_not_pass_is_raised() -> None:
    """After the time that it is given; what is no matter of time, at once."""
    with pytest.raises(Unavailable, match="away"):
        await insist(Moody(*[Unavailable("away")] * 9), for_s=0.2)
    work = Moody(ConfigurationError("no tables"))
    with pytest.raises(ConfigurationError):
        await insist(work)
    assert work.tries == 1
