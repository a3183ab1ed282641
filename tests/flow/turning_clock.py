"""A clock that goes on when a test says so."""

from __future__ import annotations

from tests.flow.scripted import FixedClock


class TurningClock(FixedClock):
    """Satisfies :class:`gateway.ports.Clock`."""

    def __init__(self) -> None:
        self._passed_s = 0.0

    def now(self) -> float:
        """A moment in 2026, and what has passed since."""
        return super().now() + self._passed_s

    def monotonic(self) -> float:
        """What has passed."""
        return super().monotonic() + self._passed_s

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self._passed_s += seconds
