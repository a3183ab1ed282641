"""Streamed answers: relay event by event, settle before the terminal event leaves.

Nothing is buffered beyond one event, and nothing is retried once the first answer event is here.
A stream that breaks ends in an error event of the client's dialect, never in a clean end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing

from gateway.dialects.estimate import BYTES_PER_TOKEN
from gateway.dialects.sse import EventSplitter
from gateway.dialects.tap import TAPS, Verdict
from gateway.domain.ask import Ask
from gateway.domain.chat import Dialect
from gateway.domain.record import Result
from gateway.domain.usage import Usage, UsageSource
from gateway.errors import UpstreamError, UpstreamFailed, UpstreamOverloaded, UpstreamRateLimited
from gateway.flow.attempts import pause_or_raise, result_of, upstream_call
from gateway.flow.exchange import Exchange, OpenCall
from gateway.flow.reply import Streamed, cost_comment, decision_headers, request_id_headers
from gateway.flow.route import Route
from gateway.flow.view import PassThrough, Translated, View
from gateway.ports import UpstreamReply

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def start(exchange: Exchange, route: Route) -> Streamed:
    """The stream, once its first answer event is here. Raises UpstreamError before that."""
    while True:
        relay = _Relay(exchange, route).run()
        try:
            first = await anext(relay)
        except UpstreamError as error:
            await pause_or_raise(exchange, error)
            continue
        except BaseException:
            await relay.aclose()
            raise
        headers = [*_HEADERS, *decision_headers(exchange), *request_id_headers(exchange.ask)]
        return Streamed(headers, first, relay)


def _view(exchange: Exchange, route: Route) -> View:
    codecs = exchange.house.codecs
    if route.codec is None:
        return PassThrough(TAPS[route.dialect](route.hides_usage), codecs[route.dialect])
    wants_usage = _wants_usage(exchange.ask)
    return Translated(route.codec.reader(), codecs[exchange.ask.endpoint.dialect].writer(include_usage=wants_usage))


def _wants_usage(ask: Ask) -> bool:
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
        call = exchange.begin_call(self._route.sent)
        connection: AbstractAsyncContextManager[UpstreamReply] | None = None
        try:
            connection = self._route.upstream.open(upstream_call(exchange, self._route))
            reply = await connection.__aenter__()
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
            self._end(call, Result.DISCONNECTED, None)
            raise
        finally:
            self._end(call, Result.FAILED, None)
            if call.status is not None and connection is not None:
                await connection.__aexit__(None, None, None)

    async def _pieces(self, call: OpenCall, reply: UpstreamReply) -> AsyncGenerator[bytes, None]:
        splitter = EventSplitter()
        async for chunk in reply.chunks():
            out: list[bytes] = []
            for event in splitter.feed(chunk):
                if call.first_byte is None and event.startswith(b":"):
                    continue  # a heartbeat before the answer: passing it on would forbid a retry
                verdict, data, last = self._view.take(event)
                if verdict is Verdict.PASS:
                    out.append(data)
                elif verdict is Verdict.TERMINAL:
                    reply.complete()
                    yield b"".join(out) + data + self._finish(call) + last
                    return
                elif verdict is Verdict.ERROR:
                    yield b"".join(out) + self._break(call, data)
                    return
            piece = b"".join(out)
            if piece:
                if call.first_byte is None:
                    self._note_first(call)
                yield self._keep(piece)
        raise UpstreamFailed("the upstream ended its stream before the answer was complete")

    def _note_first(self, call: OpenCall) -> None:
        now = self._exchange.house.clock.monotonic()
        call.first_byte = now
        self._exchange.first_byte = now

    def _keep(self, piece: bytes) -> bytes:
        if self._exchange.catalog.stores_text:
            self._kept.append(piece)
        return piece

    def _finish(self, call: OpenCall) -> bytes:
        """Settle a complete stream; the cost comment that goes before its terminal event."""
        exchange, view = self._exchange, self._view
        if call.first_byte is None:
            self._note_first(call)
        failed = view.error is not None
        self._end(call, Result.FAILED if failed else Result.ANSWERED, None)
        if self._route.dialect is Dialect.OPENAI_RESPONSES and view.answer_id and exchange.model is not None:
            exchange.house.answers.remember(view.answer_id, exchange.model.upstream)
        exchange.settle(Result.FAILED if failed else Result.ANSWERED, 200)
        return cost_comment(exchange)

    def _break(self, call: OpenCall, data: bytes) -> bytes:
        """Settle a stream in which the upstream reported an error; its own error event is passed on."""
        kind = self._view.error or "error"
        error = _stream_error(kind)
        if not self._has_sent:
            raise error
        self._end(call, Result.FAILED, error)
        self._exchange.settle(Result.FAILED, 200, error)
        return data

    def _end(self, call: OpenCall, result: Result, error: UpstreamError | None) -> None:
        exchange, view = self._exchange, self._view
        if len(exchange.calls) >= call.attempt:
            return  # already ended
        exchange.answer_id = view.answer_id
        exchange.finish = view.finish
        exchange.answer_text = b"".join(self._kept)
        usage = view.usage()
        if result is not Result.ANSWERED and call.first_byte is not None:
            usage = _partial(usage, view.deltas, len(self._route.body))
        exchange.end_call(call, result, usage, error)
        if result is Result.DISCONNECTED:
            exchange.settle(Result.DISCONNECTED, 499)


def _partial(usage: Usage | None, deltas: int, body_bytes: int) -> Usage:
    """What an answer that ended early used: the provider's own counts where it gave them, else a count of ours."""
    if usage is None:
        return Usage(input_tokens=body_bytes // BYTES_PER_TOKEN, output_tokens=deltas, source=UsageSource.ESTIMATED)
    if usage.output_tokens >= deltas:
        return usage
    return Usage(
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=deltas,
        source=UsageSource.PARTIAL,
        raw=usage.raw,
    )


def _stream_error(kind: str) -> UpstreamError:
    if "overloaded" in kind:
        return UpstreamOverloaded(f"the upstream is overloaded ({kind})")
    if "rate_limit" in kind:
        return UpstreamRateLimited(f"the upstream is limiting our rate ({kind})")
    return UpstreamFailed(f"the upstream reported an error in its stream ({kind})")
