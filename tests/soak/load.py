"""The clients of a long run: asks at a steady rate through a balancer that trusts what gateways say of themselves.

Nothing is ever sent twice. A request is due at its moment whether the one before has been answered or
not, and its latency counts from there: who waits for a slow server measures too little.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
import uvloop

from tests.soak.upstream import SLOW, STEADY

_LOOK_EVERY_S = 0.1
_LOOK_S = 5.0
"""A gateway that does not say within this time whether it is ready is not."""
_PATIENCE_S = 60.0
_CONNECTIONS: Final = 512
"""To one gateway, as a balancer bounds them: a pool without a bound keeps those of its worst moment for ever."""
_SWEEP_EVERY_S = 5.0
_END_S = 90.0
_CHAT = "/v1/chat/completions"


class Kind(StrEnum):
    """What is asked for."""

    WHOLE = "whole"
    STREAM = "stream"
    AUTO = "auto"
    AUTO_STREAM = "auto stream"
    SLOW = "slow stream"
    BOUNDED = "bounded"
    """With one of the keys that have a budget, which may run out."""


_MIX: Final = (
    *(Kind.WHOLE,) * 9,
    *(Kind.STREAM,) * 4,
    *(Kind.AUTO,) * 4,
    Kind.AUTO_STREAM,
    Kind.SLOW,
    Kind.BOUNDED,
)
BOUNDED_SHARE: Final = _MIX.count(Kind.BOUNDED) / len(_MIX)
_STREAMED: Final = frozenset({Kind.STREAM, Kind.AUTO_STREAM, Kind.SLOW})
_TIMED: Final = frozenset({Kind.WHOLE, Kind.STREAM, Kind.AUTO})
"""Whose latency is the gateway's and not the provider's."""
_UNCHECKED: Final = b"limits cannot be checked"
CLIENTS: Final = 256
"""One in twenty waits for a slow stream: as many as leave enough others to keep all cores busy."""


class Outcome(StrEnum):
    """What a client saw."""

    ANSWERED = "answered"
    SEVERED = "severed"
    """The gateway was killed on purpose: what happens on its own connections is nobody's promise."""
    CUT = "cut"
    """The provider broke the stream off, on purpose, and the gateway said so."""
    EXHAUSTED = "exhausted"
    """402, of a key whose budget runs out on purpose."""
    UNCHECKED = "unchecked"
    """503, of a key with a budget while Redis is away and ``redis.when_away`` is closed."""
    UNSERVED = "unserved"
    """No gateway was ready."""
    FAILED = "failed"


