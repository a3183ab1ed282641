"""A place at an upstream for the exchange's present model."""

from __future__ import annotations

from gateway.flow.exchange import Exchange


async def take_place(exchange: Exchange) -> None:
    """Wait in the lane to the model's upstream, and leave the lane that the exchange had a place in before.

    Raises RateLimited or Unavailable where no place can come in time.
    """
    model, house = exchange.model, exchange.house
    assert model is not None  # noqa: S101  a route is planned before a place is wanted
    if exchange.place is not None:
        exchange.place.leave()
        exchange.place = None
    bounds = exchange.catalog.terms[model.upstream].bounds
    exchange.place = await house.lanes.to(model.upstream).enter(exchange.key, bounds, exchange.left_s)
