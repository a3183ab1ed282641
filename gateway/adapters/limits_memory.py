"""Limits and money of one process, in memory.

Every step runs without an await, so nothing comes between a check and what it takes; that is all
the locking there is. It keeps a record per living hold and a few numbers per limited account, and
no list of what has ended: a hold without a record has ended, so a second settlement finds none and
changes nothing. Balances are lost with the process, and restored from database and journal.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence

from gateway.domain.ledger import TRANSITIONS, Hold, HoldEvent, HoldState, after
from gateway.domain.limits import Account, Budget, Limits, Period, Window, window
from gateway.domain.money import ZERO, Usd, from_nanos, to_nanos
from gateway.domain.refusals import (
    budget_exhausted,
    foremost,
    hold_has_ended,
    places_taken,
    request_rate_exceeded,
    soft_limit_passed,
    token_rate_exceeded,
    tokens_never_fit,
)
from gateway.errors import PonderError
from gateway.ports import Claim

LAPSED_KEPT_S = 7 * 86400.0
"""How long a late settlement still finds a lapsed hold; afterwards its ceiling stands as spent."""

_MINUTE_MS = 60_000
_SPARE_ALARMS = 1024


class _Bucket:
    """A rate as a debt that drains with time.

    The debt is counted in 1/60,000 of a unit, of which a rate of R per minute drains exactly R each
    millisecond: all is integers, and a changed rate leaves the debt as it is.
    """

    __slots__ = ("at_ms", "debt")

    def __init__(self) -> None:
        self.debt = 0
        self.at_ms = 0

    def wait_ms(self, units: int, per_minute: int, now_ms: int) -> int:
        """How long until this many units fit; 0 when they fit now."""
        self.drain(per_minute, now_ms)
        over = self.debt + (units - per_minute) * _MINUTE_MS
        return -(-over // per_minute) if over > 0 else 0

    def drain(self, per_minute: int, now_ms: int) -> None:
        """Let the time pass until now; a clock that went back changes nothing."""
        elapsed = now_ms - self.at_ms
        if elapsed > 0:
            drained = self.debt - elapsed * per_minute
            self.debt = drained if drained > 0 else 0
            self.at_ms = now_ms

    def add(self, units: int) -> None:
        """Take units, or with a negative number give them back."""
        self.debt = max(0, self.debt + units * _MINUTE_MS)

    def left(self, per_minute: int) -> int:
        """How many whole units are free."""
        return max(0, per_minute - -(-self.debt // _MINUTE_MS))


class _Balance:
    """What one account has spent and holds in one period, in nano-dollars.

    When the period is over the account gets a new one; the holds of the old period keep this.
    """

    __slots__ = ("held", "spent", "window")

    def __init__(self, period: Window) -> None:
        self.window = period
        self.spent = 0
        self.held = 0


class _Share:
    """One budget of an account, with its balance in the current period."""

    __slots__ = ("amount", "balance", "budget", "soft_amount")

    def __init__(self, budget: Budget, balance: _Balance) -> None:
        self.budget = budget
        self.balance = balance
        self.amount = to_nanos(budget.amount)
        self.soft_amount = None if budget.soft_share is None else int(self.amount * budget.soft_share)


class _Books:
    """The limits of one account and how they stand."""

    __slots__ = ("balances", "id", "limits", "live", "requests", "shares", "tokens")

    def __init__(self, account_id: str) -> None:
        self.id = account_id
        self.limits = Limits()
        self.live = 0
        self.requests = _Bucket()
        self.tokens = _Bucket()
        self.balances: dict[Period, _Balance] = {}
        self.shares: tuple[_Share, ...] = ()

    def update(self, limits: Limits, now: float) -> None:
        """Take over changed limits, and begin the periods that have come."""
        if self.limits is not limits:
            self.limits = limits
            self.shares = tuple(_Share(budget, self.balance(budget.period, now)) for budget in limits.budgets)
            return
        for share in self.shares:
            if now >= share.balance.window.end:
                share.balance = self.balance(share.budget.period, now)

    def balance(self, period: Period, now: float) -> _Balance:
        """The balance of the period that holds ``now``; a moment before the current one counts in it."""
        balance = self.balances.get(period)
        if balance is None or now >= balance.window.end:
            balance = self.balances[period] = _Balance(window(period, now))
        return balance


class _Record:
    """A hold that has not ended, and what it took."""

    __slots__ = ("books", "ceiling", "charges", "hold", "keep_until")

    def __init__(self, hold: Hold, ceiling: int, books: Sequence[_Books]) -> None:
        self.hold = hold
        self.ceiling = ceiling
        self.keep_until = hold.lease_until
        self.books = books
        # The balances of this moment: the account moves on to those of later periods.
        self.charges = [(each, share, share.balance) for each in books for share in each.shares] if books else ()


class MemoryPurse:
    """Satisfies :class:`gateway.ports.Purse` for a single process."""

    def __init__(self) -> None:
        self._books: dict[str, _Books] = {}
        self._records: dict[str, _Record] = {}
        # (when to look, request id): one per record, and some of records that have ended since.
        self._alarms: list[tuple[float, str]] = []
        self._is_restored = False

    async def hold(self, claim: Claim) -> Hold:
        now = claim.now
        if self._alarms and self._alarms[0][0] <= now:
            self._lapse(now)
        record = self._records.get(claim.request_id)
        if record is not None:
            return record.hold
        books = [self._open_books(account, now) for account in claim.accounts if not account.limits.is_open]
        ceiling = to_nanos(claim.ceiling) if books else 0
        warnings = _take(books, claim, ceiling) if books else ()
        hold = Hold(
            claim.request_id,
            tuple([account.id for account in claim.accounts]),
            claim.ceiling,
            claim.tokens,
            now,
            now + claim.lease_s,
            warnings=warnings,
        )
        self._records[claim.request_id] = _Record(hold, ceiling, books)
        self._watch(hold.lease_until, claim.request_id)
        return hold

    async def extend(self, hold: Hold, by: Usd, *, now: float) -> Hold:
        self._lapse(now)
        record = self._records.get(hold.request_id)
        # Up to the ceiling that the caller ends with, so that a repeated extension adds nothing.
        more = max(0, to_nanos(hold.ceiling) + to_nanos(by) - to_nanos(record.hold.ceiling)) if record else 0
        extended = None if record is None else after(record.hold, HoldEvent.EXTEND, amount=from_nanos(more))
        if record is None or extended is None:
            raise hold_has_ended(hold.request_id)
        refusals: list[PonderError] = [
            budget_exhausted(
                books.id, share.budget, asked=more, spent=balance.spent, held=balance.held, now=hold.held_at
            )
            for books, share, balance in record.charges
            if balance.spent + balance.held + more > share.amount
        ]
        if refusals:
            raise foremost(refusals)
        for _, _, balance in record.charges:
            balance.held += more
        record.ceiling += more
        record.hold = extended
        return extended

    async def renew(self, holds: Sequence[Hold], *, now: float, lease_s: float) -> None:
        self._lapse(now)
        for hold in holds:
            record = self._records.get(hold.request_id)
            renewed = None if record is None else after(record.hold, HoldEvent.RENEW, lease_until=now + lease_s)
            if record is not None and renewed is not None:
                record.hold = renewed
                record.keep_until = renewed.lease_until

    async def settle(self, hold: Hold, amount: Usd, *, tokens: int, now: float) -> bool:
        return self._end(hold, HoldEvent.SETTLE, amount, tokens, now)

    async def release(self, hold: Hold, *, now: float) -> bool:
        return self._end(hold, HoldEvent.RELEASE, ZERO, 0, now)

    async def spent(self, account: str, period: Period, *, now: float) -> tuple[Usd, Usd]:
        self._lapse(now)
        books = self._books.get(account)
        balance = books.balances.get(period) if books is not None else None
        if balance is None or not balance.window.holds(now):
            return ZERO, ZERO
        return from_nanos(balance.spent), from_nanos(balance.held)

    async def needs_restore(self) -> bool:
        return not self._is_restored

    async def vouch(self, moved_to: float) -> float | None:
        return moved_to  # nothing ends anywhere else

    async def restore(self, spent: Mapping[str, Mapping[Period, Usd]], *, now: float) -> bool:
        if self._is_restored:
            return False
        for account, amounts in spent.items():
            await self.correct(account, amounts, now=now)
        self._is_restored = True
        return True

    async def correct(self, account: str, spent: Mapping[Period, Usd], *, now: float) -> None:
        books = self._books.get(account) or self._books.setdefault(account, _Books(account))
        for period, amount in spent.items():
            books.balance(period, now).spent = to_nanos(amount)

    def has(self, request_id: str) -> bool:
        """Whether a hold of this request is here and has not ended."""
        return request_id in self._records

    def _open_books(self, account: Account, now: float) -> _Books:
        books = self._books.get(account.id)
        if books is None:
            books = self._books[account.id] = _Books(account.id)
        books.update(account.limits, now)
        return books

    def _end(self, hold: Hold, event: HoldEvent, amount: Usd, tokens: int, now: float) -> bool:
        record = self._records.get(hold.request_id)
        if record is None or (record.hold.state, event) not in TRANSITIONS:
            return False
        del self._records[hold.request_id]
        if not record.books:
            return True
        spent = to_nanos(amount)
        is_held = record.hold.state is HoldState.HELD
        for books in record.books:
            if is_held:
                books.live -= 1
            per_minute = books.limits.tokens_per_minute
            if per_minute is not None:
                books.tokens.drain(per_minute, round(now * 1000))
                books.tokens.add(tokens - record.hold.tokens)
        for _, _, balance in record.charges:
            if is_held:
                balance.held -= record.ceiling
                balance.spent += spent
            else:
                balance.spent += spent - record.ceiling
        return True

    def _lapse(self, now: float) -> None:
        """Lapse the holds whose lease has run out, and forget those that lapsed long ago."""
        alarms = self._alarms
        while alarms and alarms[0][0] <= now:
            _, request_id = heapq.heappop(alarms)
            record = self._records.get(request_id)
            if record is None:
                continue
            if record.keep_until <= now:
                lapsed = after(record.hold, HoldEvent.LAPSE)
                if lapsed is None:
                    del self._records[request_id]
                    continue
                record.hold = lapsed
                record.keep_until += LAPSED_KEPT_S
                for books in record.books:
                    books.live -= 1
                for _, _, balance in record.charges:
                    balance.held -= record.ceiling
                    balance.spent += record.ceiling
            heapq.heappush(alarms, (record.keep_until, request_id))

    def _watch(self, until: float, request_id: str) -> None:
        """Set an alarm; those of ended records are swept out before they outnumber the living."""
        alarms = self._alarms
        heapq.heappush(alarms, (until, request_id))
        if len(alarms) > 2 * len(self._records) + _SPARE_ALARMS:
            alarms[:] = [(record.keep_until, request_id) for request_id, record in self._records.items()]
            heapq.heapify(alarms)


def _take(books: Sequence[_Books], claim: Claim, ceiling: int) -> tuple[str, ...]:
    """Take what the claim asks for from all accounts, and return the warnings; or raise and take nothing."""
    now_ms = round(claim.now * 1000)
    for each in books:
        if not _fits(each, claim.tokens, ceiling, now_ms):
            raise foremost([refusal for one in books for refusal in _refusals(one, claim, ceiling, now_ms)])
    warnings: tuple[str, ...] = ()
    for each in books:
        each.live += 1
        if each.limits.requests_per_minute is not None:
            each.requests.add(1)
        if each.limits.tokens_per_minute is not None:
            each.tokens.add(claim.tokens)
        for share in each.shares:
            balance = share.balance
            balance.held += ceiling
            if share.soft_amount is not None and balance.spent + balance.held >= share.soft_amount:
                used = balance.spent + balance.held
                warnings += (soft_limit_passed(each.id, share.budget, used=used, now=claim.now),)
    return warnings


def _fits(books: _Books, tokens: int, ceiling: int, now_ms: int) -> bool:
    limits = books.limits
    for share in books.shares:
        if share.balance.spent + share.balance.held + ceiling > share.amount:
            return False
    if limits.concurrency is not None and books.live >= limits.concurrency:
        return False
    if limits.requests_per_minute is not None and books.requests.wait_ms(1, limits.requests_per_minute, now_ms):
        return False
    return limits.tokens_per_minute is None or not books.tokens.wait_ms(tokens, limits.tokens_per_minute, now_ms)


def _refusals(books: _Books, claim: Claim, ceiling: int, now_ms: int) -> Iterator[PonderError]:
    """Every limit that the claim does not fit into, in words."""
    limits = books.limits
    for share in books.shares:
        spent, held = share.balance.spent, share.balance.held
        if spent + held + ceiling > share.amount:
            yield budget_exhausted(books.id, share.budget, asked=ceiling, spent=spent, held=held, now=claim.now)
    if limits.concurrency is not None and books.live >= limits.concurrency:
        yield places_taken(books.id, limits.concurrency)
    if limits.requests_per_minute is not None:
        wait_ms = books.requests.wait_ms(1, limits.requests_per_minute, now_ms)
        if wait_ms:
            yield request_rate_exceeded(books.id, limits.requests_per_minute, wait_ms=wait_ms)
    per_minute = limits.tokens_per_minute
    if per_minute is None:
        return
    if claim.tokens > per_minute:
        yield tokens_never_fit(books.id, per_minute, asked=claim.tokens)
        return
    wait_ms = books.tokens.wait_ms(claim.tokens, per_minute, now_ms)
    if wait_ms:
        left = books.tokens.left(per_minute)
        yield token_rate_exceeded(books.id, per_minute, asked=claim.tokens, left=left, wait_ms=wait_ms)
