"""The runner: takes jobs that are due, serves each as a live request is served, and keeps how it ended.

Several processes share the work by leases. One that is killed loses its leases after
:data:`LEASE_S`, and its jobs are run again by whoever is there: upstream that may be a second call,
here it is one result.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace

from gateway.background.arrival import StoredArrival, StoredKeys
from gateway.background.steward import Steward
from gateway.dialects.json_bytes import loads
from gateway.domain.background import BatchClaim, Claim, JobState, Outcome
from gateway.domain.chat import Dialect
from gateway.domain.identity import new_request_id
from gateway.errors import (
    PonderError,
    RateLimited,
    RequestError,
    Unavailable,
    UpstreamDenied,
    UpstreamError,
    UpstreamRefused,
)
from gateway.flow.deciding import is_decided_by_policy
from gateway.flow.house import House
from gateway.flow.reply import Whole
from gateway.flow.serve import serve
from gateway.http.dialects import ENDPOINTS
from gateway.http.faults import error_body
from gateway.http.shelf import Shelf
from gateway.ports import KeyDirectory
from gateway.telemetry import Meter

LEASE_S = 30.0
_RENEW_EVERY_S = 5.0
_POLL_S = 1.0
_SWEEP_EVERY_S = 60.0
_STORE_AGAIN_S = 1.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 120.0
_MOST_LOSSES = 3
"""A job whose process ended this often while it ran is not run once more: it may have been the cause."""
_MOST_ID = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Later:
    """A job that is to be tried again; meanwhile those of ``at_rest``, a key or a model, are left alone."""

    wait_s: float
    at_rest: str


@dataclass(frozen=True, slots=True)
class _Run:
    """A job being served: the house is that of live requests, but for the keys."""

    claim: Claim
    house: House


class Runner:
    """Runs the jobs of a shelf, ``concurrency`` at a time, and takes care of its batches."""

    def __init__(self, shelf: Shelf, keys: KeyDirectory, steward: Steward) -> None:
        self._shelf = shelf
        self._house = shelf.house
        self._keys = StoredKeys(keys)
        self._steward = steward
        self._running: dict[asyncio.Task[None], _Run] = {}
        self._caring: tuple[asyncio.Task[None], BatchClaim] | None = None
        self._at_rest: dict[str, float] = {}
        self._bell = asyncio.Event()
        self._looks_at_leases = False
        self._renewed = self._swept = 0.0
        self._following: asyncio.Task[None] | None = None
        self._is_closing = False
        self.last_error: str | None = None
        self.finished = self.put_back = 0

    def start(self) -> None:
        """Begin to take jobs; call once, in the event loop."""
        self._following = asyncio.create_task(self._follow(), name="background")

    def ring(self) -> None:
        """Look at once: something was added, cancelled or deleted."""
        self._looks_at_leases = True
        self._bell.set()

    def watch(self, meter: Meter) -> None:
        """Expose what runs and what was done."""
        meter.watch("ponder_background_running", "Background jobs being served.", lambda: len(self._running))
        finished, put_back = "Background jobs that ended.", "Background jobs put back to be tried later."
        meter.watch("ponder_background_finished", finished, lambda: self.finished, is_counter=True)
        meter.watch("ponder_background_put_back", put_back, lambda: self.put_back, is_counter=True)

    async def close(self, *, within_s: float) -> None:
        """Take no more jobs; let those that run end in the given time, and put the others back."""
        self._is_closing = True
        if self._following is None:
            return
        self._bell.set()
        _, late = await asyncio.wait({self._following}, timeout=within_s)
        for task in late:
            task.cancel()
        if self._caring is not None:
            self._caring[0].cancel()
            await asyncio.wait({self._caring[0]})
        if self._running:
            _, late = await asyncio.wait(self._running.keys(), timeout=within_s)
            for task in late:
                # Says on record that it was us who ended it, and not whoever asked.
                self._running[task].house.is_stopping = True
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _follow(self) -> None:
        while not self._is_closing:
            self._bell.clear()
            try:
                await self._turn()
                self._note(None)
            except PonderError as fault:
                self._note(fault.message)
            except Exception as fault:  # noqa: BLE001 - the outermost loop: a fault of ours must not end it
                _log.exception("background work was not looked at")
                self._note(f"unexpected {type(fault).__name__}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._bell.wait()

    def _note(self, fault: str | None) -> None:
        if fault is not None and self.last_error is None:
            _log.warning("background work waits: %s", fault)
        self.last_error = fault

    async def _turn(self) -> None:
        clock = self._house.clock
        if self._looks_at_leases or clock.monotonic() - self._renewed > _RENEW_EVERY_S:
            self._looks_at_leases = False
            self._renewed = clock.monotonic()
            await self._renew(until=clock.now() + LEASE_S)
        now = clock.now()
        self._at_rest = {name: until for name, until in self._at_rest.items() if until > now}
        free = self._shelf.terms.concurrency - len(self._running)
        if free > 0:
            for claim in await self._shelf.jobs.claim(now=now, lease_s=LEASE_S, most=free, at_rest=self._at_rest):
                run = _Run(claim, replace(self._house, keys=self._keys))
                task = asyncio.create_task(self._run(run))
                self._running[task] = run
                task.add_done_callback(self._ended)
        if self._caring is None:
            care = await self._shelf.batches.claim(now=now, lease_s=LEASE_S)
            if care is not None:
                caring = asyncio.create_task(self._steward.care(care))
                self._caring = caring, care
                caring.add_done_callback(self._cared)
        if clock.monotonic() - self._swept > _SWEEP_EVERY_S:
            self._swept = clock.monotonic()
            await self._steward.sweep()

    async def _renew(self, *, until: float) -> None:
        """Keep the leases, and stop what is no longer ours: it was cancelled, or another process has it."""
        if self._running:
            running = tuple(self._running.items())
            held = await self._shelf.jobs.renew([run.claim for _, run in running], until=until)
            for each, run in running:
                if run.claim.job.id not in held:
                    each.cancel()
        if self._caring is not None:
            task, claimed = self._caring
            if claimed.batch.id not in await self._shelf.batches.renew([claimed], until=until):
                task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task)
        self._bell.set()
        _tell(task)

    def _cared(self, task: asyncio.Task[None]) -> None:
        self._caring = None
        self._bell.set()
        _tell(task)

    async def _run(self, run: _Run) -> None:
        try:
            answer = await self._answer(run.claim, run.house)
        except asyncio.CancelledError:
            # By its caller, whose wish is stored already; or because this process ends.
            if not self._is_closing:
                raise
            answer = _Later(0.0, "")
        await self._keep(run.claim, answer)

    async def _keep(self, claim: Claim, answer: Outcome | _Later) -> None:
        """Store how a job ended, however long the database is away."""
        while True:
            now = self._house.clock.now()
            try:
                if isinstance(answer, _Later):
                    self._at_rest[answer.at_rest] = now + answer.wait_s
                    self.put_back += await self._shelf.jobs.put_back(claim, due_at=now + answer.wait_s)
                else:
                    # A line is kept for as long as its batch needs it.
                    kept_until = None if claim.job.batch_id else now + self._shelf.kept_s
                    self.finished += await self._shelf.jobs.finish(claim, answer, now=now, kept_until=kept_until)
            except PonderError as fault:
                self._note(fault.message)
                await asyncio.sleep(_STORE_AGAIN_S)
            else:
                return

    async def _answer(self, claim: Claim, house: House) -> Outcome | _Later:
        """Serve a job as a live request of its key; how it ended, or when to try again."""
        job = claim.job
        request_id = new_request_id(house.clock.now())
        if claim.losses >= _MOST_LOSSES:
            lost = f"the gateway's process ended {claim.losses} times while this request was served"
            return _failed(PonderError(lost), claim, request_id)
        try:
            reply = await serve(StoredArrival(job, request_id, house.clock), house)
        except PonderError as error:
            at_rest = _cause(error, claim)
            if at_rest is not None:
                return _Later(_pause_s(error, claim.number), at_rest)
            return _failed(error, claim, request_id)
        except Exception:  # noqa: BLE001 - the outermost of one job, as faults.py is of a live request
            _log.exception("background request %s failed by a fault of the gateway", request_id)
            return _failed(PonderError("the gateway failed to serve this request"), claim, request_id)
        assert isinstance(reply, Whole)  # noqa: S101  jobs that stream are not taken
        return Outcome(JobState.COMPLETED, 200, request_id, reply.body, _answer_id(claim, reply.body))


def _tell(task: asyncio.Task[None]) -> None:
    """Log the fault of ours that ended a task, if one did."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        _log.error("background work ended by a fault of the gateway", exc_info=fault)


