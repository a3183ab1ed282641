"""What the gateway needs of the outside world, as Protocols that adapters and stores satisfy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from gateway.domain.capabilities import Capability
from gateway.domain.chat import Dialect
from gateway.domain.construction import quick_value
from gateway.domain.key import Key
from gateway.domain.ledger import Hold
from gateway.domain.limits import Account, Period
from gateway.domain.money import Usd
from gateway.domain.prediction import Prediction, Prompt
from gateway.domain.record import Opening, RaisedCeiling, RequestRecord
from gateway.domain.sticky import StickyArm
from gateway.domain.thinking import Actuation, Wish


@quick_value
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


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One request of a batch at its provider: our name for it, and its body in the provider's words."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a provider says of one request: an answer, a refusal (a status beyond 200), or nothing (no body)."""

    id: str
    status: int
    body: bytes | None
    request_id: str | None = None
    """Its own id of the request, where it says one."""


class BatchPhase(StrEnum):
    """Where a batch stands at its provider; ``refused`` means that none of it was run."""

    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"
    REFUSED = "refused"


class BatchApi(Protocol):
    """A provider's own batches, at a price of their own. All methods raise UpstreamError."""

    @property
    def mixes_models(self) -> bool:
        """Whether the requests of one batch may be for different models."""
        ...

    async def find(self, name: str) -> str | None:
        """The provider's id of the batch that was submitted under this name; None where it cannot be found."""
        ...

    async def submit(self, name: str, endpoint: str, requests: Sequence[BatchRequest]) -> str:
        """Begin a batch; the provider's id of it."""
        ...

    async def phase(self, batch_id: str) -> BatchPhase:
        """Where a batch stands."""
        ...

    async def cancel(self, batch_id: str) -> None:
        """Ask for an early end; what has been answered by then stays."""
        ...

    def results(self, batch_id: str) -> AsyncIterator[BatchResult]:
        """The results of a batch that has ended, in no order."""
        ...


class Journal(Protocol):
    """Where requests are written down before their models are called, and when they end."""

    def open(self, opening: Opening) -> None:
        """Note that a request is about to call a model.

        Raises Unavailable when that cannot be written and requests are then to be refused.
        """
        ...

    def raise_ceiling(self, raised: RaisedCeiling) -> None:
        """Note that an open request holds more, before the call that it holds more for.

        Raises Unavailable as :meth:`open` does.
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


class KeyDirectory(Protocol):
    """Keys by their ids: for work that its caller left behind and does not wait for."""

    def find_by_id(self, key_id: str) -> Key | None:
        """The key of this id as it is now, be it valid or not.

        Raises Unavailable when what is known of keys is older than the operator allows.
        """
        ...


class AnswerIndex(Protocol):
    """Where stored responses are and whose, by the provider's ids of them."""

    def remember(self, answer_id: str, home: AnswerHome) -> None: ...

    async def home_of(self, answer_id: str) -> AnswerHome | None:
        """None when the answer was not made through this gateway, or its record is gone."""
        ...

    async def home_soon(self, answer_id: str) -> AnswerHome | None:
        """The same, after some waiting where need be: another gateway's record may be on its way."""
        ...


class StickyArms(Protocol):
    """Which arm has answered which ask, for a while. Losing an entry costs a cached prompt, never an answer."""

    async def get(self, ask: bytes) -> StickyArm | None:
        """The ask's arm; None where it has none, or where the store does not answer."""
        ...

    def put(self, ask: bytes, arm: StickyArm, *, expires_s: float) -> None:
        """Keep the arm for so long from now. Never blocks and never fails."""
        ...

    @property
    def failures(self) -> int:
        """How often the store did not answer, or was not asked because it had just been away."""
        ...

    async def close(self) -> None: ...


@quick_value
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

    async def vouch(self, moved_to: float) -> float | None:
        """While balances are missing: the log has all that ended in this process before ``moved_to``.

        Answers until when the log has all that ended in any process, which is what is to be restored; None
        until that is known.
        """
        ...

    async def restore(self, spent: Mapping[str, Mapping[Period, Usd]], *, now: float) -> bool:
        """Set what every account has spent in its current periods, as it was at ``now``.

        False, and nothing is changed, when somebody else has restored the balances before.
        """
        ...

    async def correct(self, account: str, spent: Mapping[Period, Usd], *, now: float) -> None:
        """Set what one account has spent: when it is given a budget, and when books were reconciled."""
        ...


class ThinkingActuator(Protocol):
    """What turns a wish to think into the parameters that a model's provider takes."""

    def __call__(
        self,
        capability: Capability,
        dialect: Dialect,
        body: Mapping[str, Any],
        wish: Wish,
        *,
        max_output_tokens: int | None,
    ) -> Actuation:
        """What becomes of ``body``, which is in ``dialect`` already.

        ``max_output_tokens`` is the most that the output limit may be raised to, to make room for
        thinking: the lower of what the model can and what the request's hold covers. An empty wish
        leaves thinking to the model, and only takes away what does not go with it.
        """
        ...


class Classifier(Protocol):
    """What kind of work a prompt is, told without asking anybody else: at once, and always the same."""

    def classify(self, prompt: Prompt) -> Prediction: ...


class Judge(Protocol):
    """A model that is asked what kind of work a prompt is."""

    async def judge(
        self, key: Key, prompt: Prompt, *, models: Sequence[str], deadline_s: float, max_cost: Usd
    ) -> Prediction | None:
        """Its word, at the cost of the key; None for none in time, none within the cost, or none of the closed list."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """A short question of ours to a model: of ``models`` the first that is configured is asked.

    ``instructions`` are ours; ``text`` holds what a client wrote, quoted.
    """

    models: tuple[str, ...]
    instructions: str
    text: str
    max_output_tokens: int
    deadline_s: float
    max_cost: Usd


class Asker(Protocol):
    """What puts questions of ours to models: held and recorded like any call, at the cost of the key."""

    async def ask(self, key: Key, question: Question) -> str:
        """The answer's text, at temperature 0 and without thinking where the model allows that.

        Raises PonderError where there is none in time, or none within the cost.
        """
        ...
