"""The gate before ``/admin``: who calls is known, and the body is whole and small, before a framework sees it."""

from __future__ import annotations

from gateway.domain.chat import Dialect
from gateway.domain.identity import new_request_id
from gateway.errors import Forbidden, InvalidRequest, PonderError, TooLarge
from gateway.flow.admit import admit
from gateway.flow.house import House
from gateway.http.asgi import ASGIApp, Message, Receive, Scope, Send
from gateway.http.door import ClientGone, credential_of, kept_headers
from gateway.http.faults import error_response

CALLER = "ponder.caller"
"""Where in the scope the gate leaves the key of the caller."""

_BODY_BYTES = 64 * 1024


class AdminGate:
    """Lets through who has a role, and refuses everybody else whatever they ask."""

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app = app
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        house = self._house
        now = house.clock.now()
        headers = kept_headers(scope["headers"])
        try:
            key = admit(credential_of(headers), house.keys, now)
            if key.role is None:
                raise Forbidden("this key calls models; /admin takes a key with the role viewer, operator or admin")
            if headers.get("content-encoding", "identity") != "identity":
                raise InvalidRequest("compressed request bodies are not accepted; send the JSON as it is")
            body = await read_small(receive, "/admin")
        except PonderError as error:
            house.meter.refusal("/admin", error.code)
            status, answer_headers, text = error_response(error, Dialect.OPENAI_CHAT, new_request_id(now))
            await send({"type": "http.response.start", "status": status, "headers": answer_headers})
            await send({"type": "http.response.body", "body": text})
            return
        except ClientGone:
            return

        is_told = False

        async def again() -> Message:
            nonlocal is_told
            if is_told:
                return await receive()
            is_told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app({**scope, CALLER: key}, again, send)


async def read_small(receive: Receive, folder: str) -> bytes:
    """The whole body of a request below ``folder``. Raises TooLarge, and ClientGone where it ends half-way."""
    pieces: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        size += len(piece)
        if size > _BODY_BYTES:
            raise TooLarge(f"the request body is larger than {_BODY_BYTES} bytes, the limit under {folder}")
        pieces.append(piece)
        more = message.get("more_body", False)
    return b"".join(pieces)
