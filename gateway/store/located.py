"""Where a request's rows lie, so that those of some days are looked at and not those of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, and_

from gateway.domain.identity import id_time
from gateway.store.tables import request_texts, requests

_IDS_AGE_S: Final = 3_600.0
"""By far more than lies between a request's start and its id, which are made together."""
_LATEST_ID: Final = 250_000_000_000.0
"""In the year 9892: what an id can say beyond the last moment that a database knows, no request has."""

TEXT_OF_REQUEST: Final = and_(
    request_texts.c.started_at == requests.c.started_at, request_texts.c.request_id == requests.c.id
)
"""A request's text is in the same day's partition."""


def near(ids: Sequence[str]) -> list[ColumnElement[bool]]:
    """When requests with these ids began, as far as the ids tell; nothing where one of them does not tell."""
    times = [made_at for each in ids if (made_at := id_time(each)) is not None and made_at <= _LATEST_ID]
    if not times or len(times) < len(ids):
        return []
    return [requests.c.started_at.between(min(times) - _IDS_AGE_S, max(times) + _IDS_AGE_S)]
