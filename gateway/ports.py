"""What the gateway needs of the outside world, as Protocols that adapters and stores satisfy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from gateway.domain.chat import Dialect
from gateway.domain.key import Key
from gateway.domain.ledger import Hold
from gateway.domain.limits import Account, Period
from gateway.domain.money import Usd
from gateway.domain.record import Opening, RequestRecord


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """One HTTP call to a model's server, in a dialect that the server speaks.

    ``path`` is relative to the upstream's base address (``/chat/completions``). ``headers`` are
    those of the client that the dialect passes on; credentials are the upstream's own business.
    ``deadline_s`` bounds the whole call, ``first_byte_s`` the wait for the answer's headers,
    ``idle_s`` the gap between two chunks.
    """

    dialect: Dialect
    path: str
    body: bytes
    is_stream: bool
    request_id: str
    deadline_s: float
    first_byte_s: float
    idle_s: float
    headers: Mapping[str, str] = field(default_factory=dict)


class UpstreamReply(Protocol):
    """A 2xx answer whose body has not been read yet."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Lower-case names; only those that concern the answer."""
        ...

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamFailed or UpstreamTimedOut."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises UpstreamFailed or UpstreamTimedOut."""
        ...

    def complete(self) -> None:
        """Say that the answer's last event was seen: only framing may follow, the connection can be kept."""
        ...


class Upstream(Protocol):
    """A server we call."""

    @property
    def name(self) -> str: ...

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """Spoken natively, the preferred one first."""
        ...

    def open(self, call: UpstreamCall) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send the call; leaving the context closes or returns the connection.

        Raises the classes of :class:`gateway.errors.UpstreamError` for anything but a 2xx.
        """
        ...

    async def close(self) -> None: ...


class Journal(Protocol):
    """Where requests are written down before their models are called, and when they end."""

    def open(self, opening: Opening) -> None:
        """Note that a request is about to call a model.

        Raises Unavailable when that cannot be written and requests are then to be refused.
        """
        ...

    def settle(self, record: RequestRecord) -> None:
        """Keep the record of a request that ended. Never blocks and never fails."""
        ...

    async def recovered(self) -> tuple[Opening, ...]:
        """Wait until what earlier processes left is in the database; the requests they were interrupted in."""
        ...


class RecordStore(Protocol):
    """Where the journal's records end: a database that keeps each of them once, however often it comes."""

    async def keep(self, records: Sequence[RequestRecord]) -> int:
        """Write them all, and return how many of them were refused: those that no database can hold.

        Raises Unavailable or ConfigurationError when the database cannot be written now; the records
        are to be brought again. Several callers take turns.
        """
        ...

    async def close(self) -> None: ...


class Clock(Protocol):
    """Time, handed in so that tests need not wait."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class KeyRing(Protocol):
    """Who may call."""

    def find(self, secret: str) -> Key | None:
        """The key that this secret belongs to, be it valid or not; takes the same time for every wrong secret.

        Raises Unavailable when what is known of keys is older than the operator allows.
        """
        ...


@dataclass(frozen=True, slots=True)
class AnswerHome:
    """Which upstream holds a stored response, and the key that it was made for."""

    upstream: str
    key_id: str


class AnswerIndex(Protocol):
    """Where stored responses are and whose, by the provider's ids of them."""

    def remember(self, answer_id: str, home: AnswerHome) -> None: ...

    async def home_of(self, answer_id: str) -> AnswerHome | None:
        """None when the answer was not made through this gateway, or its record is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request wants to hold: money, rate and a place, on its key's and its team's account."""

    request_id: str
    accounts: tuple[Account, ...]
    ceiling: Usd
    tokens: int
    now: float
    lease_s: float


class Purse(Protocol):
    """Limits and money in one step. One process keeps it in memory, many in one Redis script.

    Balances are not lasting: at start, and whenever the store has lost them, ``needs_restore`` says
    so and somebody calls ``restore`` with the sums of database and journal.
    """

    async def hold(self, claim: Claim) -> Hold:
        """Check every limit of every account and take all or nothing.

        Raises RateLimited (with ``retry_after_s``), TooLarge when the tokens exceed a whole minute's,
        or BudgetExhausted, naming the limit; and Unavailable when the store is away and the setting
        says to fail closed. Holding again for the same living request returns the first hold.
        """
        ...

    async def extend(self, hold: Hold, by: Usd, *, now: float) -> Hold:
        """More money for a retry or a fallback; ``hold`` is the latest one returned for its request.

        Raises BudgetExhausted and leaves the hold as it was, or Unavailable when it has ended.
        """
        ...

    async def renew(self, holds: Sequence[Hold], *, now: float, lease_s: float) -> None:
        """Keep the leases of living calls."""
        ...

    async def settle(self, hold: Hold, amount: Usd, *, tokens: int, now: float) -> bool:
        """The true amount; False when the hold had ended before. Rates are corrected by ``tokens``."""
        ...

    async def release(self, hold: Hold, *, now: float) -> bool:
        """Nothing was spent: money and tokens are given back, the request still counts as made."""
        ...

    async def spent(self, account: str, period: Period, *, now: float) -> tuple[Usd, Usd]:
        """Spent and held in the period that holds ``now``."""
        ...

    async def needs_restore(self) -> bool:
        """Whether balances are missing: at first start, or after the store lost them."""
        ...

    async def restore(self, spent: Mapping[str, Mapping[Period, Usd]], *, now: float) -> bool:
        """Set what every account has spent in its current periods, as it was at ``now``.

        False, and nothing is changed, when somebody else has restored the balances before.
        """
        ...

    async def correct(self, account: str, spent: Mapping[Period, Usd], *, now: float) -> None:
        """Set what one account has spent: when it is given a budget, and when books were reconciled."""
        ...
