"""The story of one request, from its key to its settled answer."""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.domain.ask import Ask
from gateway.domain.record import Result
from gateway.errors import PonderError, UpstreamError
from gateway.flow import stream, whole
from gateway.flow.admit import admit
from gateway.flow.attempts import result_of
from gateway.flow.exchange import DISCONNECTED_STATUS, Exchange
from gateway.flow.hold import hold
from gateway.flow.house import House
from gateway.flow.reply import Reply
from gateway.flow.route import plan_route


class Arrival(Protocol):
    """A request at the door: its key can be checked before its body is read."""

    @property
    def credential(self) -> str | None: ...

    async def read(self) -> Ask:
        """Read and parse the body. Raises InvalidRequest or TooLarge."""
        ...


async def serve(arrival: Arrival, house: House) -> Reply:
    """Admit, read, decide, hold, call, settle. Raises PonderError; whatever was spent is on record by then.

    A fault of our own is on record as well before it goes on to the log.
    """
    key = admit(arrival.credential, house.keys, house.clock.now())
    ask = await arrival.read()
    exchange = Exchange(ask, key, house)
    try:
        route = await plan_route(exchange)
        if route.estimates_tokens:
            return whole.estimate_tokens(exchange)
        route = await hold(exchange, route)
        if ask.is_stream:
            return await stream.start(exchange, route)
        return await whole.answer(exchange, route)
    except UpstreamError as error:
        exchange.settle(result_of(error), error.http_status, error)
        raise
    except PonderError as error:
        exchange.settle(Result.REFUSED, error.http_status, error)
        raise
    except asyncio.CancelledError:
        exchange.settle(Result.DISCONNECTED, DISCONNECTED_STATUS)
        raise
    except BaseException:
        exchange.settle_fault()
        raise
