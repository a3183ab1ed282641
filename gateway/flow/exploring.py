"""What exploring dearer arms has cost today, in this process: the cap that a policy sets is held against it.

In memory alone, so that no decision waits: each process has a tally of its own and begins with an empty one, and
all of a deployment together may spend as many times the cap as there are processes. A day's last
exploration may go beyond the cap, by what that one request costs more.
"""

from __future__ import annotations

from gateway.domain.money import ZERO, Usd
from gateway.policy.ready import ReadyPolicy

_DAY_S = 86_400


class ExploreTally:
    """Extra costs of explored answers, as they were expected, by policy and UTC day."""

    def __init__(self) -> None:
        self._day = -1
        self._spent: dict[str, Usd] = {}

    def has_left(self, policy: ReadyPolicy, *, now: float) -> bool:
        """Whether the policy may explore dearer arms now. A cap that is raised counts at once."""
        self._turn_to(now)
        return self._spent.get(policy.name, ZERO) < policy.explore_spend

    def add(self, policy: ReadyPolicy, extra: Usd, *, now: float) -> None:
        """Count what an explored answer is expected to cost more than the chosen arm's would."""
        self._turn_to(now)
        self._spent[policy.name] = Usd(self._spent.get(policy.name, ZERO) + extra)

    def _turn_to(self, now: float) -> None:
        day = int(now // _DAY_S)
        if day != self._day:
            self._day, self._spent = day, {}