@dataclass(slots=True)
class Place:
    """A gateway as the balancer sees it."""

    address: str
    is_ready: bool = False
    is_out: bool = False
    """Taken out by whoever is about to stop it, as an orchestrator does."""
    is_killed: bool = False
    under_way: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request went; ``at`` is when it was due, on the monotonic clock."""

    at: float
    latency_s: float
    kind: Kind
    outcome: Outcome
    request_id: str | None
    reason: str = ""


def body_of(kind: Kind, number: int) -> bytes:
    """The ask with this number."""
    model = {Kind.SLOW: SLOW, Kind.AUTO: "auto", Kind.AUTO_STREAM: "auto"}.get(kind, STEADY)
    turns = [{"role": "user", "content": f"Say in a few words what becomes of number {number}."}]
    ask: dict[str, Any] = {"model": model, "messages": turns, "max_tokens": 64}
    if kind in _STREAMED:
        ask["stream"] = True
    return orjson.dumps(ask)


class Load:
    """Asks in a thread of its own, from when all gateways are ready until leaving.

    Without a ``rate``, so many clients as ``CLIENTS`` ask again as soon as they are answered.
    """

    def __init__(self, addresses: Sequence[str], secret: str, *, rate: float | None, seed: int) -> None:
        self.places = [Place(address) for address in addresses]
        self.answers: list[Answer] = []
        self.expects_cuts = False
        """Whether streams of the shaky provider may break off now."""
        self.is_closed = False
        """Whether keys with a budget are refused while Redis is away."""
        self.bounded_secrets: Sequence[str] = ()
        self._secret = secret
        self._rate = rate
        self._moments = random.Random(seed)
        self._numbers = itertools.count(1)
        self._turns = itertools.cycle(range(len(self.places)))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), name="soak-load")
        self._fault: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._fault is not None and fault is None:
            raise self._fault

    def await_answers(self, more: int, *, within_s: float = _PATIENCE_S) -> None:
        """Wait until so many more requests have been answered."""
        enough = self.counts()[Outcome.ANSWERED] + more
        end = time.monotonic() + within_s
        while self.counts()[Outcome.ANSWERED] < enough:
            assert time.monotonic() < end, f"{more} answers did not come within {within_s:g} s: {self.counts()}"
            time.sleep(_LOOK_EVERY_S)

    def await_ready(self, place: int, *, within_s: float = _PATIENCE_S) -> None:
        """Wait until the balancer sends requests to this gateway."""
        end = time.monotonic() + within_s
        while not self.places[place].is_ready:
            assert time.monotonic() < end, f"gateway {place} was not ready within {within_s:g} s"
            time.sleep(_LOOK_EVERY_S)

    def counts(self) -> Counter[Outcome]:
        """How requests went so far."""
        return Counter(answer.outcome for answer in self.answers)

    def take_out(self, place: int) -> None:
        """Send this gateway nothing more, and wait until it has answered all that it has."""
        self.places[place].is_out = True
        end = time.monotonic() + _PATIENCE_S
        while self.places[place].under_way:
            assert time.monotonic() < end, f"gateway {place} did not end what it had within {_PATIENCE_S:g} s"
            time.sleep(_LOOK_EVERY_S)

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
        # Less than the gateway's: a kept connection is never used in the moment in which it is closed.
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=_CONNECTIONS, keepalive_timeout=30)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            watching = [asyncio.create_task(self._watch(session, place)) for place in self.places]
            watching.append(asyncio.create_task(_sweep()))
            try:
                await self._ask_all(session)
            except BaseException as fault:
                self._fault = fault
                raise
            finally:
                for each in watching:
                    each.cancel()
                await asyncio.wait(watching)

    async def _watch(self, session: aiohttp.ClientSession, place: Place) -> None:
        """Do as a balancer does: ask whether the gateway is ready, and believe it."""
        looks = aiohttp.ClientTimeout(total=_LOOK_S)
        while True:
            try:
                async with session.get(f"{place.address}/health/ready", timeout=looks) as answer:
                    place.is_ready = answer.status == 200
            except (aiohttp.ClientError, OSError, TimeoutError):
                place.is_ready = False
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _ask_all(self, session: aiohttp.ClientSession) -> None:
        # The flags are those of another thread, or of the gateways: they tell nobody when they change.
        while not all(place.is_ready for place in self.places) and not self._stop.is_set():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)
        if self._rate is None:
            await asyncio.gather(*(self._ask_again(session) for _ in range(CLIENTS)))
        else:
            await self._ask_steadily(session, self._rate)

    async def _ask_again(self, session: aiohttp.ClientSession) -> None:
        while not self._stop.is_set():
            await self._ask(session, self._kind(), time.monotonic())

    async def _ask_steadily(self, session: aiohttp.ClientSession, rate: float) -> None:
        asked: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while not self._stop.is_set():
            due += self._moments.expovariate(rate)
            # Also when it is late: whoever looks which gateways are ready must have a turn.
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._ask(session, self._kind(), due))
            asked.add(task)
            task.add_done_callback(asked.discard)
        if asked:
            await asyncio.wait(asked, timeout=_END_S)

    def _kind(self) -> Kind:
        kind = self._moments.choice(_MIX)
        return Kind.WHOLE if kind is Kind.BOUNDED and not self.bounded_secrets else kind

    def _next_place(self) -> Place | None:
        for _ in self.places:
            place = self.places[next(self._turns)]
            if place.is_ready and not place.is_out and not place.is_killed:
                return place
        return None

    async def _ask(self, session: aiohttp.ClientSession, kind: Kind, due: float) -> None:
        place = self._next_place()
        if place is None:
            self.answers.append(Answer(due, 0.0, kind, Outcome.UNSERVED, None))
            return
        expects_cuts = self.expects_cuts
        place.under_way += 1
        request_id, reason = None, ""
        try:
            secret = self._moments.choice(self.bounded_secrets) if kind is Kind.BOUNDED else self._secret
            headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
            body = body_of(kind, next(self._numbers))
            async with session.post(place.address + _CHAT, data=body, headers=headers) as answer:
                content = await answer.read()
            # Without an id where the gateway has no room for the connection.
            request_id = answer.headers.get("x-ponder-request-id", "").replace("-", "") or None
            if self.is_closed and kind is Kind.BOUNDED and answer.status == 503 and _UNCHECKED in content:
                outcome = Outcome.UNCHECKED
            else:
                outcome, reason = _judge(kind, answer.status, content, may_be_cut=expects_cuts or self.expects_cuts)
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            outcome = Outcome.SEVERED if place.is_killed else Outcome.FAILED
            reason = f"{type(fault).__name__}: {fault}"
        finally:
            place.under_way -= 1
        self.answers.append(Answer(due, time.monotonic() - due, kind, outcome, request_id, reason))


async def _sweep() -> None:
    """Collect what is new only: to look through millions of answers each time would stop all clients for a second."""
    while True:
        gc.collect()
        gc.freeze()
        await asyncio.sleep(_SWEEP_EVERY_S)


def _judge(kind: Kind, status: int, content: bytes, *, may_be_cut: bool) -> tuple[Outcome, str]:
    if status == 402 and kind is Kind.BOUNDED:
        return Outcome.EXHAUSTED, ""
    if status != 200:
        return Outcome.FAILED, f"{status} {content[:300]!r}"
    if kind not in _STREAMED or content.rstrip().endswith(b"data: [DONE]"):
        return Outcome.ANSWERED, ""
    if may_be_cut and kind is Kind.AUTO_STREAM and b'"error"' in content:
        return Outcome.CUT, ""
    return Outcome.FAILED, f"a stream that ended with {content[-300:]!r}"


def is_timed(answer: Answer) -> bool:
    """Whether its latency tells of the gateway."""
    return answer.outcome is Outcome.ANSWERED and answer.kind in _TIMED
