"""What the scripts of limits_scripts are asked and what they answer, to and from the ledger's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.ledger import Hold, HoldState
from gateway.domain.limits import Account, Budget, Period, Window, window
from gateway.domain.money import Usd, from_nanos, to_nanos
from gateway.domain.refusals import (
    budget_exhausted,
    foremost,
    places_taken,
    request_rate_exceeded,
    soft_limit_passed,
    token_rate_exceeded,
    tokens_never_fit,
)
from gateway.errors import PonderError
from gateway.ports import Claim

Ask = dict[str, Any]
Reply = Mapping[str, Any]

MOST_NANOS = 2**53
"""Ceilings of single requests are exact in Lua up to here: nine million dollars."""


@dataclass(frozen=True, slots=True)
class End:
    """How a hold ended, ready to be written, now or when the store is back."""

    request_id: str
    accounts: tuple[str, ...]
    held_at: float
    amount: Usd
    tokens: int
    at: float
    is_foreign: bool = False
    """The store may never have had the hold, since it was made while the store was away."""


class Wire:
    """Keys, windows of time and JSON, under one prefix.

    ``is_server_timed`` leaves the time to Redis: clocks of processes may differ, and only decide
    what a script is first asked. Otherwise the caller's ``now`` counts, as tests and replays need.
    ``process`` is who makes the holds.
    """

    def __init__(self, prefix: str, *, is_server_timed: bool, process: str) -> None:
        self._prefix = prefix
        self._process = process
        self._is_server_timed = is_server_timed
        self._ahead_s = 0.0
        self._windows: dict[Period, Window] = {}

    @property
    def books(self) -> str:
        """The key of the books."""
        return self._prefix + "books"

    def learn(self, reply: Reply, now: float) -> None:
        """Note how far the server's clock is ahead of the caller's."""
        if self._is_server_timed:
            self._ahead_s = reply["now"] / 1000 - now

    def ask(self, now: float, fields: Ask) -> Ask:
        """The fields, with the moment where it is the caller's to say."""
        if not self._is_server_timed:
            fields["now"] = _ms(now)
        return fields

    def hold(self, claim: Claim) -> Ask:
        """Asks HOLD."""
        at = claim.now + self._ahead_s
        fields = {
            "id": claim.request_id,
            "accounts": [self._account(account, at) for account in claim.accounts if not account.limits.is_open],
            "ceiling": str(to_nanos(claim.ceiling)),
            "tokens": claim.tokens,
            "lease": _ms(claim.lease_s),
            "by": self._process,
        }
        return self.ask(claim.now, fields)

    def extend(self, hold: Hold, by: Usd, now: float) -> Ask:
        """Asks EXTEND."""
        return self.ask(now, {"id": hold.request_id, "ceiling": str(to_nanos(hold.ceiling) + to_nanos(by))})

    def renew(self, holds: Iterable[Hold], now: float, lease_s: float) -> Ask:
        """Asks RENEW."""
        return self.ask(now, {"ids": [hold.request_id for hold in holds], "lease": _ms(lease_s)})

    def end(self, end: End, *, is_charged: bool) -> Ask:
        """Asks END; ``is_charged`` also where the store does not have the hold."""
        fields: Ask = {"id": end.request_id, "amount": str(to_nanos(end.amount)), "tokens": end.tokens}
        if is_charged:
            # Which budgets the accounts had is not known any more: every period is charged.
            held_at = end.held_at + self._ahead_s if end.is_foreign else end.held_at
            fields["charges"] = [
                self._balance(account, period, window(period, held_at)) for account in end.accounts for period in Period
            ]
            fields["at"] = _ms(end.at + self._ahead_s)
        return self.ask(end.at, fields)

    def late_end(self, request_id: str, amount: Usd, now: float) -> Ask:
        """Asks END for a hold that lapsed, of whose tokens nothing is known."""
        return self.ask(now, {"id": request_id, "amount": str(to_nanos(amount))})

    def presence(
        self,
        process: str,
        *,
        balances: Iterable[tuple[str, Period, float]] = (),
        moved_to: float | None = None,
        now: float,
        lease_s: float,
    ) -> Ask:
        """Asks PRESENCE, with balances to hear of, or until when the log has what ended in this process."""
        keys = [self._balance_key(*each) for each in balances]
        fields: Ask = {"process": process, "lease": _ms(lease_s), "balances": keys}
        if moved_to is not None:
            fields["moved"] = _ms(self.server_time(moved_to))
        return self.ask(now, fields)

    def spent(self, account: str, period: Period, now: float) -> Ask:
        """Asks SPENT."""
        at = now + self._ahead_s
        return self.ask(now, {"balance": self._balance(account, period, self._window(period, at))["key"]})

    def restore(self, account: str, spent: Mapping[Period, Usd], now: float) -> list[Ask]:
        """One account's balances for RESTORE."""
        at = now + self._ahead_s
        return [
            self._balance(account, period, self._window(period, at)) | {"spent": str(to_nanos(amount))}
            for period, amount in spent.items()
        ]

    def read_at(self, now: float) -> int:
        """When balances were read, on the server's clock."""
        return _ms(now + self._ahead_s)

    def server_time(self, now: float) -> float:
        """This moment on the server's clock."""
        return now + self._ahead_s

    def window(self, period: Period, now: float) -> Window:
        """The current period on the server's clock."""
        return self._window(period, self.server_time(now))

    def _account(self, account: Account, at: float) -> Ask:
        limits = account.limits
        fields: Ask = {"id": account.id, "balances": []}
        for budget in limits.budgets:
            balance = self._balance(account.id, budget.period, self._window(budget.period, at))
            balance |= {"period": budget.period, "amount": str(to_nanos(budget.amount))}
            fields["balances"].append(balance)
        if limits.concurrency is not None:
            fields["live"] = f"{self._prefix}live:{account.id}"
            fields["places"] = limits.concurrency
        if limits.requests_per_minute is not None:
            fields["rate"] = f"{self._prefix}rate:{account.id}"
            fields["requests"] = limits.requests_per_minute
        if limits.tokens_per_minute is not None:
            fields["rate"] = f"{self._prefix}rate:{account.id}"
            fields["tokens"] = limits.tokens_per_minute
        return fields

    def _balance(self, account: str, period: Period, covered: Window) -> Ask:
        start = int(covered.start)
        fields: Ask = {"key": self._balance_key(account, period, covered.start)}
        if period is not Period.TOTAL:
            fields["from"], fields["to"] = start * 1000, int(covered.end) * 1000
        return fields

    def _balance_key(self, account: str, period: Period, start: float) -> str:
        return f"{self._prefix}balance:{account}:{period}:{int(start)}"

    def _window(self, period: Period, at: float) -> Window:
        known = self._windows.get(period)
        if known is None or not known.holds(at):
            known = self._windows[period] = window(period, at)
        return known