def _failed(error: PonderError, claim: Claim, request_id: str) -> Outcome:
    body = error_body(error, ENDPOINTS[claim.job.endpoint].dialect, request_id)
    return Outcome(JobState.FAILED, error.http_status, request_id, body)


def _cause(error: PonderError, claim: Claim) -> str | None:
    """Whose jobs had better wait, the key's or the model's; None where waiting would not help."""
    if isinstance(error, RateLimited):
        return claim.job.key_id
    # What a policy decides may be another model for each key: others go on.
    at_fault = claim.job.key_id if is_decided_by_policy(claim.job.model) else claim.job.model
    if isinstance(error, Unavailable):
        return at_fault
    if isinstance(error, UpstreamError) and not isinstance(error, UpstreamRefused | UpstreamDenied):
        # What may have been billed is not sent again: the retries that a live request has were made.
        return at_fault if error.is_unbilled else None
    return None


def _pause_s(error: PonderError, attempt: int) -> float:
    pause_s = min(_FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 10), _LONGEST_PAUSE_S)
    if isinstance(error, RequestError):  # a limit of ours says exactly when it lets the next one in
        pause_s = _FIRST_PAUSE_S
    return max(pause_s, error.retry_after_s or 0.0)


def _answer_id(claim: Claim, body: bytes) -> str | None:
    """The provider's id of a response, by which a later one can continue it."""
    if claim.job.batch_id is not None or ENDPOINTS[claim.job.endpoint].dialect is not Dialect.OPENAI_RESPONSES:
        return None
    answer_id = loads(body).get("id")
    return answer_id if isinstance(answer_id, str) and answer_id.isprintable() and len(answer_id) <= _MOST_ID else None
