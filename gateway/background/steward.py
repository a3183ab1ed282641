"""The steward: takes a batch from its file to its results, one step at a time, and deletes what is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from gateway.background.lines import Line, RawLine, read_line, split
from gateway.background.output import output_line
from gateway.background.provider import ProviderLane
from gateway.domain.background import (
    Batch,
    BatchClaim,
    BatchState,
    Counts,
    FilePurpose,
    Job,
    JobState,
    LineFault,
    StoredFile,
)
from gateway.domain.identity import new_id
from gateway.errors import PonderError
from gateway.http.dialects import ENDPOINTS
from gateway.http.files import FILE_PREFIX
from gateway.http.shelf import Shelf
from gateway.store.files import FileDraft

_MOST_FAULTS = 50
"""Faults told of one file: who mends these can ask again."""
_BYTES_AT_ONCE = 64 * 1024
"""Read before live requests get their turn: about a millisecond."""
_LINES_AT_ONCE = 200
_ENTERED_BYTES = 1024 * 1024
_RESULTS_AT_ONCE = 20
_COME_BACK_S = 1.0
_TRY_AGAIN_S = 5.0
_log = logging.getLogger(__name__)


class Steward:
    """Takes care of the batches of a shelf."""

    def __init__(self, shelf: Shelf, provider: ProviderLane) -> None:
        self._shelf = shelf
        self._provider = provider
        self._clock = shelf.house.clock

    async def care(self, claim: BatchClaim) -> None:
        """Bring a batch as far as it goes now, and let go of it."""
        pause_s = _COME_BACK_S
        try:
            pause_s = await self._step(claim)
        except PonderError as fault:
            pause_s = max(fault.retry_after_s or 0.0, _TRY_AGAIN_S)
            _log.warning("batch %s waits: %s", claim.batch.id, fault.message)
        finally:
            await self._let_go(claim, pause_s)

    async def _let_go(self, claim: BatchClaim, pause_s: float) -> None:
        try:
            await self._shelf.batches.leave(claim, due_at=self._clock.now() + pause_s)
        except PonderError as fault:  # its lease ends by itself
            _log.debug("batch %s was not let go: %s", claim.batch.id, fault.message)

    async def _step(self, claim: BatchClaim) -> float:
        """Take the batch's next step; in how many seconds to come back."""
        batch, store = claim.batch, self._shelf.batches
        if batch.state is BatchState.VALIDATING:
            await self._validate(claim)
            return 0.0
        if batch.provider is not None and BatchState.FINALIZING not in batch.stamps:
            pause_s = await self._provider.follow(claim)
            if pause_s is not None:
                return pause_s
        now = self._clock.now()
        if batch.state is BatchState.CANCELLING:
            await store.end_lines(batch.id, JobState.CANCELLED, now=now)
        elif now >= batch.deadline_at:
            await store.end_lines(batch.id, JobState.EXPIRED, now=now)
        if not await store.has_open_lines(batch.id):
            await self._finalize(claim)
        return _COME_BACK_S

    async def _validate(self, claim: BatchClaim) -> None:
        batch = claim.batch
        judgement = await self._judge(batch)
        now = self._clock.now()
        if judgement.faults:
            refused = _entering(replace(batch, faults=tuple(judgement.faults)), BatchState.FAILED, now)
            kept_until = now + self._shelf.kept_s
            await self._shelf.batches.finish(claim, refused, (), now=now, kept_until=kept_until)
            return
        place = batch.provider
        is_open = place is None and not judgement.stays_here
        if is_open and not await self._shelf.batches.entered(batch.id):
            place = self._provider.choose(batch, judgement.models, judgement.size)
        # Where it goes is stored before any line is: whoever goes on with it sends the rest there too.
        batch = replace(batch, provider=place)
        if not await self._shelf.batches.save(claim, batch):
            return
        if await self._enter(replace(claim, batch=batch)):
            batch = replace(batch, counts=Counts(judgement.total))
            await self._shelf.batches.save(claim, _entering(batch, BatchState.IN_PROGRESS, self._clock.now()))
            self._shelf.ring()

    async def _judge(self, batch: Batch) -> _Judgement:
        """Read a batch's whole file, until there are more faults than anybody wants to be told."""
        terms, body_bytes = self._shelf.terms, self._shelf.house.catalog.body_bytes
        judgement = _Judgement()
        first_lines: dict[str, int] = {}
        async for raw in self._raw_lines(batch):
            judgement.total += 1
            if judgement.total > terms.max_batch_lines:
                message = f"the file has more than {terms.max_batch_lines} requests, the limit set by "
                fault = LineFault("too_many_requests", f"{message}background.max_batch_lines", raw.number)
                judgement.faults = [fault]
                return judgement
            line = read_line(raw, ENDPOINTS[batch.endpoint], most_bytes=body_bytes)
            if isinstance(line, Line):
                judgement.models.add(line.model)
                judgement.size += len(line.body)
                judgement.stays_here |= line.stays_here
                first = first_lines.setdefault(line.custom_id, line.number)
                if first == line.number:
                    continue
                message = f"this 'custom_id' stands in line {first} too; each may stand once"
                line = LineFault("duplicate_custom_id", message, line.number, "custom_id")
            judgement.faults.append(line)
            if len(judgement.faults) == _MOST_FAULTS:
                break
        if not judgement.total:
            message = "the file holds no requests, or was deleted; a line holds one"
            judgement.faults.append(LineFault("empty_file", message))
        return judgement

    async def _raw_lines(self, batch: Batch) -> AsyncIterator[RawLine]:
        since_pause = 0
        chunks = self._shelf.files.chunks(batch.input_file_id)
        async for raw in split(chunks, most_bytes=self._shelf.house.catalog.body_bytes):
            since_pause += len(raw.data or b"")
            if since_pause > _BYTES_AT_ONCE:
                since_pause = 0
                await asyncio.sleep(0)
            yield raw

    async def _enter(self, claim: BatchClaim) -> bool:
        """Make the lines jobs, from where an earlier attempt ended; False if the batch is no longer ours."""
        batch, store = claim.batch, self._shelf.batches
        entered = await store.entered(batch.id)
        waiting: list[Job] = []
        size = 0
        async for raw in self._raw_lines(batch):
            if raw.number <= entered:
                continue
            line = read_line(raw, ENDPOINTS[batch.endpoint], most_bytes=self._shelf.house.catalog.body_bytes)
            if isinstance(line, Line):
                at_provider = batch.provider is not None
                name = self._provider.model_name(batch, line.model) if at_provider else line.model
                waiting.append(_job(batch, line, name))
                size += len(line.body)
            if len(waiting) == _LINES_AT_ONCE or size > _ENTERED_BYTES:
                if not await store.enter(claim, waiting, at_provider=batch.provider is not None):
                    return False
                waiting, size = [], 0
        return not waiting or await store.enter(claim, waiting, at_provider=batch.provider is not None)

    async def _finalize(self, claim: BatchClaim) -> None:
        """Write the batch's files and end it."""
        store = self._shelf.batches
        counts = await store.count(claim.batch.id)
        batch = replace(claim.batch, counts=counts)
        if BatchState.FINALIZING not in batch.stamps:
            batch = _entering(batch, BatchState.FINALIZING, self._clock.now())
            if not await store.save(claim, batch):
                return
        results = _Results(self._shelf, batch)
        after, has_expired = 0, False
        while lines := await store.lines(batch.id, after=after, limit=_RESULTS_AT_ONCE):
            for line in lines:
                has_expired = has_expired or line.state is JobState.EXPIRED
                await results.write(output_line(line), is_answer=line.state is JobState.COMPLETED)
            after = lines[-1].job.line or 0
        now = self._clock.now()
        end = BatchState.EXPIRED if has_expired else BatchState.COMPLETED
        if BatchState.CANCELLING in batch.stamps:
            end = BatchState.CANCELLED
        output, errors = await results.close(kept_until=now + self._shelf.kept_s)
        done = replace(
            _entering(batch, end, now),
            output_file_id=output.id if output else None,
            error_file_id=errors.id if errors else None,
        )
        outputs = [file for file in (output, errors) if file is not None]
        await store.finish(claim, done, outputs, now=now, kept_until=now + self._shelf.kept_s)

    async def sweep(self) -> None:
        """Delete what has been kept for long enough, and end what waited for too long; some of it each time."""
        now, shelf = self._clock.now(), self._shelf
        await shelf.jobs.expire(now=now, kept_until=now + shelf.kept_s)
        await shelf.jobs.delete_ended(now=now)
        await shelf.batches.delete_lines()
        await shelf.batches.delete_ended(now=now)
        await shelf.files.delete_ended(now=now)


