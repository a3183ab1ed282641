"""The story of one request, from its key to its settled answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from gateway.domain.ask import Ask
from gateway.domain.key import Key
from gateway.domain.money import ZERO
from gateway.domain.record import Opening, Result
from gateway.domain.thinking import Wish
from gateway.errors import BudgetExhausted, PonderError, UpstreamError
from gateway.flow import searching, stream, whole
from gateway.flow.admit import admit
from gateway.flow.attempts import result_of
from gateway.flow.deciding import decide_again, plan_route
from gateway.flow.exchange import Exchange
from gateway.flow.hold import hold
from gateway.flow.house import House
from gateway.flow.places import take_place
from gateway.flow.reply import Reply
from gateway.flow.route import Route


class Arrival(Protocol):
    """A request at the door: its key can be checked before its body is read."""

    @property
    def credential(self) -> str | None: ...

    async def read(self) -> Ask:
        """Read and parse the body. Raises InvalidRequest or TooLarge."""
        ...

    def keep_watch(self) -> None:
        """What follows costs much: from now on, notice at once when the caller leaves."""
        ...


async def serve(arrival: Arrival, house: House) -> Reply:
    """Admit, read, and serve. Raises PonderError."""
    key = admit(arrival.credential, house.keys, house.clock.now())
    return await serve_ask(await arrival.read(), key, house, on_search=arrival.keep_watch)


async def serve_ask(
    ask: Ask, key: Key, house: House, *, wish: Wish | None = None, on_search: Callable[[], None] = lambda: None
) -> Reply:
    """Decide, hold, wait for a place, call, settle. A ``wish`` sets how hard to think, whoever answers.

    ``on_search`` is told when a search begins.

    Raises PonderError; whatever was spent is on record by then. A fault of our own is on record as well
    before it goes on to the log.
    """
    exchange = Exchange(ask, key, house)
    exchange.wish = wish
    try:
        with exchange.part("decide"):
            route = await plan_route(exchange)
        if route.estimates_tokens:
            return whole.estimate_tokens(exchange)
        route = await _pay(exchange, route)
        if not exchange.is_search:  # each draw of a search takes a place of its own
            await take_place(exchange)
        _write_down(exchange)
        if exchange.is_search:
            on_search()
            return await searching.answer(exchange)
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
        exchange.settle_unwanted()
        raise
    except BaseException:
        exchange.settle_fault()
        raise


async def _pay(exchange: Exchange, route: Route) -> Route:
    """The route with its money held; where that cannot be had, the route of another decision that knows of it.

    Raises as :func:`hold`. Where no arm fits, what is told is the budget: it says when to come back.
    """
    try:
        return await hold(exchange, route)
    except BudgetExhausted as refusal:
        if exchange.is_decided:
            with contextlib.suppress(BudgetExhausted):
                return await hold(exchange, await decide_again(exchange))
        exchange.house.crossings.refused(refusal, exchange.key.accounts)
        raise


def _write_down(exchange: Exchange) -> None:
    """Note in the journal that a call comes. Raises Unavailable where that cannot be written and must be."""
    ask = exchange.ask
    exchange.house.journal.open(
        Opening(
            id=ask.request_id,
            started_at=ask.started_at,
            key_id=exchange.key.id,
            dialect=ask.endpoint.dialect,
            endpoint=ask.endpoint.path,
            model_asked=ask.model[:200],
            stream=ask.is_stream,
            plan=exchange.recorded_plan,
            accounts=exchange.hold.accounts if exchange.hold else (),
            ceiling=exchange.hold.ceiling if exchange.hold else ZERO,
        )
    )
