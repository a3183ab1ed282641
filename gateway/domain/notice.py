"""Notices: what a webhook is told of budgets, and of profiles that took over, were taken back or ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeAlias

from gateway.domain.limits import Budget, Period, period_start
from gateway.domain.money import Usd, show
from gateway.domain.profile_document import profile_target
from gateway.telemetry import iso_time


class BudgetEvent(StrEnum):
    """What can be told of a budget."""

    SOFT_LIMIT = "budget.soft_limit"
    """What is spent reached the soft share. What is merely held does not count: it may never be spent."""
    EXHAUSTED = "budget.exhausted"
    """A request was refused with 402, as the most that it may cost did not fit into what was left."""


class ProfileEvent(StrEnum):
    """What can be told of a version of a policy's profile."""

    CANARY_PROMOTED = "profile.canary_promoted"
    """It was tried on a share of conversations, and is in force for all."""
    CANARY_WITHDRAWN = "profile.canary_withdrawn"
    """It was tried on a share of conversations, and is nobody's any more."""
    SUSPENDED = "profile.suspended"
    """It was in force, and an alarm took it back: the policy's own arms answer."""
    EXPIRED = "profile.expired"
    """It is in force and its time is over: the policy's own arms answer."""
    LAPSED = "profile.lapsed"
    """It is in force, and a rule is not what it certified any more: the rule's own arms answer."""


Event: TypeAlias = BudgetEvent | ProfileEvent
EVENTS: Final[frozenset[Event]] = frozenset((*BudgetEvent, *ProfileEvent))


def event_named(name: str) -> Event:
    """The event of this name, which is one."""
    return BudgetEvent(name) if name.startswith("budget.") else ProfileEvent(name)


@dataclass(frozen=True, slots=True)
class Crossing:
    """One event of one budget, and how the budget stood when it was looked at."""

    event: BudgetEvent
    account: str
    budget: Budget
    spent: Usd
    held: Usd
    at: float

    @property
    def window_start(self) -> float:
        """When the period began in which this happened; 0 for one that never ends."""
        return period_start(self.budget.period, self.at)


@dataclass(frozen=True, slots=True)
class ProfileTurn:
    """One event of one version of a policy's profile."""

    event: ProfileEvent
    policy: str
    version: int
    reason: str
    at: float
    share: float | None = None
    """Of the conversations that a canary had at its end."""
    rule: str | None = None
    """Which one lapsed."""
    rule_digest: str | None = None
    """What the rule is now; another change of it is another event."""
    in_force: int | None = field(default=None, compare=False)
    """The version that decides for all when this is told; None where no version does."""

    @property
    def account(self) -> str:
        """Whose event it is, as a crossing names a key or a team."""
        return profile_target(self.policy)

    @property
    def occasion(self) -> str:
        """What makes the event one, beside its time: which version and, where it lapsed, what the rule is now."""
        parts = (str(self.version), *(each for each in (self.rule, self.rule_digest) if each is not None))
        return " ".join(parts)

    @property
    def happened_at(self) -> float:
        """When, where that is on record; 0 where it is only seen, at another time by each process."""
        return 0.0 if self.event is ProfileEvent.LAPSED else self.at


def turn_document(turn: ProfileTurn) -> dict[str, Any]:
    """What the webhook gets of a profile, in the form of Standard Webhooks."""
    optional = {"share": turn.share, "rule": turn.rule}
    return {
        "type": turn.event.value,
        "timestamp": iso_time(turn.at),
        "data": {
            "policy": turn.policy,
            "version": turn.version,
            "in_force": turn.in_force,
            "reason": turn.reason,
            **{name: value for name, value in optional.items() if value is not None},
            "time": iso_time(turn.at),
        },
    }


def notice_document(crossing: Crossing, name: str) -> dict[str, Any]:
    """What the webhook gets of a budget, in the same form; amounts are decimal text, so that none is rounded."""
    budget = crossing.budget
    is_endless = budget.period is Period.TOTAL
    return {
        "type": crossing.event.value,
        "timestamp": iso_time(crossing.at),
        "data": {
            "account": crossing.account,
            "name": name,
            "period": budget.period.value,
            "period_start": None if is_endless else iso_time(crossing.window_start),
            "limit_usd": show(budget.amount),
            "soft_share": None if budget.soft_share is None else str(budget.soft_share),
            "spent_usd": show(crossing.spent),
            "held_usd": show(crossing.held),
            "percent": _percent(crossing.spent, budget.amount),
            "time": iso_time(crossing.at),
        },
    }


def _percent(spent: Usd, amount: Usd) -> float | None:
    """What is spent in percent of the budget, to two places; None of a budget of nothing."""
    return float(round(Decimal(100) * spent / amount, 2)) if amount else None