@dataclass(slots=True)
class _Judgement:
    """What was read of a batch's file: its faults, and of its requests how many, how large, and for which models."""

    faults: list[LineFault] = field(default_factory=list)
    total: int = 0
    size: int = 0
    models: set[str] = field(default_factory=set)
    stays_here: bool = False


class _Results:
    """The two files of a batch, each begun with its first line."""

    def __init__(self, shelf: Shelf, batch: Batch) -> None:
        self._shelf = shelf
        self._batch = batch
        self._drafts: dict[bool, tuple[str, float, FileDraft]] = {}

    async def write(self, line: bytes, *, is_answer: bool) -> None:
        if is_answer not in self._drafts:
            now = self._shelf.house.clock.now()
            file_id = new_id(FILE_PREFIX, now)
            begun = await self._shelf.files.begin(file_id, self._batch.key_id, FilePurpose.BATCH_OUTPUT, now=now)
            self._drafts[is_answer] = file_id, now, begun
        await self._drafts[is_answer][2].write(line, now=self._shelf.house.clock.now())

    async def close(self, *, kept_until: float) -> tuple[StoredFile | None, StoredFile | None]:
        """Write what is left; the files of answers and of failures, which are still nobody's to see."""
        for _, _, draft in self._drafts.values():
            await draft.flush(now=self._shelf.house.clock.now())
        return self._file(is_answer=True, kept_until=kept_until), self._file(is_answer=False, kept_until=kept_until)

    def _file(self, *, is_answer: bool, kept_until: float) -> StoredFile | None:
        if is_answer not in self._drafts:
            return None
        file_id, begun_at, draft = self._drafts[is_answer]
        return StoredFile(
            id=file_id,
            key_id=self._batch.key_id,
            purpose=FilePurpose.BATCH_OUTPUT,
            name=f"{self._batch.id}_{'output' if is_answer else 'error'}.jsonl",
            size=draft.size,
            created_at=begun_at,
            kept_until=kept_until,
        )


def _entering(batch: Batch, state: BatchState, now: float) -> Batch:
    return replace(batch, state=state, stamps={**batch.stamps, state.value: now})


def _job(batch: Batch, line: Line, model: str) -> Job:
    return Job(
        id=f"{batch.id.replace('batch_', 'batch_req_', 1)}_{line.number}",
        key_id=batch.key_id,
        endpoint=batch.endpoint,
        model=model[:200],
        body=line.body,
        created_at=batch.created_at,
        deadline_at=batch.deadline_at,
        batch_id=batch.id,
        line=line.number,
        custom_id=line.custom_id,
    )
