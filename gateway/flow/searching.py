"""Answers that a search finds: driven, settled, and told to the client as one answer, whole or streamed.

A streaming client gets heartbeats while the search runs, and progress if it asked for it. Until a search
has an answer nothing of it has been sent, so one that finds none falls back like any call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from gateway.dialects.json_bytes import dumps
from gateway.dialects.progress import progress_event
from gateway.dialects.sse import comment
from gateway.domain.chat import Answer, Dialect, StopReason, Text
from gateway.domain.events import (
    Delta,
    Failed,
    Finished,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    Stopped,
    StreamEvent,
    Used,
)
from gateway.domain.record import Result
from gateway.domain.usage import Usage, UsageSource
from gateway.errors import UpstreamError, UpstreamFailed, UpstreamTimedOut
from gateway.flow import stream, whole
from gateway.flow.attempts import fall_back, result_of
from gateway.flow.drive import drive
from gateway.flow.exchange import Exchange
from gateway.flow.reply import (
    STREAM_HEADERS,
    Reply,
    Streamed,
    cost_comment,
    decision_headers,
    request_id_headers,
)
from gateway.flow.search_task import undertake
from gateway.flow.tree import Tree
from gateway.search.protocol import Event, Winner

_TO_ANSWER_S: Final = 0.05
"""What a search leaves of the time, to write its answer down and send it."""
_HEARTBEAT_S: Final = 10.0
"""Balancers give up on streams that are silent for half a minute."""
_PATIENCE_S: Final = 2.0
"""For so long a stream is not begun: a search that fails by then is answered with a status of its own."""
_PROGRESS_S: Final = 0.5
_PIECE: Final = 200
"""Characters of an answer in one event of its stream."""
_PREFIXES: Final = {
    Dialect.OPENAI_CHAT: "chatcmpl-",
    Dialect.OPENAI_RESPONSES: "resp_",
    Dialect.ANTHROPIC_MESSAGES: "msg_",
}


async def answer(exchange: Exchange) -> Reply:
    """The answer of the plan's search, or of the arm that is fallen back to. Raises PonderError."""
    if exchange.ask.is_stream:
        return await _Suspense(exchange).begin()
    try:
        found = await _search(exchange, lambda _tree: None)
    except UpstreamError as error:
        return await whole.answer(exchange, await fall_back(exchange, error))
    body = dumps(exchange.house.codecs[exchange.ask.endpoint.dialect].render_answer(found))
    return whole.settled(exchange, body)


async def _search(exchange: Exchange, tell: Callable[[Tree], None]) -> Answer:
    """The winner as an answer; the search is on the exchange's record. Raises UpstreamError where there is none."""
    with exchange.part("search"):
        undertaking = await undertake(exchange)
        hands, tree = undertaking.hands, undertaking.hands.tree

        def watch(event: Event) -> None:
            tree.see(event)
            tell(tree)

        winner = await drive(
            undertaking.search,
            hands,
            left_s=exchange.left_s - _TO_ANSWER_S,
            fan_out=exchange.house.fan_out,
            watch=watch,
        )
    exchange.search = tree.record(
        winner,
        strategy=undertaking.strategy,
        seed=undertaking.seed,
        verifier=undertaking.verifier,
    )
    if exchange.stores_text:
        exchange.draw_texts = tree.texts
    if winner.candidate is None or not winner.text.strip():
        if isinstance(hands.fault, UpstreamError):
            raise hands.fault
        if exchange.left_s <= _TO_ANSWER_S:
            raise UpstreamTimedOut(f"none of the search's {tree.draws} draws brought an answer within the deadline")
        raise UpstreamFailed(f"none of the search's {tree.draws} draws brought an answer within its ceilings")
    found = _answer(exchange, tree, winner)
    exchange.finish = found.stop.value
    return found


def _answer(exchange: Exchange, tree: Tree, winner: Winner) -> Answer:
    """The winner for its client. As with hidden thinking, what the losers wrote counts as output and as thinking."""
    assert winner.candidate is not None  # noqa: S101  there is an answer
    ask, model = exchange.ask, exchange.model
    is_cut = winner.candidate.is_truncated or not winner.is_whole
    read = [call.usage.prompt_tokens for call in exchange.calls if call.usage is not None]
    prompt = min(filter(None, read), default=0)
    usage = Usage(
        input_tokens=prompt,
        output_tokens=tree.tokens,
        thinking_tokens=tree.tokens - tree.tokens_of(winner),
        source=UsageSource.REPORTED,
    )
    return Answer(
        id=_PREFIXES[ask.endpoint.dialect] + ask.request_id.replace("-", ""),
        model=model.name if model is not None else ask.model,
        parts=(Text(winner.text.strip("\n")),),
        stop=StopReason.MAX_TOKENS if is_cut else StopReason.END,
        usage=usage,
        created=int(ask.started_at),
    )


