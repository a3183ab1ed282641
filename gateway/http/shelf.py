"""What the routes of background work share: its stores, its terms, and a bell to the runner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from fastapi import Request
from starlette.requests import ClientDisconnect

from gateway.errors import InvalidRequest, TooLarge
from gateway.flow.house import House
from gateway.http.openapi import UNAUTHENTICATED, refusals
from gateway.settings import BackgroundSettings
from gateway.store.batches import Batches
from gateway.store.files import Files
from gateway.store.jobs import Jobs

WINDOW_S = 24 * 3600.0
"""How long a job may wait for its answer: OpenAI's one completion window."""

_BODY_BYTES = 64 * 1024

REFUSALS = refusals(
    {
        400: "The request is invalid; the message says what would be accepted",
        401: UNAUTHENTICATED,
        404: "This key has no such thing",
        413: "The body is larger than is taken here",
        503: "The database is away; nothing was changed",
    }
)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where work lies that is answered later. ``ring`` makes the runner look at once."""

    house: House
    jobs: Jobs
    files: Files
    batches: Batches
    terms: BackgroundSettings
    ring: Callable[[], None]

    @property
    def kept_s(self) -> float:
        """How long results are kept."""
        return self.terms.keep_hours * 3600.0

    def check_taking(self) -> None:
        """Raises InvalidRequest where no new work is taken."""
        if not self.terms.enabled:
            raise InvalidRequest(
                "no responses are answered later here: background.enabled is false; send the request without "
                "'background', or each line of the batch as a request",
                param="background",
            )


async def arriving(request: Request) -> AsyncIterator[bytes]:
    """The body of a request as it comes."""
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect as gone:
        raise InvalidRequest("the client left before its request was complete") from gone


async def small_body(request: Request) -> bytes:
    """The whole body of a request that describes something. Raises TooLarge beyond 64 KiB."""
    body = bytearray()
    async for piece in arriving(request):
        body += piece
        if len(body) > _BODY_BYTES:
            raise TooLarge(f"the request body is larger than {_BODY_BYTES} bytes, the limit here")
    return bytes(body)
