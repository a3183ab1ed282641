"""Whose is what a request names of a provider's store: all keys share the operator's account there."""

from __future__ import annotations

from gateway.dialects.stored_names import stored_names
from gateway.errors import InvalidRequest
from gateway.flow.exchange import Exchange


async def check_stored(exchange: Exchange) -> None:
    """Refuse what was not stored for the exchange's key as far as is known here; note where the rest is.

    Responses are on record with their keys. Of conversations and single items nobody here knows whose they
    are, and of responses made elsewhere neither: they are for keys that may override, the operator's own.
    """
    ask, key, answers = exchange.ask, exchange.key, exchange.house.answers
    names = stored_names(ask.endpoint.dialect, ask.body)
    if names.other is not None and not key.may_override:
        raise InvalidRequest(
            f"{names.other} names what a provider has stored, and not whose it is; send the whole conversation as "
            "input (the AI SDK does with store: false), or continue a response of this key by previous_response_id",
            param=names.other,
        )
    if names.answer_id is None:
        return
    home = await (answers.home_of(names.answer_id) if key.may_override else answers.home_soon(names.answer_id))
    if home is not None and home.key_id == key.id:
        exchange.stored_at = home.upstream
    elif home is not None or not key.may_override:
        raise InvalidRequest(
            "previous_response_id names no response of this key on record here; send the whole conversation as input",
            param="previous_response_id",
        )
