"""A house whose upstream plays a script, for tests of what happens to a request in between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from io import StringIO
from typing import Any

from gateway.adapters.limits_memory import MemoryPurse
from gateway.adapters.sticky_memory import MemorySticky
from gateway.adapters.thinking import actuate
from gateway.dialects import anthropic_messages, openai_chat, openai_responses
from gateway.domain.ask import NO_HINTS, Ask, Endpoint, Operation
from gateway.domain.chat import Dialect
from gateway.domain.key import Key
from gateway.domain.model import Model
from gateway.domain.prediction import Category, Prediction, Prompt, Source
from gateway.domain.pricing import per_mtok
from gateway.domain.record import Opening, RaisedCeiling, RequestRecord
from gateway.flow.health import HealthWatch
from gateway.flow.house import Catalog, House, Terms
from gateway.flow.lane import Bounds, Lanes
from gateway.flow.latencies import LatencyLearner
from gateway.flow.settlements import Settlements
from gateway.policy.facts import Defaults
from gateway.ports import AnswerHome, UpstreamCall, UpstreamReply
from gateway.telemetry import AccessLog, Meter

REQUEST_ID = "0199-request"
SECRET = "sk-test"
ENDPOINTS = {
    Dialect.OPENAI_CHAT: Endpoint("/v1/chat/completions", Dialect.OPENAI_CHAT, Operation.CHAT),
    Dialect.OPENAI_RESPONSES: Endpoint("/v1/responses", Dialect.OPENAI_RESPONSES, Operation.CHAT),
    Dialect.ANTHROPIC_MESSAGES: Endpoint("/v1/messages", Dialect.ANTHROPIC_MESSAGES, Operation.CHAT),
}


@dataclass(slots=True)
class Play:
    """One answer of the script: pieces in order; an exception among them is raised in its place."""

    pieces: tuple[bytes | BaseException, ...] = ()
    refusal: BaseException | None = None
    """Raised instead of any answer."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_complete: bool = False
    is_closed: bool = False

    async def read(self) -> bytes:
        """The pieces as one body."""
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces, one by one."""
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def complete(self) -> None:
        """Note that the gateway has seen the answer's end."""
        self.is_complete = True


class ScriptedUpstream:
    """Satisfies :class:`gateway.ports.Upstream` with the plays of a script, one per call."""

    name = "scripted"

    def __init__(self, dialect: Dialect, *plays: Play) -> None:
        self.dialects = (dialect,)
        self.calls: list[UpstreamCall] = []
        self._waiting = list(plays)

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[UpstreamReply]:
        """The next play."""
        self.calls.append(call)
        play = self._waiting.pop(0)
        if play.refusal is not None:
            raise play.refusal
        try:
            yield play
        finally:
            play.is_closed = True

    async def close(self) -> None:
        """Nothing to close."""


class FixedClock:
    """A clock that stands still."""

    def now(self) -> float:
        """A moment in 2026."""
        return 1_795_000_000.0

    def monotonic(self) -> float:
        """Always the same."""
        return 100.0


class Unsure:
    """Knows nothing of any prompt. Satisfies :class:`gateway.ports.Classifier`."""

    def classify(self, prompt: Prompt) -> Prediction:
        """Nothing is known."""
        return Prediction(Category.OTHER, 0.0, Source.LEARNED)


class Kept:
    """The journal, the key ring and the index of stored answers, in lists that a test can look at."""

    def __init__(self) -> None:
        self.openings: list[Opening] = []
        self.raised: list[RaisedCeiling] = []
        self.records: list[RequestRecord] = []
        self.answers: dict[str, AnswerHome] = {}
        self.late_answers: dict[str, AnswerHome] = {}

    def open(self, opening: Opening) -> None:
        """Keep that a request is about to call a model."""
        self.openings.append(opening)

    def raise_ceiling(self, raised: RaisedCeiling) -> None:
        """Keep that a request holds more."""
        self.raised.append(raised)

    def settle(self, record: RequestRecord) -> None:
        """Keep a record."""
        self.records.append(record)

    async def recovered(self) -> tuple[Opening, ...]:
        """Nothing was left by anybody."""
        return ()

    def find(self, secret: str) -> Key | None:
        """The one key."""
        return Key("k1", "test") if secret == SECRET else None

    def remember(self, answer_id: str, home: AnswerHome) -> None:
        """Keep an answer's home."""
        self.answers[answer_id] = home

    async def home_of(self, answer_id: str) -> AnswerHome | None:
        """An answer's home."""
        return self.answers.get(answer_id)

    async def home_soon(self, answer_id: str) -> AnswerHome | None:
        """An answer's home, or that of one that comes late."""
        return self.answers.get(answer_id) or self.late_answers.get(answer_id)


@dataclass(frozen=True, slots=True)
class Arrived:
    """An ask that stands at the door. Satisfies :class:`gateway.flow.serve.Arrival`."""

    ask: Ask
    credential: str | None = SECRET

    async def read(self) -> Ask:
        """The ask."""
        return self.ask

    def keep_watch(self) -> None:
        """Its caller never leaves."""


def house_of(upstream: ScriptedUpstream, kept: Kept, *, stores_text: bool = False, retries: int = 0) -> House:
    """A house with one model, ``m``, at ``upstream``."""
    price = per_mtok(input_per_mtok=Decimal(1), output_per_mtok=Decimal(2))
    catalog = Catalog(
        models={"m": Model("m", upstream.name, "m", price, context_tokens=1000)},
        upstreams={upstream.name: upstream},
        terms={
            upstream.name: Terms(
                first_byte_s=9, idle_s=9, retries=retries, is_openai=False, bounds=Bounds(places=8, queue=8)
            )
        },
        defaults=Defaults(deadline_s=60, default_output_tokens=100, may_serve_unpriced=False),
        body_bytes=1024,
        bodies_bytes=1024 * 1024,
        stores_text=stores_text,
    )
    codecs = (openai_chat.CODEC, openai_responses.CODEC, anthropic_messages.CODEC)
    purse = MemoryPurse()
    return House(
        catalog=catalog,
        codecs={codec.dialect: codec for codec in codecs},
        keys=kept,
        journal=kept,
        purse=purse,
        settlements=Settlements(purse, FixedClock(), lease_s=60),
        lanes=Lanes(FixedClock()),
        answers=kept,
        clock=FixedClock(),
        meter=Meter(),
        access_log=AccessLog(StringIO()),
        think=actuate,
        health=HealthWatch(FixedClock()),
        latencies=LatencyLearner(FixedClock()),
        sticky=MemorySticky(FixedClock()),
        classify=Unsure(),
    )


def arrival(dialect: Dialect, *, is_stream: bool, **members: Any) -> Arrived:
    """A request for ``m`` in ``dialect``, with more ``members`` in its body."""
    turns = [{"role": "user", "content": "Hello there, you."}]
    name = "input" if dialect is Dialect.OPENAI_RESPONSES else "messages"
    body = {"model": "m", name: turns, "max_tokens": 50, "stream": is_stream, **members}
    return Arrived(
        Ask(
            request_id=REQUEST_ID,
            endpoint=ENDPOINTS[dialect],
            raw=json.dumps(body).encode(),
            body=body,
            model="m",
            is_stream=is_stream,
            headers={},
            hints=NO_HINTS,
            started_at=1_795_000_000.0,
            started=99.5,
        )
    )
