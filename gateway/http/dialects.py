"""The dialect endpoints, served straight from ASGI: no framework between a caller and its model."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from gateway.domain.ask import Ask, Endpoint, Operation
from gateway.domain.chat import Dialect
from gateway.domain.identity import new_request_id
from gateway.domain.key import Key
from gateway.errors import InvalidRequest, MethodNotAllowed, PonderError
from gateway.flow.admit import admit
from gateway.flow.house import House
from gateway.flow.reply import Streamed, Whole
from gateway.flow.serve import serve
from gateway.http.asgi import Receive, Scope, Send
from gateway.http.door import Bodies, ClientGone, Deferred, Door
from gateway.http.faults import REQUEST_ID, error_response

ENDPOINTS = {
    endpoint.path: endpoint
    for endpoint in (
        Endpoint("/v1/chat/completions", Dialect.OPENAI_CHAT, Operation.CHAT),
        Endpoint("/v1/responses", Dialect.OPENAI_RESPONSES, Operation.CHAT),
        Endpoint("/v1/messages", Dialect.ANTHROPIC_MESSAGES, Operation.CHAT),
        Endpoint("/v1/messages/count_tokens", Dialect.ANTHROPIC_MESSAGES, Operation.COUNT_TOKENS),
        Endpoint("/v1/embeddings", Dialect.OPENAI_CHAT, Operation.EMBEDDINGS),
    )
}
_log = logging.getLogger(__name__)
_WATCH_AFTER_S = 0.2
"""Whole answers faster than this are not watched for a disconnect: there is nothing to save."""


class Intake(Protocol):
    """Where requests go that want their answer later."""

    async def continued(self, credential: str | None, response_id: str, raw: bytes) -> bytes:
        """The body of a request that continues a background response, with its provider's id of that in place of ours.

        Raises Unauthenticated, InvalidRequest, and Unavailable where it cannot be looked up.
        """
        ...

    async def take(self, key: Key, ask: Ask, raw: bytes) -> Whole:
        """Keep the request, whose whole body is ``raw``; what its caller gets meanwhile.

        Raises RequestError for what cannot be kept, and Unavailable where nothing can be.
        """
        ...


class DialectEndpoints:
    """Serves the paths of :data:`ENDPOINTS`.

    ``intake`` takes the responses that are to be answered later; without one they are refused.
    ``patience_s`` is for clients that do not read: how long beyond its deadline a stream is held for them.
    """

    def __init__(self, house: House, intake: Intake | None = None, *, patience_s: float = 5.0) -> None:
        self._house = house
        self._intake = intake
        self._patience_s = patience_s
        self._rounds = _Rounds()
        self._bodies = Bodies(house.catalog.bodies_bytes)
        house.meter.watch(
            "ponder_bodies_bytes", "Bytes of request bodies held in memory.", lambda: self._bodies.held_bytes
        )

    async def __call__(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and send its answer, or its error in the caller's dialect."""
        house = self._house
        now = house.clock.now()
        request_id = scope[REQUEST_ID] = new_request_id(now)
        watch = _DisconnectWatch(receive, self._rounds)
        self._bodies.limit_bytes = house.catalog.bodies_bytes
        door = Door(
            scope,
            receive,
            endpoint=endpoint,
            request_id=request_id,
            body_bytes=house.catalog.body_bytes,
            now=now,
            started=house.clock.monotonic(),
            bodies=self._bodies,
            on_read=watch.begin_later,
            on_search=watch.begin,
            continued=self._intake.continued if self._intake is not None else None,
        )
        house.meter.in_flight += 1
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed(f"{endpoint.path} takes POST", accepted="POST")
            try:
                reply = await serve(door, house)
            except Deferred as deferred:
                reply = await self._defer(door, deferred)
            if isinstance(reply, Whole):
                await _send(send, 200, reply.headers, reply.body)
            else:
                watch.begin()
                await _send_stream(send, reply, patience_s=self._patience_s)
        except PonderError as error:
            if not door.is_read:
                self._note_refusal(endpoint, request_id, error)
            await _send(send, *error_response(error, endpoint.dialect, request_id))
        except ClientGone:
            house.meter.refusal(endpoint.path, "client_gone")
        except asyncio.CancelledError:
            if not watch.has_fired:
                raise
        finally:
            watch.end()
            self._bodies.give_back(door.held_bytes)
            house.meter.in_flight -= 1

    async def _defer(self, door: Door, deferred: Deferred) -> Whole:
        if self._intake is None:
            raise InvalidRequest("'background' must be false here: no responses are answered later", param="background")
        key = admit(door.credential, self._house.keys, self._house.clock.now())
        return await self._intake.take(key, deferred.ask, deferred.raw)

    def _note_refusal(self, endpoint: Endpoint, request_id: str, error: PonderError) -> None:
        """A request refused at the door has no record: whoever knocks could otherwise fill the database."""
        self._house.meter.refusal(endpoint.path, error.code)
        self._house.access_log.write(
            {
                "time": self._house.clock.now(),
                "level": "info",
                "event": "refused",
                "request_id": request_id,
                "endpoint": endpoint.path,
                "status": error.http_status,
                "error": error.code,
            }
        )


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, reply: Streamed, *, patience_s: float) -> None:
    """Send the stream; give it up when it outlives its deadline, which it can only if its client does not read."""
    try:
        async with asyncio.timeout(reply.left_s + patience_s):
            await send({"type": "http.response.start", "status": 200, "headers": reply.headers})
            await send({"type": "http.response.body", "body": reply.first, "more_body": True})
            async for piece in reply.rest:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
    except TimeoutError:
        _log.info("a stream was given up at its deadline: its client does not read on")
    finally:
        await reply.rest.aclose()


class _Rounds:
    """Begins the watches that are due, all by one timer: most requests end before theirs."""

    def __init__(self) -> None:
        self._due: dict[_DisconnectWatch, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, watch: _DisconnectWatch) -> None:
        loop = asyncio.get_running_loop()
        self._due[watch] = loop.time() + _WATCH_AFTER_S
        if self._timer is None:
            self._timer = loop.call_later(_WATCH_AFTER_S, self._go)

    def remove(self, watch: _DisconnectWatch) -> None:
        self._due.pop(watch, None)

    def _go(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for watch in [watch for watch, due in self._due.items() if due <= loop.time()]:
            del self._due[watch]
            watch.begin()
        if self._due:
            self._timer = loop.call_later(_WATCH_AFTER_S / 2, self._go)


class _DisconnectWatch:
    """Cancels the serving task when its client hangs up, so that no model keeps writing for nobody."""

    __slots__ = ("_receive", "_rounds", "_serving", "_watching", "has_fired")

    def __init__(self, receive: Receive, rounds: _Rounds) -> None:
        self._receive = receive
        self._rounds = rounds
        self._serving = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self.has_fired = False

    def begin_later(self) -> None:
        """Watch once the request has taken a while."""
        self._rounds.add(self)

    def begin(self) -> None:
        """Watch from now on."""
        if self._watching is None:
            self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_fired = True
        if self._serving is not None:
            self._serving.cancel()

    def end(self) -> None:
        """Stop watching."""
        self._rounds.remove(self)
        if self._watching is not None:
            self._watching.cancel()
