"""Batches that run at their provider, at its price for them: chosen, held for, submitted, followed and settled.

A batch goes there whole or not at all. Its money is held in one piece before it is submitted, and settled
with what its lines cost. Every step can be taken again by another process: the batch's place is stored
before it is followed, and a batch that was submitted without that is looked for by our name for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from gateway.background.late import LateAsk, at_batch_price, settled
from gateway.background.late_asks import PATHS, batch_api, late_ask, late_model, plain_ask
from gateway.domain.ask import Operation
from gateway.domain.background import Batch, BatchClaim, BatchState, Job, JobState, ProviderBatch
from gateway.domain.key import Key, has_expired
from gateway.domain.ledger import Hold
from gateway.domain.model import Model
from gateway.domain.money import ZERO, Usd
from gateway.errors import BudgetExhausted, InvalidRequest, PonderError, UpstreamDenied, UpstreamRefused
from gateway.flow.hold import LEASE_S, cost_bound
from gateway.flow.publishing import publish
from gateway.http.dialects import ENDPOINTS
from gateway.http.shelf import Shelf
from gateway.ports import BatchApi, BatchPhase, BatchRequest, BatchResult, Claim, KeyDirectory

MOST_BYTES = 64 * 1024 * 1024
"""Of requests that are submitted in one call, and so held in memory; larger batches are answered here."""

_LINES_AT_ONCE = 100
_FIRST_LOOK_S, _LONGEST_LOOK_S = 1.0, 60.0
_PATIENCE_SHARE = 0.05
"""A batch is looked at again after this share of its age."""
_log = logging.getLogger(__name__)


class ProviderLane:
    """Takes batches to their providers and back."""

    def __init__(self, shelf: Shelf, keys: KeyDirectory) -> None:
        self._shelf = shelf
        self._house = shelf.house
        self._keys = keys
        self._holds: dict[str, Hold] = {}
        """Of the batches that this process has followed."""

    def choose(self, batch: Batch, models: Iterable[str], size: int) -> ProviderBatch | None:
        """The provider that a batch of requests for these models goes to, if there is one for all of it."""
        key = self._key(batch)
        if not self._shelf.terms.provider_batches or key is None or size > MOST_BYTES:
            return None
        # A key's places are for calls under way; a batch would keep one for a day.
        if any(account.limits.concurrency is not None for account in key.accounts):
            return None
        catalog, endpoint = self._house.catalog, ENDPOINTS[batch.endpoint]
        names = tuple(models)
        found = [late_model(name, key, catalog) for name in names]
        chosen = [model for model in found if model is not None]
        if len(chosen) != len(found) or len({model.upstream for model in chosen}) != 1:
            return None
        upstream = chosen[0].upstream
        api = batch_api(catalog, upstream)
        if api is None:
            return None
        if any(name not in catalog.models for name in names):  # arms, whose lines are put into the provider's words
            if endpoint.operation is not Operation.CHAT:
                return None
        elif endpoint.dialect not in catalog.upstreams[upstream].dialects:
            return None
        if not api.mixes_models and len({model.upstream_name for model in chosen}) != 1:
            return None
        if any(at_batch_price(model) is None or not _is_bounded(model, batch) for model in chosen):
            return None
        return ProviderBatch(upstream)

    def model_name(self, batch: Batch, name: str) -> str:
        """The model that a line of a batch at its provider goes to, which is what its cost is told by later."""
        key = self._key(batch)
        model = None if key is None else late_model(name, key, self._house.catalog)
        return name if model is None else model.name

    def _key(self, batch: Batch) -> Key | None:
        key = self._keys.find_by_id(batch.key_id)
        is_valid = key is not None and key.is_active and not has_expired(key, self._house.clock.now())
        return key if is_valid else None

    async def follow(self, claim: BatchClaim) -> float | None:
        """Take a batch's next step at its provider: in how many seconds to come back, None where all is settled.

        Raises UpstreamError, RateLimited and Unavailable, after which the step can be taken again.
        """
        batch, provider = claim.batch, claim.batch.provider
        assert provider is not None  # noqa: S101  only batches with a place at a provider are followed
        api = batch_api(self._house.catalog, provider.upstream)
        if api is None:
            return await self._come_home(claim, "its provider is not configured any more")
        if provider.id is None:
            return await self._submit(claim, provider, api)
        if batch.id not in self._holds:
            await self._hold(batch, [await self._late(job, batch) for job in await self._open_lines(batch)])
        now = self._house.clock.now()
        try:
            phase = await api.phase(provider.id)
        except UpstreamRefused as refusal:
            return await self._come_home(claim, refusal.message)
        if phase is BatchPhase.REFUSED:
            return await self._come_home(claim, "its provider refused it")
        if phase is BatchPhase.ENDED:
            await self._settle(batch, api, provider.id)
            return None
        is_unwanted = batch.state is BatchState.CANCELLING or now >= batch.deadline_at
        if phase is BatchPhase.RUNNING and is_unwanted:
            await api.cancel(provider.id)
            return _FIRST_LOOK_S
        return min(max((now - batch.created_at) * _PATIENCE_SHARE, _FIRST_LOOK_S), _LONGEST_LOOK_S)

    async def _submit(self, claim: BatchClaim, provider: ProviderBatch, api: BatchApi) -> float:
        batch = claim.batch
        try:
            found = await api.find(batch.id)
            if found is None and batch.state is BatchState.CANCELLING:
                return await self._come_home(claim, "it was cancelled before it was submitted")
            if found is None:
                try:
                    asks = await self._asks(batch)
                except PonderError as refusal:
                    return await self._come_home(claim, refusal.message)
                await self._hold(batch, asks)
                found = await api.submit(batch.id, *_submitted(asks, batch))
        except (BudgetExhausted, UpstreamRefused, UpstreamDenied) as refusal:
            return await self._come_home(claim, refusal.message)
        submitted = replace(batch, provider=replace(provider, id=found))
        await self._shelf.batches.save(claim, submitted)
        _log.info("batch %s runs at %s as %s", batch.id, provider.upstream, found)
        return _FIRST_LOOK_S

    async def _come_home(self, claim: BatchClaim, reason: str) -> float:
        """Give a batch's lines to this gateway's own runners; to nobody, where it was cancelled."""
        batch, store = claim.batch, self._shelf.batches
        _log.info("batch %s is answered here: %s", batch.id, reason)
        self._end_hold(batch, ZERO)
        if batch.state is BatchState.CANCELLING:
            await store.end_lines(batch.id, JobState.CANCELLED, now=self._house.clock.now(), at_provider=True)
        if await store.save(claim, replace(batch, provider=None)):
            await store.give_back_lines(batch.id)
            self._shelf.ring()
        return 0.0

    async def _open_lines(self, batch: Batch) -> list[Job]:
        """The batch's lines that have not ended."""
        found: list[Job] = []
        after = 0
        while lines := await self._shelf.batches.lines(batch.id, after=after, limit=_LINES_AT_ONCE):
            found += [line.job for line in lines if line.finished_at is None]
            after = lines[-1].job.line or 0
        return found

    async def _asks(self, batch: Batch) -> list[LateAsk]:
        """The open lines as they go to the provider. Raises PonderError where one of them cannot go there."""
        key, endpoint = self._key(batch), ENDPOINTS[batch.endpoint]
        found = [await late_ask(job, endpoint, key, self._house) for job in await self._open_lines(batch)]
        if len({each.dialect for each in found}) > 1:
            raise InvalidRequest("its lines go to the provider in several dialects, and a batch there is in one")
        return found

    async def _late(self, job: Job, batch: Batch) -> LateAsk:
        """A line that a provider has answered; without its arm's plan where that would be another now."""
        endpoint = ENDPOINTS[batch.endpoint]
        try:
            return await late_ask(job, endpoint, self._key(batch), self._house)
        except PonderError:
            return plain_ask(job, endpoint, self._house, upstream=batch.provider.upstream if batch.provider else "")

    async def _hold(self, batch: Batch, asks: Iterable[LateAsk]) -> None:
        """Set aside what the batch may cost; the same hold where this or another process has it already.

        Raises BudgetExhausted only for a batch that is not submitted yet: what runs has to be paid.
        """
        key = self._keys.find_by_id(batch.key_id)
        if batch.id in self._holds or key is None:
            return
        bounds = [cost_bound(each.ask, each.model, each.output_tokens) for each in asks if each.model.price is not None]
        claim = Claim(
            request_id=batch.id,
            accounts=key.accounts,
            ceiling=Usd(sum(bounds, start=ZERO)),
            tokens=0,
            now=self._house.clock.now(),
            lease_s=LEASE_S,
        )
        try:
            hold = await self._house.purse.hold(claim)
        except BudgetExhausted as refusal:
            if batch.provider is None or batch.provider.id is None:
                raise
            _log.warning("batch %s runs beyond its budget: %s", batch.id, refusal.message)
            try:
                # Nothing is set aside; what it will have cost is charged all the same.
                hold = await self._house.purse.hold(replace(claim, ceiling=ZERO))
            except BudgetExhausted:
                return  # the budget is overdrawn, and lets nothing through until it renews
        self._holds[batch.id] = hold
        self._house.settlements.watch(hold)

    def _end_hold(self, batch: Batch, amount: Usd) -> None:
        hold = self._holds.pop(batch.id, None)
        if hold is not None:
            self._house.settlements.end(hold, amount, 0)

    async def _settle(self, batch: Batch, api: BatchApi, provider_id: str) -> None:
        """Put every result on record and end its line; lines without one end as the batch did."""
        spent = ZERO
        waiting: list[BatchResult] = []
        async for result in api.results(provider_id):
            waiting.append(result)
            if len(waiting) == _LINES_AT_ONCE:
                spent = Usd(spent + await self._settle_lines(batch, waiting))
                waiting = []
        spent = Usd(spent + await self._settle_lines(batch, waiting))
        state = JobState.CANCELLED if batch.state is BatchState.CANCELLING else JobState.EXPIRED
        await self._shelf.batches.end_lines(batch.id, state, now=self._house.clock.now(), at_provider=True)
        self._end_hold(batch, spent)

    async def _settle_lines(self, batch: Batch, results: list[BatchResult]) -> Usd:
        """Settle the lines of these results; what they take from the batch's hold."""
        house, endpoint = self._house, ENDPOINTS[batch.endpoint]
        by_id = {result.id: result for result in results if result.body is not None}
        hold = self._holds.get(batch.id)
        spent = ZERO
        for standing in await self._shelf.batches.lines_of(batch.id, list(by_id)):
            job = standing.job
            now = house.clock.now()
            late = await self._late(job, batch)
            line = settled(late, by_id[job.id], endpoint, house.codecs, now=now)
            if standing.finished_at is None:
                # On record first: should the process end here, the line is settled again, under the same id.
                house.journal.settle(line.record)
                house.meter.call(late.model.upstream, line.record.result.value)
                publish(house, line.record, operation=endpoint.operation, model=late.model.name)
                await self._shelf.batches.end_line(job.id, line.outcome, now=now)
            elif hold is None or standing.finished_at < hold.held_at:
                continue  # settled before this hold was taken, by balances that were read from the log
            spent = Usd(spent + line.record.cost)
        return spent


def _submitted(asks: Iterable[LateAsk], batch: Batch) -> tuple[str, list[BatchRequest]]:
    """Where a batch's requests go at the provider, and the requests."""
    found = list(asks)
    endpoint = ENDPOINTS[batch.endpoint]
    spoken = next((each.dialect for each in found), endpoint.dialect)
    path = batch.endpoint if spoken is endpoint.dialect else PATHS[spoken]
    return path, [BatchRequest(each.job.id, each.body) for each in found]


def _is_bounded(model: Model, batch: Batch) -> bool:
    """Whether the most that an answer can cost is known, although a request may state no limit."""
    return ENDPOINTS[batch.endpoint].operation is Operation.EMBEDDINGS or model.max_output_tokens is not None
