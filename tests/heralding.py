"""Gateways that tell webhooks, for tests: a purse, marks and a herald each, on one database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

from gateway.adapters.limits_memory import MemoryPurse
from gateway.adapters.webhook import Webhook
from gateway.domain.key import Role
from gateway.domain.limits import Account, Budget, Limits, Period
from gateway.domain.money import usd
from gateway.domain.rollout import CALIBRATOR
from gateway.domain.tenancy import Author
from gateway.errors import BudgetExhausted
from gateway.flow.crossings import Crossings
from gateway.flow.house import ActivePolicy
from gateway.herald import Herald
from gateway.ports import Claim
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.telemetry import Meter
from tests.clock import SetClock
from tests.store.profiles import document

ACCOUNT = Account("key:k1", Limits(budgets=(Budget(usd("1"), Period.DAY, Decimal("0.5")),)))
NOW = 1_795_348_800.0
HOUR_S = 3_600.0


class Stage:
    """One gateway's purse, marks and herald."""

    def __init__(self, folder: Path, clock: SetClock, webhooks: tuple[Webhook, ...]) -> None:
        self.purse = MemoryPurse()
        self.crossings = Crossings()
        self.clock = clock
        self.meter = Meter()
        self.policies: dict[str, ActivePolicy] = {}
        database = locate(f"sqlite:///{folder}/ponder.db")
        self.changes = Changes(database)
        self.herald = Herald(database, self, clock, webhooks, look_every_s=0.01, poll_s=0.01)
        self.herald.watch(self.meter)
        self.herald.start()

    async def spend(self, request_id: str, ceiling: str, cost: str | None) -> None:
        """A request that holds ``ceiling`` and, unless it stays under way, costs ``cost``; marked as flow marks it."""
        claim = Claim(request_id, (ACCOUNT,), usd(ceiling), tokens=1, now=self.clock.now(), lease_s=60)
        try:
            hold = await self.purse.hold(claim)
        except BudgetExhausted as refusal:
            self.crossings.refused(refusal, (ACCOUNT,))
            return
        if hold.warnings:
            self.crossings.near((ACCOUNT,))
        if cost is not None:
            await self.purse.settle(hold, usd(cost), tokens=1, now=self.clock.now())

    @property
    def catalog(self) -> Stage:
        """Where the policies are."""
        return self

    def by(self) -> Author:
        """The calibrator, now."""
        return Author(CALIBRATOR, Role.ADMIN, self.clock.now())

    async def publish(self, *numbers: int) -> Rollouts:
        """Versions of a profile, the first of them in force; they expire in an hour."""
        for number in numbers:
            await Profiles(self.changes).publish(
                document(), number=number, expires_at=self.clock.now() + HOUR_S, by=self.by()
            )
        rollouts = Rollouts(self.changes)
        await rollouts.activate("default", numbers[0], reason="calibrated", by=self.by())
        return rollouts

    def count(self, name: str) -> int:
        """One of the herald's counters."""
        lines = self.meter.render().decode().splitlines()
        return int(float(next(line for line in lines if line.startswith(f"ponder_webhooks_{name}_total ")).split()[1]))


Make = Callable[..., Awaitable[Stage]]
