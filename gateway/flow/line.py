"""The way from a search to one model: a place in its lane, another try of what was not billed, every call on record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.dialects.sse import EventSplitter, SseEvent, parse
from gateway.domain.bound import attos
from gateway.domain.chat import Dialect
from gateway.domain.model import Model
from gateway.domain.money import Usd
from gateway.domain.record import Result
from gateway.domain.usage import Usage, UsageSource
from gateway.errors import PonderError, UpstreamError, UpstreamFailed, UpstreamTimedOut
from gateway.flow.attempts import pause_before_retry, result_of
from gateway.flow.exchange import Exchange, OpenCall
from gateway.flow.whole import answer_body
from gateway.ports import Upstream, UpstreamCall, UpstreamReply


@dataclass(slots=True)
class Spent:
    """What a draw has used so far, calls that failed included. ``cost`` is in atto-dollars."""

    tokens: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Sending:
    """One call as it goes out, its prompt's tokens as far as they are known, and the most it can cost and write."""

    path: str
    dialect: Dialect
    body: bytes
    requested: Mapping[str, Any]
    sent: Mapping[str, Any]
    ceiling: Usd
    prompt_tokens: int = 0
    max_tokens: int = 0


class Line:
    """One model, as one request's search calls it."""

    def __init__(self, exchange: Exchange, model: Model, upstream: Upstream) -> None:
        self.exchange = exchange
        self.model = model
        self.terms = exchange.catalog.terms[model.upstream]
        self._upstream = upstream

    async def whole(
        self, sending: Sending, spent: Spent, usage_of: Callable[[Mapping[str, Any]], Usage | None]
    ) -> Mapping[str, Any]:
        """The answer's JSON object; what it used is added to ``spent``. Raises PonderError where there is none."""
        tries = 0
        while True:
            tries += 1
            try:
                async with self._call(sending, spent, sending.max_tokens) as (call, reply):
                    document = answer_body(await reply.read(), self.model.upstream)
                    usage = usage_of(document)
                    self._end(call, Result.ANSWERED, spent, usage)
                    return document
            except UpstreamError as error:
                await self._pause(error, tries)

    async def streamed(
        self, sending: Sending, spent: Spent, take: Callable[[SseEvent], bool], usage_so_far: Callable[[], Usage | None]
    ) -> None:
        """Hand every event of a streamed answer to ``take`` as it comes, until that says that it was the last.

        Raises PonderError where there is no answer, or none to its end.
        """
        tries = 0
        while True:
            tries += 1
            has_begun = False
            try:
                async with self._call(sending, spent, 0, usage_so_far) as (call, reply):
                    splitter = EventSplitter()
                    async for chunk in reply.chunks():
                        for event in filter(None, map(parse, splitter.feed(chunk))):
                            if not has_begun:
                                call.first_byte = self.exchange.house.clock.monotonic()
                            has_begun = True
                            if take(event):
                                self._end(call, Result.ANSWERED, spent, usage_so_far())
                                reply.complete()
                                return
                    raise UpstreamFailed("the upstream ended its stream before the answer was complete")
            except UpstreamError as error:
                if has_begun:
                    raise
                await self._pause(error, tries)

    @asynccontextmanager
    async def _call(
        self,
        sending: Sending,
        spent: Spent,
        unseen_tokens: int,
        usage_so_far: Callable[[], Usage | None] = lambda: None,
    ) -> AsyncIterator[tuple[OpenCall, UpstreamReply]]:
        """One call that is on record however it ends; it may have written ``unseen_tokens`` before anything comes."""
        exchange = self.exchange
        if exchange.left_s <= 0:
            raise UpstreamTimedOut("the request's deadline passed before its model could be called", is_unbilled=True)
        lane = exchange.house.lanes.to(self.model.upstream)
        place = await lane.enter(exchange.key, self.terms.bounds, exchange.left_s)
        call = exchange.begin_call_to(self.model, sending.ceiling, sending.requested, sending.sent)
        try:
            async with self._upstream.open(self._outgoing(sending, call)) as reply:
                call.status = reply.status
                call.reply_id = reply.headers.get("x-request-id") or reply.headers.get("request-id")
                yield call, reply
        except UpstreamError as error:
            self._end(call, result_of(error), spent, usage_so_far(), error, most_tokens=sending.max_tokens)
            raise
        except asyncio.CancelledError:
            usage = usage_so_far() or self._unseen(sending, unseen_tokens)
            self._end(call, Result.CANCELLED, spent, usage, most_tokens=sending.max_tokens)
            raise
        finally:
            place.leave()

    def _unseen(self, sending: Sending, written: int) -> Usage | None:
        """What a cancelled call used of which nothing was seen. Only of a server of our own is that known: no other
        says whether it has thought meanwhile, or goes on."""
        if not self.terms.is_vllm:
            return None
        return Usage(input_tokens=sending.prompt_tokens, output_tokens=written, source=UsageSource.ESTIMATED)

    def _outgoing(self, sending: Sending, call: OpenCall) -> UpstreamCall:
        ask, terms = self.exchange.ask, self.terms
        return UpstreamCall(
            dialect=sending.dialect,
            path=sending.path,
            body=sending.body,
            is_stream=bool(sending.sent.get("stream")),
            request_id=ask.request_id,
            deadline_s=self.exchange.left_s,
            first_byte_s=terms.first_byte_s,
            idle_s=terms.idle_s,
            headers=call.headers_over(ask.headers if sending.dialect is ask.endpoint.dialect else {}),
        )

    def _end(
        self,
        call: OpenCall,
        result: Result,
        spent: Spent,
        usage: Usage | None,
        error: PonderError | None = None,
        *,
        most_tokens: int = 0,
    ) -> None:
        """Close a call once; one of which nobody knows what it used counts with the most that it can have."""
        if call not in self.exchange.open_calls:
            return
        is_unbilled = isinstance(error, UpstreamError) and error.is_unbilled
        charged = self.exchange.end_call(call, result, usage, error)
        spent.cost += attos(charged)
        if usage is not None:
            spent.tokens += usage.output_tokens
        elif not is_unbilled:
            spent.tokens += most_tokens

    async def _pause(self, error: UpstreamError, tries: int) -> None:
        """Wait before the same call is made again. Raises ``error`` where it is not to be.

        What may have been billed is not asked again: a search has other draws to make of that money.
        """
        pause_s = pause_before_retry(error, tries=tries, retries=self.terms.retries, left_s=self.exchange.left_s)
        if pause_s is None or not error.is_unbilled:
            raise error
        await asyncio.sleep(pause_s)
