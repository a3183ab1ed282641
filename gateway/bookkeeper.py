"""The nightly check of the balances: what every budget has counted, against the sum over the log of requests.

It runs in the gateway, not in a worker: without Redis the balances are in the gateway's memory and
nobody else can read them. With Redis any gateway could, and the one that begins the night's row first
does. What a worker can check, it does (``gateway/tasks.py``).

A gateway serves while it is checked, so the two sums are never of the same moment. But both only
grow, and a request's record is in the journal before its charge is in the purse. So the sum over the
log is read twice, some seconds before the purse and some seconds after it, and the purse has to lie
between the two. A balance that does not is wrong, and is corrected by what it is off; later charges
stay. Money that is held is in neither sum.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway.domain.limits import Period
from gateway.domain.money import ZERO, Usd, show
from gateway.errors import PonderError
from gateway.ports import Clock, Purse
from gateway.store.balances import Balances, BudgetedAccount
from gateway.store.reconciliations import DETAILS, Finding, Kind, Reconciliations
from gateway.telemetry import Meter

LAG_S = 5.0
"""How long a charge may be on its way: from any process to Redis, and from its journal to the log."""

_LOOK_EVERY_S = 600.0
_BEFORE_MIDNIGHT = timedelta(minutes=30)
"""Half an hour before its UTC day ends a day's budget has counted nearly all that it will."""
_BY_FAR = timedelta(minutes=1)
_LOOKED_AT = 10
_log = logging.getLogger(__name__)


class Book(Protocol):
    """A journal whose records can be waited for."""

    async def flush(self) -> None:
        """Wait until the records that wait now are in the database."""
        ...


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a purse may have counted: sums over the log from before and from after it was read."""

    account: str
    period: Period
    least: Usd
    most: Usd

    def error(self, counted: Usd) -> Usd:
        """How far the purse is off; zero where it lies between."""
        return Usd(min(counted - self.least, ZERO) + max(counted - self.most, ZERO))


class Bookkeeper:
    """Checks the balances once a night, corrects them, and keeps what was found.

    ``purse`` is asked for each time: a gateway with Redis gets its purse as it starts.
    """

    def __init__(
        self,
        purse: Callable[[], Purse],
        clock: Clock,
        balances: Balances,
        book: Book,
        results: Reconciliations,
        *,
        lag_s: float = LAG_S,
    ) -> None:
        self._purse = purse
        self._clock = clock
        self._balances = balances
        self._book = book
        self._results = results
        self._lag_s = lag_s
        self._begun: str | None = None
        self._difference = 0.0
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look every ten minutes whether a check is due; call once, in the event loop."""
        self._looking = asyncio.create_task(self._keep_looking())

    async def close(self) -> None:
        """Stop, and close what the results are kept in."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        await self._results.close()

    def watch(self, meter: Meter) -> None:
        """Expose what the newest checks found."""
        meter.watch(
            "ponder_reconciliation_difference_usd",
            "Differences that the newest nightly checks found, in dollars without sign.",
            lambda: self._difference,
        )

    async def look(self) -> None:
        """Do the check that is due, if any, and take note of what the newest checks of any process found.

        Raises PonderError when the database or the purse is away; the check is taken up again later.
        """
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        # A check that midnight falls into would compare two days.
        if (now + _BY_FAR).date() == now.date():
            await self._check_once((now - timedelta(days=1) + _BEFORE_MIDNIGHT).date().isoformat())
        newest = {each.kind: each.finding.difference for each in reversed(await self._results.recent(limit=_LOOKED_AT))}
        self._difference = float(sum(newest.values()))

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self.look()
            except PonderError as fault:
                _log.warning("the nightly check of the balances waits: %s", fault.message)
            except Exception:  # noqa: BLE001 - the outermost loop: a fault of ours must not end the nights to come
                _log.exception("the nightly check of the balances waits")

    async def _check_once(self, night: str) -> None:
        if self._begun != night:
            if await self._purse().needs_restore():
                return
            if not await self._results.begin(night, Kind.BALANCES, now=self._clock.now()):
                return
            self._begun = night
        elif await self._results.is_finished(night, Kind.BALANCES):
            return
        finding = await self._check()
        await self._results.finish(night, Kind.BALANCES, finding, now=self._clock.now())
        if finding.differing:
            _log.warning(
                "reconciliation: %d of %d balances differed from the log, by $%s in all, and were corrected: %s",
                finding.differing, finding.compared, show(finding.difference),
                "; ".join(", ".join(f"{name} {value}" for name, value in each.items()) for each in finding.details),
            )  # fmt: skip

    async def _check(self) -> Finding:
        now = self._clock.now()
        budgets = await self._balances.budgeted()
        await self._book.flush()
        least = await self._balances.spent(now)
        await asyncio.sleep(self._lag_s)
        purse = self._purse()
        counted = [(await purse.spent(each.account, each.period, now=now))[0] for each in budgets]
        await asyncio.sleep(self._lag_s)
        await self._book.flush()
        most, straddling = await self._balances.spent(now), await self._balances.straddling(now)
        errors: list[tuple[Usd, Mapping[str, str]]] = []
        for each, amount in zip(budgets, counted, strict=True):
            upper = Usd(_sum(most, each) + _sum(straddling, each))
            error = _Bounds(each.account, each.period, _sum(least, each), upper).error(amount)
            if error:
                await self._correct(purse, each, error, now)
                errors.append((error, _detail(each, amount, error)))
        errors.sort(key=lambda found: -abs(found[0]))
        return Finding(
            compared=len(budgets),
            differing=len(errors),
            difference=Usd(sum((abs(error) for error, _ in errors), ZERO)),
            details=tuple(detail for _, detail in errors[:DETAILS]),
        )

    async def _correct(self, purse: Purse, each: BudgetedAccount, error: Usd, now: float) -> None:
        """Take the error off what is counted by now. With Redis a charge between the two steps would be
        lost; it is a millisecond's, and the next night's check would find it."""
        counted, _ = await purse.spent(each.account, each.period, now=now)
        await purse.correct(each.account, {each.period: Usd(max(counted - error, ZERO))}, now=now)


def _sum(sums: Mapping[str, Mapping[Period, Usd]], each: BudgetedAccount) -> Usd:
    return sums.get(each.account, {}).get(each.period, ZERO)


def _detail(each: BudgetedAccount, counted: Usd, error: Usd) -> Mapping[str, str]:
    return {
        "account": each.account,
        "period": each.period.value,
        "counted_usd": show(counted),
        "log_usd": show(Usd(counted - error)),
        "difference_usd": show(error),
    }
