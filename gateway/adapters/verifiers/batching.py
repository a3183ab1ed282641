"""Reading in batches: what is to be read at about the same time goes out in one call.

Whoever asks for what somebody else has asked for and not been told yet waits for the same answer; the
first of them that still waits pays. A call that nobody waits for any more is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from gateway.adapters.verifiers.passages import Passage
from gateway.domain.usage import Usage
from gateway.errors import UpstreamTimedOut

WAIT_S: Final = 0.002
"""How long the first text of a batch waits for others: chains that end together are scored together."""
_SLACK_S: Final = 0.1
"""The deadline of one request, worked out anew for each of its scores, comes out the same within this."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A passage to be read, and what tells it from all others."""

    key: bytes
    passage: Passage


@dataclass(frozen=True, slots=True)
class Told:
    """The scores of a passage. ``is_charged`` says that its ``usage`` is for this asker to pay."""

    scores: tuple[float, ...]
    usage: Usage | None
    is_charged: bool = True


Read = Callable[[Sequence[Passage], str, float], Awaitable[Sequence[Told]]]
"""Reads passages, with the salt of their cache and the seconds there are. Raises PonderError."""


@dataclass(slots=True, eq=False)
class _Place:
    """A passage in a batch, and those who wait for it."""

    asked: Asked
    batch: _Batch
    waiting: list[asyncio.Future[Told]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Batch:
    salt: str
    until: float
    """The deadline of whoever has the most time."""
    places: list[_Place] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[Sequence[Told]] | None = None


class Batches:
    """The passages that one verifier has to read. Used in one event loop."""

    def __init__(self, verifier: str, read: Read, *, most: int, wait_s: float = WAIT_S) -> None:
        self._verifier = verifier
        self._read = read
        self._most = most
        self._wait_s = wait_s
        self._filling: dict[str, _Batch] = {}
        """By salt: a call has one."""
        self._places: dict[bytes, _Place] = {}

    async def read(self, asked: Sequence[Asked], *, salt: str, deadline_s: float) -> list[Told]:
        """What is said of each passage. Raises PonderError; UpstreamTimedOut where it is not said in time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline_s
        waiters: list[tuple[_Place, asyncio.Future[Told]]] = [
            (self._place(each, salt, until), loop.create_future()) for each in asked
        ]
        for place, waiter in waiters:
            place.waiting.append(waiter)
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.gather(*(waiter for _, waiter in waiters))
        except TimeoutError as fault:
            raise UpstreamTimedOut(f"verifier {self._verifier} did not answer in time") from fault
        finally:
            for place, waiter in waiters:
                self._leave(place, waiter)

    def _place(self, asked: Asked, salt: str, until: float) -> _Place:
        """Where a passage is read: in a call under way that has the time, or in the batch that fills."""
        place = self._places.get(asked.key)
        if place is not None and (place.batch.task is None or place.batch.until >= until - _SLACK_S):
            place.batch.until = max(place.batch.until, until)
            return place
        batch = self._filling.get(salt)
        if batch is None:
            batch = self._filling[salt] = _Batch(salt, until)
            batch.timer = asyncio.get_running_loop().call_later(self._wait_s, self._send, batch)
        batch.until = max(batch.until, until)
        place = self._places[asked.key] = _Place(asked, batch)
        batch.places.append(place)
        if len(batch.places) >= self._most:
            self._send(batch)
        return place

    def _send(self, batch: _Batch) -> None:
        if batch.timer is not None:
            batch.timer.cancel()
        del self._filling[batch.salt]
        left_s = batch.until - asyncio.get_running_loop().time()
        passages = [place.asked.passage for place in batch.places]
        batch.task = asyncio.ensure_future(self._read(passages, batch.salt, left_s))
        batch.task.add_done_callback(partial(self._done, batch))

    def _done(self, batch: _Batch, task: asyncio.Task[Sequence[Told]]) -> None:
        fault = None if task.cancelled() else task.exception()
        told = [] if task.cancelled() or fault is not None else task.result()
        for number, place in enumerate(batch.places):
            self._forget(place)
            waiting = [waiter for waiter in place.waiting if not waiter.done()]
            for turn, waiter in enumerate(waiting):
                if task.cancelled():
                    waiter.cancel()
                elif fault is not None:
                    waiter.set_exception(fault)
                else:
                    waiter.set_result(replace(told[number], is_charged=turn == 0))

    def _leave(self, place: _Place, waiter: asyncio.Future[Told]) -> None:
        """One who waited has been told, or has given up."""
        place.waiting.remove(waiter)
        waiter.cancel()
        batch = place.batch
        if place.waiting or (batch.task is not None and batch.task.done()):
            return
        self._forget(place)
        if batch.task is None:
            batch.places.remove(place)
            if not batch.places and batch.timer is not None:
                batch.timer.cancel()
                del self._filling[batch.salt]
        elif not any(each.waiting for each in batch.places):
            batch.task.cancel()

    def _forget(self, place: _Place) -> None:
        if self._places.get(place.asked.key) is place:
            del self._places[place.asked.key]


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """A whole number in whole parts that go by weight and add up to it."""
    whole = sum(weights)
    if whole == 0:
        weights, whole = [1] * len(weights), len(weights)
    parts = [total * weight // whole for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda each: -(total * weights[each] % whole))
    for each in by_rest[: total - sum(parts)]:
        parts[each] += 1
    return parts


def apportioned(usage: Usage | None, passages: Sequence[Passage]) -> list[Usage | None]:
    """What a call used, in parts for its passages that go by their length and add up to it."""
    if usage is None or len(passages) == 1:
        return [usage] * len(passages)
    weights = [len(passage.text) + len(passage.query) for passage in passages]
    counts = [shares(total, weights) for total in (usage.input_tokens, usage.cached_tokens, usage.output_tokens)]
    return [
        Usage(
            input_tokens=read,
            cached_tokens=cached,
            output_tokens=written,
            service_tier=usage.service_tier,
            source=usage.source,
            raw=usage.raw,
        )
        for read, cached, written in zip(*counts, strict=True)
    ]
