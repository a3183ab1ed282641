"""What ended while the store was away, waiting to be written there: bounded, in order, one entry per request."""

from __future__ import annotations

from itertools import islice

from gateway.adapters.limits_wire import End

MOST_ENDS = 100_000
"""Some 30 MB. Beyond it new ends are counted as lost; their holds lapse, so money is never forgotten."""


class Backlog:
    """The ends of holds, by request."""

    def __init__(self, most: int = MOST_ENDS) -> None:
        self._most = most
        self._ends: dict[str, End] = {}
        self.lost = 0
        """How many found no room, or were given up."""

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, end: End) -> bool:
        """Keep an end; False when that request has ended before."""
        if end.request_id in self._ends:
            return False
        if len(self._ends) >= self._most:
            self.lost += 1
        else:
            self._ends[end.request_id] = end
        return True

    def first(self, number: int) -> list[End]:
        """The oldest entries."""
        return list(islice(self._ends.values(), number))

    def remove(self, end: End) -> None:
        """Forget an entry that is written."""
        del self._ends[end.request_id]

    def give_up(self) -> int:
        """Count all that is left as lost; how many that is."""
        number = len(self._ends)
        self.lost += number
        self._ends.clear()
        return number
