"""Streamed answers: relay event by event, settle before the terminal event leaves.

Nothing is buffered beyond one event, and nothing is retried once the first answer event is here.
A stream that breaks ends in an error event of the client's dialect, never in a clean end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.dialects.emptied import is_emptied
from gateway.dialects.estimate import BYTES_PER_TOKEN, estimated_tokens
from gateway.dialects.sse import EventSplitter, parse
from gateway.dialects.tap import TAPS, Verdict
from gateway.dialects.think_tags import TagReader
from gateway.domain.ask import Ask
from gateway.domain.chat import Dialect
from gateway.domain.record import Result
from gateway.domain.usage import Usage, UsageSource
from gateway.errors import InvalidRequest, UpstreamError, UpstreamFailed, UpstreamOverloaded, UpstreamRateLimited
from gateway.flow.attempts import next_attempt, result_of, upstream_call
from gateway.flow.exchange import Exchange, OpenCall
from gateway.flow.reply import STREAM_HEADERS, Streamed, cost_comment, decision_headers, request_id_headers
from gateway.flow.route import Route
from gateway.flow.view import PassThrough, Translated, View
from gateway.ports import AnswerHome, UpstreamReply


async def start(exchange: Exchange, route: Route) -> Streamed:
    """The stream, once its first answer event is here. Raises UpstreamError before that."""
    while True:
        relay = _Relay(exchange, route).run()
        try:
            first = await anext(relay)
        except UpstreamError as error:
            route = await next_attempt(exchange, route, error)
            continue
        except BaseException:
            await relay.aclose()
            raise
        headers = [*STREAM_HEADERS, *decision_headers(exchange), *request_id_headers(exchange.ask)]
        return Streamed(headers, first, relay, exchange.left_s)


def _view(exchange: Exchange, route: Route) -> View:
    codecs = exchange.house.codecs
    if route.codec is None:
        return PassThrough(TAPS[route.dialect](route.hides_usage), codecs[route.dialect])
    reader = route.codec.reader()
    if route.tags is not None:
        reader = TagReader(reader, route.tags)
    return Translated(reader, codecs[exchange.ask.endpoint.dialect].writer(include_usage=wants_usage(exchange.ask)))


def wants_usage(ask: Ask) -> bool:
    """Whether an openai-chat client asked for the usage chunk."""
    options = ask.body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


class _Relay:
    """One attempt at a stream, from the call to its settlement."""

    def __init__(self, exchange: Exchange, route: Route) -> None:
        self._exchange = exchange
        self._route = route
        self._view = _view(exchange, route)
        self._has_sent = False
        self._kept: list[bytes] = []

    async def run(self) -> AsyncGenerator[bytes, None]:
        """The client's bytes. Raises UpstreamError only before the first of them."""
        exchange = self._exchange
        call = exchange.begin_call(self._route.requested, self._route.sent)
        try:
            async with self._route.upstream.open(upstream_call(exchange, self._route, call)) as reply:
                call.status = reply.status
                call.reply_id = reply.headers.get("x-request-id") or reply.headers.get("request-id")
                async with aclosing(self._pieces(call, reply)) as pieces:
                    async for piece in pieces:
                        self._has_sent = True
                        yield piece
        except UpstreamError as error:
            self._end(call, result_of(error), error)
            if not self._has_sent:
                raise
            exchange.settle(Result.TRUNCATED if result_of(error) is Result.FAILED else result_of(error), 200, error)
            yield self._view.failure(error.message, error.code)
        except (GeneratorExit, asyncio.CancelledError):
            self._end(call, Result.CANCELLED if exchange.house.is_stopping else Result.DISCONNECTED, None)
            exchange.settle_unwanted()
            raise
        except BaseException:
            exchange.settle_fault()
            raise

    async def _pieces(self, call: OpenCall, reply: UpstreamReply) -> AsyncGenerator[bytes, None]:
        splitter = EventSplitter()
        async for chunk in reply.chunks():
            out: list[bytes] = []
            try:
                for event in splitter.feed(chunk):
                    if call.first_byte is None and event.startswith(b":") and parse(event) is None:
                        continue  # a heartbeat before the answer: passing it on would forbid a retry
                    verdict, data, last = self._view.take(event)
                    if verdict is Verdict.PASS:
                        out.append(data)
                    elif verdict is Verdict.TERMINAL:
                        reply.complete()
                        out.append(data)
                        yield self._keep(call, out, last) + self._finish(call) + last
                        return
                    elif verdict is Verdict.ERROR:
                        error = _stream_error(self._view.error or "error")
                        if not self._has_sent and not any(out):
                            raise error
                        out.append(data)
                        piece = self._keep(call, out)
                        self._end(call, Result.FAILED, error)
                        self._exchange.settle(Result.FAILED, 200, error)
                        yield piece
                        return
            except UpstreamFailed:
                # What came well in the same chunk as the fault is the client's.
                if any(out):
                    yield self._keep(call, out)
                raise
            if any(out):
                yield self._keep(call, out)
        raise UpstreamFailed("the upstream ended its stream before the answer was complete")

    def _keep(self, call: OpenCall, pieces: list[bytes], last: bytes = b"") -> bytes:
        """The pieces as one, kept for the record where text is stored; ``last`` is kept with them."""
        if call.first_byte is None:
            now = self._exchange.house.clock.monotonic()
            call.first_byte = now
            self._exchange.first_byte = now
        piece = b"".join(pieces)
        if self._exchange.stores_text:
            self._kept.append(piece + last)
        return piece

    def _finish(self, call: OpenCall) -> bytes:
        """Settle a complete stream; the cost comment that goes before its terminal event."""
        exchange, view = self._exchange, self._view
        error = None if view.error is None else _stream_error(view.error)
        result = Result.ANSWERED if error is None else Result.FAILED
        self._end(call, result, error, is_complete=True)
        # What was streamed cannot be taken back; it is counted, and told apart from other answers.
        exchange.judge_emptied(is_emptied=is_emptied(view.finish, view.usage(), has_text=view.has_text))
        if self._route.dialect is Dialect.OPENAI_RESPONSES and view.answer_id and exchange.model is not None:
            exchange.house.answers.remember(view.answer_id, AnswerHome(exchange.model.upstream, exchange.key.id))
        exchange.settle(result, 200, error)
        return cost_comment(exchange)

    def _end(self, call: OpenCall, result: Result, error: UpstreamError | None, *, is_complete: bool = False) -> None:
        exchange, view = self._exchange, self._view
        if call not in exchange.open_calls:
            return  # already ended
        exchange.answer_id = view.answer_id
        exchange.finish = view.finish
        exchange.answer_text = b"".join(self._kept)
        usage = view.usage()
        if call.first_byte is not None and not is_complete:
            usage = self._partial(usage)
        exchange.end_call(call, result, usage, error)

    def _partial(self, usage: Usage | None) -> Usage:
        """What an answer that ended early used: the provider's own counts where it gave them, else a count of ours."""
        deltas = self._view.deltas
        if usage is not None:
            return usage.cut_short(deltas)
        return Usage(input_tokens=_estimated_input(self._exchange), output_tokens=deltas, source=UsageSource.ESTIMATED)


def _estimated_input(exchange: Exchange) -> int:
    """The prompt's tokens as far as its text tells, and no more than the model can read."""
    ask, model = exchange.ask, exchange.model
    try:
        tokens = estimated_tokens(exchange.house.codecs[ask.endpoint.dialect].read_request(ask.body))
    except InvalidRequest:  # a request that only the upstream can read
        tokens = -(-len(ask.raw) // BYTES_PER_TOKEN)
    limit = model.context_tokens if model is not None else None
    return tokens if limit is None else min(tokens, limit)


def _stream_error(kind: str) -> UpstreamError:
    if "overloaded" in kind:
        return UpstreamOverloaded(f"the upstream is overloaded ({kind})")
    if "rate_limit" in kind:
        return UpstreamRateLimited(f"the upstream is limiting our rate ({kind})")
    return UpstreamFailed(f"the upstream reported an error in its stream ({kind})")
