"""Tells webhooks of budgets and profiles: notices events, writes each down once, and sends what is due.

In the gateway's process and not in the worker's: what a budget has spent and holds is known to the
purse, which in memory is this process's alone; a gateway may run without a worker; and an event is
told within seconds. What is to be sent stands in the database, so a restart goes on with it, and
another gateway takes over from one that is gone. No request waits for any of this.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.adapters.webhook import SEND_S, Webhook
from gateway.domain.limits import Account, Budget, Period, period_start
from gateway.domain.money import to_nanos
from gateway.domain.notice import BudgetEvent, Crossing, ProfileTurn
from gateway.errors import DeliveryFailed, PonderError
from gateway.flow.crossings import Crossings
from gateway.flow.house import ActivePolicy
from gateway.flow.lapses import Lapses
from gateway.ports import Clock, Purse
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.notices import FAILED, SENT, DueNotice, Notices
from gateway.store.profile_news import ProfileNews
from gateway.telemetry import Meter

LOOK_EVERY_S = 1.0
POLL_S = 5.0
"""Between two looks for notices that other processes left, and for news of profiles."""

BACK_OFF_S = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0)
"""The waits between attempts; after the last one, within a day, a notice is given up."""

_CLAIM_S = 6 * SEND_S
_AT_ONCE = 8
_KEPT_S = 40 * 86_400.0
_NEWS_S = 86_400.0
"""What happened to a profile while no gateway ran is told within this time, as long as a message is tried."""
_FORGET_EVERY_S = 3600.0
_log = logging.getLogger(__name__)


class _Offered(Protocol):
    @property
    def policies(self) -> Mapping[str, ActivePolicy]:
        """The policies in force, with their profiles."""
        ...


class Serving(Protocol):
    """What is looked at of that which serves requests; each may be replaced at any time."""

    @property
    def crossings(self) -> Crossings:
        """What requests mark."""
        ...

    @property
    def purse(self) -> Purse:
        """What money knows."""
        ...

    @property
    def catalog(self) -> _Offered:
        """What decides."""
        ...


@dataclass(slots=True)
class _Counts:
    sent: int = 0
    failed: int = 0
    given_up: int = 0


class Herald:
    """The teller of one gateway process."""

    def __init__(
        self,
        database: Database,
        serving: Serving,
        clock: Clock,
        webhooks: Sequence[Webhook] = (),
        *,
        look_every_s: float = LOOK_EVERY_S,
        poll_s: float = POLL_S,
    ) -> None:
        self._notices = Notices(database)
        self._looks = Connections(database, most=1)
        self._news = ProfileNews(self._looks)
        self._serving = serving
        self._clock = clock
        self._webhooks = webhooks
        self._look_every_s = look_every_s
        self._poll_s = poll_s
        self._near: dict[str, Account] = {}
        self._refused: dict[tuple[str, Period], Budget] = {}
        self._told: dict[tuple[str, Period, BudgetEvent], tuple[float, Budget]] = {}
        """The window and the budget of what is known to be written down, so that the database is asked once."""
        self._lapses = Lapses()
        self._turns: frozenset[ProfileTurn] = frozenset()
        """The news of profiles that are known to be written down."""
        self._counts = _Counts()
        self._faults: dict[str, str] = {}
        self._is_due = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._is_closing = False

    def tell(self, webhooks: Sequence[Webhook]) -> None:
        """Tell these from now on. Who is new among them is told of events that others know already, as they recur."""
        if {each.fingerprint for each in webhooks} != {each.fingerprint for each in self._webhooks}:
            self._told.clear()
            self._turns = frozenset()
        self._webhooks = webhooks

    def start(self) -> None:
        """Begin to look and to send; call once, in the event loop."""
        loops = (self._looking(), self._following(), self._forgetting(), self._sending())
        self._tasks = tuple(asyncio.create_task(each, name="herald") for each in loops)

    async def close(self, *, within_s: float) -> None:
        """Write down what was marked and send what is due, within the given time, and stop.

        A message that is cut off is due again when its claim is over, at this gateway's next start or at another one.
        """
        if self._tasks:
            *noticing, sending = self._tasks
            for each in noticing:
                each.cancel()
            await asyncio.wait(noticing)
            await self._attempt(self._look())
            self._is_closing = True
            self._is_due.set()
            await asyncio.wait({sending}, timeout=within_s)
            sending.cancel()
            await asyncio.wait({sending})
        await self._notices.close()
        await self._looks.close()

    def degraded(self) -> tuple[str, ...]:
        """Webhooks whose last message was not taken, in words for an operator."""
        known = {webhook.fingerprint for webhook in self._webhooks}
        return tuple(f"a webhook is not told: {fault}" for it, fault in self._faults.items() if it in known)

    def watch(self, meter: Meter) -> None:
        """Expose what was sent and what was not."""
        counts = self._counts
        for name, what, read in (
            ("sent", "Messages that webhooks took.", lambda: counts.sent),
            ("failed", "Attempts at webhooks that failed.", lambda: counts.failed),
            ("given_up", "Messages to webhooks that were given up.", lambda: counts.given_up),
        ):
            meter.watch(f"ponder_webhooks_{name}", what, read, is_counter=True)

    async def _looking(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_s)
            await self._attempt(self._look())

    async def _following(self) -> None:
        while True:
            if self._webhooks:
                await self._attempt(self._look_at_profiles())
            await asyncio.sleep(self._poll_s)

    async def _sending(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._is_due.wait()
            except TimeoutError:
                pass
            self._is_due.clear()
            is_last = self._is_closing
            if self._webhooks:
                await self._attempt(self._send_due())
            if is_last:
                return

    async def _forgetting(self) -> None:
        while True:
            await asyncio.sleep(_FORGET_EVERY_S)
            await self._attempt(self._forget())

    async def _attempt(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except PonderError as fault:
            _log.warning("webhooks wait: %s", fault.message)
        except Exception:  # noqa: BLE001 - the outermost loop: a fault of ours must not end the telling of later events
            _log.exception("webhooks wait: unexpected fault")

    async def _forget(self) -> None:
        await self._notices.forget(before=self._clock.now() - _KEPT_S)

    async def _look(self) -> None:
        """Write down the events among what was marked; a mark is kept until it is known to be one or none."""
        near, refused = self._serving.crossings.take()
        if not self._webhooks:
            self._near, self._refused = {}, {}
            return
        self._near |= near
        self._refused |= refused
        found: list[Crossing] = []
        for (account_id, _), budget in self._refused.items():
            crossing = await self._crossing(BudgetEvent.EXHAUSTED, account_id, budget)
            if crossing is not None:
                found.append(crossing)
        kept: dict[str, Account] = {}
        for account in self._near.values():
            passed, is_open = await self._soft_limits(account)
            found += passed
            if is_open:
                kept[account.id] = account
        if found:
            await self._write_down(found)
        self._near, self._refused = kept, {}

    async def _soft_limits(self, account: Account) -> tuple[list[Crossing], bool]:
        """The soft limits that spending has passed, and whether calls under way may yet make it pass another."""
        passed: list[Crossing] = []
        is_open = False
        for budget in account.limits.budgets:
            if budget.soft_share is None:
                continue
            crossing = await self._crossing(BudgetEvent.SOFT_LIMIT, account.id, budget)
            if crossing is None:
                continue
            soft = int(to_nanos(budget.amount) * budget.soft_share)
            if to_nanos(crossing.spent) >= soft:
                passed.append(crossing)
            elif to_nanos(crossing.spent) + to_nanos(crossing.held) >= soft:
                is_open = True
        return passed, is_open

    async def _crossing(self, event: BudgetEvent, account: str, budget: Budget) -> Crossing | None:
        """How the budget stands, unless this event of it is written down already."""
        now = self._clock.now()
        if self._told.get((account, budget.period, event)) == (period_start(budget.period, now), budget):
            return None
        spent, held = await self._serving.purse.spent(account, budget.period, now=now)
        return Crossing(event, account, budget, spent, held, now)

    async def _write_down(self, found: Sequence[Crossing]) -> None:
        names = await self._notices.names({crossing.account for crossing in found})
        for crossing in found:
            for webhook in self._webhooks:
                if crossing.event in webhook.events:
                    name = names.get(crossing.account, crossing.account)
                    await self._notices.add(f"msg_{uuid.uuid4().hex}", crossing, name, webhook.fingerprint)
            key = (crossing.account, crossing.budget.period, crossing.event)
            self._told[key] = (crossing.window_start, crossing.budget)
        self._is_due.set()

    async def _look_at_profiles(self) -> None:
        """Write down what became of profiles; what another process has written down is left."""
        now, webhooks = self._clock.now(), self._webhooks
        lapsed = self._lapses.find(self._serving.catalog.policies, now)
        turns = [*await self._news.since(now - _NEWS_S, now=now), *lapsed]
        for turn in turns:
            if turn in self._turns:
                continue
            for webhook in webhooks:
                if turn.event in webhook.events:
                    await self._notices.add_turn(f"msg_{uuid.uuid4().hex}", turn, webhook.fingerprint, now=now)
            self._is_due.set()
        if webhooks is self._webhooks:
            self._turns = frozenset(turns)

    async def _send_due(self) -> None:
        """Send what is due, some at once; more of it is looked for at once."""
        known = {webhook.fingerprint: webhook for webhook in self._webhooks}
        due = await self._notices.claim(now=self._clock.now(), for_s=_CLAIM_S, limit=_AT_ONCE)
        await asyncio.gather(*(self._send(notice, known) for notice in due))
        if len(due) == _AT_ONCE:
            self._is_due.set()

    async def _send(self, notice: DueNotice, known: Mapping[str, Webhook]) -> None:
        webhook = known.get(notice.webhook)
        if webhook is None:
            await self._note_failure(notice, DeliveryFailed("no webhook of its address is configured here any more"))
            return
        try:
            await webhook.send(notice.id, notice.body, now=self._clock.now())
        except DeliveryFailed as fault:
            await self._note_failure(notice, fault)
            return
        await self._notices.end(notice.id, SENT, now=self._clock.now())
        self._counts.sent += 1
        self._faults.pop(notice.webhook, None)

    async def _note_failure(self, notice: DueNotice, fault: DeliveryFailed) -> None:
        now = self._clock.now()
        self._faults[notice.webhook] = fault.message
        if fault.is_final or notice.attempts > len(BACK_OFF_S):
            _log.error("a webhook was not told (%s), and that is given up: %s", notice.id, fault.message)
            await self._notices.end(notice.id, FAILED, now=now, error=fault.message)
            self._counts.given_up += 1
        else:
            wait_s = BACK_OFF_S[notice.attempts - 1]
            _log.warning("a webhook was not told (%s), again in %g s: %s", notice.id, wait_s, fault.message)
            await self._notices.postpone(notice.id, until=now + wait_s, error=fault.message)
        self._counts.failed += 1