@dataclass(frozen=True, slots=True)
class _News:
    """How far a search has come, for a client that asked for it."""

    draws: int
    ended: int
    tokens: int


class _Suspense:
    """A stream whose answer is still being searched for."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._news: _News | None = None
        self._task = asyncio.create_task(_search(exchange, self._hear))

    async def begin(self) -> Streamed:
        """The stream, once there is an answer to begin it with, or after a while of none. Raises PonderError."""
        exchange = self._exchange
        try:
            if not exchange.ask.hints.progress:
                await asyncio.wait({self._task}, timeout=_PATIENCE_S)
            if self._task.done():
                instead = await self._fallen_back()
                if instead is not None:
                    return instead
        except BaseException:
            await self._stop()
            raise
        rest = self._run()
        first = await anext(rest) if self._task.done() else comment("searching")
        headers = [*STREAM_HEADERS, *decision_headers(exchange), *request_id_headers(exchange.ask)]
        return Streamed(headers, first, rest, exchange.left_s)

    async def _fallen_back(self) -> Streamed | None:
        """The stream of a fallback, where the search has failed before anything was sent."""
        error = self._task.exception()
        if error is None:
            return None
        if isinstance(error, UpstreamError):
            return await stream.start(self._exchange, await fall_back(self._exchange, error))
        raise error

    async def _run(self) -> AsyncGenerator[bytes, None]:
        exchange = self._exchange
        try:
            async with aclosing(self._waiting()) as waiting:
                async for piece in waiting:
                    yield piece
            try:
                found = self._task.result()
            except UpstreamError as error:
                async with aclosing(self._instead(error)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            for piece in self._written(found):
                yield piece
        except (GeneratorExit, asyncio.CancelledError):
            await self._stop()
            exchange.settle_unwanted()
            raise
        except BaseException:
            await self._stop()
            exchange.settle_fault()
            raise

    async def _waiting(self) -> AsyncGenerator[bytes, None]:
        """Heartbeats, or news, until the search has ended."""
        wants_news, silent_s, told = self._exchange.ask.hints.progress, 0.0, None
        pause_s = _PROGRESS_S if wants_news else _HEARTBEAT_S
        while not self._task.done():
            await asyncio.wait({self._task}, timeout=pause_s)
            silent_s += pause_s
            news = self._news
            if wants_news and news is not None and news != told:
                told, silent_s = news, 0.0
                yield progress_event(
                    self._exchange.ask.endpoint.dialect,
                    self._exchange.ask.request_id,
                    {"draws": news.draws, "ended": news.ended, "tokens": news.tokens},
                )
            elif silent_s >= _HEARTBEAT_S and not self._task.done():
                silent_s = 0.0
                yield comment("searching")

    async def _instead(self, error: UpstreamError) -> AsyncGenerator[bytes, None]:
        """The stream of a fallback, or an error event: the status has been sent."""
        exchange = self._exchange
        try:
            reply = await stream.start(exchange, await fall_back(exchange, error))
        except UpstreamError as last:
            exchange.settle(result_of(last), 200, last)
            writer = exchange.house.codecs[exchange.ask.endpoint.dialect].writer(include_usage=False)
            yield writer.write(Failed(last.message, last.code))
            return
        yield reply.first
        async with aclosing(reply.rest) as rest:
            async for piece in rest:
                yield piece

    def _written(self, found: Answer) -> list[bytes]:
        """The answer as a stream, settled before its terminal event."""
        exchange = self._exchange
        writer = exchange.house.codecs[exchange.ask.endpoint.dialect].writer(
            include_usage=stream.wants_usage(exchange.ask)
        )
        exchange.first_byte = exchange.house.clock.monotonic()
        pieces = [writer.write(event) for event in _events(found)]
        terminal = writer.write(Finished())
        if exchange.stores_text:
            exchange.answer_text = b"".join([*pieces, terminal])
        exchange.settle(Result.ANSWERED, 200)
        return [*pieces, cost_comment(exchange) + terminal]

    def _hear(self, tree: Tree) -> None:
        self._news = _News(tree.draws, tree.ended, tree.tokens)

    async def _stop(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


def _events(found: Answer) -> list[StreamEvent]:
    (part,) = found.parts
    assert isinstance(part, Text)  # noqa: S101  a search ends in one text
    text = part.text
    return [
        Started(found.id, found.model, found.created, found.usage),
        PartStarted(0, PartKind.TEXT),
        *(Delta(0, text[start : start + _PIECE]) for start in range(0, len(text), _PIECE)),
        PartEnded(0),
        Stopped(found.stop),
        Used(found.usage),
    ]