def held(claim: Claim, reply: Reply) -> Hold:
    """The hold that HOLD answers with, new or known."""
    is_known = "state" in reply
    return Hold(
        claim.request_id,
        tuple([account.id for account in claim.accounts]),
        from_nanos(int(reply["ceiling"])) if is_known else claim.ceiling,
        claim.tokens,
        (reply["held_at"] if is_known else reply["now"]) / 1000,
        reply["lease"] / 1000,
        state=HoldState(reply["state"]) if is_known else HoldState.HELD,
        warnings=_warnings(claim, reply),
    )


def used(claim: Claim, reply: Reply) -> list[tuple[str, Period, int]]:
    """What each budget has spent and holds after the claim, granted or not: account, period, nano-dollars."""
    ceiling = 0 if "refusals" in reply else to_nanos(claim.ceiling)
    budgets = [(account.id, budget.period) for account in claim.accounts for budget in account.limits.budgets]
    return [
        (account, period, int(before["spent"]) + int(before["held"]) + ceiling)
        for (account, period), before in zip(budgets, reply.get("used", ()), strict=False)
    ]


def refusal(reply: Reply, now: float) -> PonderError:
    """The error that the refusals of HOLD or EXTEND add up to."""
    return foremost([_refusal(found, now) for found in reply["refusals"]])


def _refusal(found: Reply, now: float) -> PonderError:
    account = found["account"]
    match found["limit"]:
        case "budget":
            budget = Budget(from_nanos(int(found["amount"])), Period(found["period"]))
            asked, spent, held = int(found["asked"]), int(found["spent"]), int(found["held"])
            return budget_exhausted(account, budget, asked=asked, spent=spent, held=held, now=now)
        case "places":
            return places_taken(account, found["most"])
        case "requests":
            return request_rate_exceeded(account, found["most"], wait_ms=found["wait"])
        case _ if found["asked"] > found["most"]:
            return tokens_never_fit(account, found["most"], asked=found["asked"])
        case _:
            return token_rate_exceeded(
                account, found["most"], asked=found["asked"], left=found["left"], wait_ms=found["wait"]
            )


def _warnings(claim: Claim, reply: Reply) -> tuple[str, ...]:
    budgets = [(account.id, budget) for account in claim.accounts for budget in account.limits.budgets]
    now = reply["now"] / 1000
    return tuple(
        [
            soft_limit_passed(account, budget, used=amount, now=now)
            for (account, budget), (_, _, amount) in zip(budgets, used(claim, reply), strict=False)
            if budget.soft_share is not None and amount >= int(to_nanos(budget.amount) * budget.soft_share)
        ]
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
