"""A clock that tests set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SetClock:
    """Stands where a test puts it. Satisfies :class:`gateway.ports.Clock`."""

    at: float

    def now(self) -> float:
        """The moment that was set."""
        return self.at

    def monotonic(self) -> float:
        """The same."""
        return self.at
