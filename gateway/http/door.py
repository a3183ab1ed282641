"""The door: reading one dialect request from ASGI, its headers first and its body once the key is known."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.dialects.json_bytes import check_object, loads, without
from gateway.domain.ask import NO_HINTS, Ask, Endpoint, Hints, Operation
from gateway.domain.background import RESPONSE_PREFIX
from gateway.domain.chat import Dialect
from gateway.domain.check import read_check
from gateway.errors import InvalidRequest, TooLarge, Unavailable
from gateway.http.asgi import Receive, Scope

_KEPT = {
    name.encode(): name
    for name in (
        "authorization",
        "x-api-key",
        "content-length",
        "content-encoding",
        "anthropic-version",
        "anthropic-beta",
        "openai-beta",
        "traceparent",
        "tracestate",
        "x-client-request-id",
    )
}
_HINT_PREFIX = b"x-ponder-"
_BEARER = "bearer "
_MAX_TAGS = 16
_MAX_TAG_LENGTH = 64
_LABEL = re.compile(r"[a-z0-9_/.-]{1,64}")


class Bodies:
    """How many bytes of request bodies are held, over all requests being served, and how many may be."""

    __slots__ = ("held_bytes", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Make room for a piece of a body. Raises Unavailable where there is none."""
        if self.held_bytes + size > self.limit_bytes:
            raise Unavailable(
                f"requests being served hold {self.held_bytes} bytes, and limits.bodies_bytes allows "
                f"{self.limit_bytes}; try again when some have been answered",
                retry_after_s=1.0,
            )
        self.held_bytes += size

    def give_back(self, size: int) -> None:
        """The body of an answered request is gone."""
        self.held_bytes -= size


class ClientGone(Exception):
    """The client disconnected before its request was complete."""


class Deferred(Exception):
    """The request wants its answer later: ``background: true``. ``raw`` is its whole body."""

    def __init__(self, ask: Ask, raw: bytes) -> None:
        super().__init__("the request is to be answered later")
        self.ask = ask
        self.raw = raw


class Door:
    """One arrival: satisfies ``flow.serve.Arrival``. ``on_read`` is told when the body is complete."""

    __slots__ = (
        "_bodies",
        "_body_bytes",
        "_continued",
        "_endpoint",
        "_headers",
        "_now",
        "_on_read",
        "_on_search",
        "_receive",
        "_request_id",
        "_started",
        "held_bytes",
        "is_read",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        endpoint: Endpoint,
        request_id: str,
        body_bytes: int,
        now: float,
        started: float,
        bodies: Bodies,
        on_read: Callable[[], None],
        on_search: Callable[[], None],
        continued: Callable[[str | None, str, bytes], Awaitable[bytes]] | None = None,
    ) -> None:
        self._receive = receive
        self._bodies = bodies
        self.held_bytes = 0
        """What this arrival's body takes of all bodies' memory; whoever made the door gives it back."""
        self._on_read = on_read
        self._on_search = on_search
        self._continued = continued
        self.is_read = False
        self._endpoint = endpoint
        self._request_id = request_id
        self._body_bytes = body_bytes
        self._now = now
        self._started = started
        self._headers = kept_headers(scope["headers"])

    @property
    def credential(self) -> str | None:
        return credential_of(self._headers)

    async def read(self) -> Ask:
        raw = await self._read_body()
        ask = self._read(raw)
        if self._endpoint.dialect is Dialect.OPENAI_RESPONSES:
            previous = ask.body.get("previous_response_id")
            if self._continued is not None and isinstance(previous, str) and previous.startswith(RESPONSE_PREFIX):
                raw = await self._continued(self.credential, previous, raw)
                ask = self._read(raw)
            if ask.body.get("background"):
                raise Deferred(ask, raw)
        self.is_read = True
        self._on_read()
        return ask

    def keep_watch(self) -> None:
        self._on_search()

    def _read(self, raw: bytes) -> Ask:
        return read_ask(
            raw,
            self._headers,
            endpoint=self._endpoint,
            request_id=self._request_id,
            started_at=self._now,
            started=self._started,
        )

    async def _read_body(self) -> bytes:
        limit = self._body_bytes
        if self._headers.get("content-encoding", "identity") != "identity":
            raise InvalidRequest("compressed request bodies are not accepted; send the JSON as it is")
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            raise _too_large(limit)
        pieces: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece: bytes = message.get("body", b"")
            if self.held_bytes + len(piece) > limit:
                raise _too_large(limit)
            self._bodies.take(len(piece))
            self.held_bytes += len(piece)
            if not message.get("more_body", False):
                return b"".join((*pieces, piece)) if pieces else piece
            pieces.append(piece)


def read_ask(
    raw: bytes,
    headers: Mapping[str, str],
    *,
    endpoint: Endpoint,
    request_id: str,
    started_at: float,
    started: float,
) -> Ask:
    """The ask that a body and its kept headers make. Raises InvalidRequest."""
    body = loads(raw)
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    check_object(raw, body)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest(
            "'model' must be a non-empty string; GET /v1/models lists what is available", param="model"
        )
    is_stream = body.get("stream")
    if is_stream is not None and not isinstance(is_stream, bool):
        raise InvalidRequest("'stream' must be true or false", param="stream")
    hints = NO_HINTS
    if "ponder" in body or any(name.startswith("x-ponder-") for name in headers):
        hints = read_hints(body.pop("ponder", None), headers)
        raw = without(raw, "ponder")
    return Ask(
        request_id=request_id,
        endpoint=endpoint,
        raw=raw,
        body=body,
        model=model,
        is_stream=bool(is_stream) and endpoint.operation is Operation.CHAT,
        headers=headers,
        hints=hints,
        started_at=started_at,
        started=started,
    )


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the request body is larger than {limit} bytes, the limit set by limits.body_bytes")


def kept_headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """The request headers that mean something here, lower-case."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        known = _KEPT.get(name)
        if known is not None:
            headers[known] = value.decode("latin-1")
        elif name.startswith(_HINT_PREFIX):
            headers[name.decode("latin-1")] = value.decode("latin-1")
    return headers


def credential_of(headers: Mapping[str, str]) -> str | None:
    """The secret of ``Authorization: Bearer`` or ``x-api-key``."""
    authorization = headers.get("authorization")
    if authorization is not None:
        if authorization[:7].lower() == _BEARER:
            return authorization[7:].strip()
        return None
    return headers.get("x-api-key")


def read_hints(field: object, headers: Mapping[str, str]) -> Hints:
    """The hints of the ``ponder`` body field and the ``x-ponder-*`` headers; the body wins.

    Unknown members are refused, so that a misspelt limit is never silently no limit.
    """
    if field is not None and not isinstance(field, dict):
        raise InvalidRequest("'ponder' must be an object", param="ponder")
    given: dict[str, Any] = {
        name.removeprefix("x-ponder-").replace("-", "_"): value
        for name, value in headers.items()
        if name.startswith("x-ponder-")
    }
    tags = {name.removeprefix("tag_"): given.pop(name) for name in list(given) if name.startswith("tag_")}
    if tags:
        given["tags"] = tags
    given.update(field or {})
    unknown = given.keys() - _HINT_NAMES
    if unknown:
        raise InvalidRequest(
            f"unknown hint; 'ponder' and x-ponder-* headers take: {', '.join(sorted(_HINT_NAMES))}", param="ponder"
        )
    return Hints(
        category=_label(given, "category"),
        difficulty=_label(given, "difficulty"),
        deadline_s=_deadline(given),
        max_cost_usd=_positive(given, "max_cost_usd"),
        verify=None if given.get("verify") is None else read_check(given["verify"]),
        progress=given.get("progress") in (True, "true", "1"),
        tags=_tags(given.get("tags")),
    )


_HINT_NAMES = frozenset({"category", "difficulty", "deadline_s", "max_cost_usd", "verify", "progress", "tags"})


def _label(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        raise InvalidRequest(f"'ponder.{name}' must be a short lower-case label", param=f"ponder.{name}")
    return value


def _deadline(given: Mapping[str, Any]) -> float | None:
    value = _positive(given, "deadline_s")
    return None if value is None else float(value)


def _positive(given: Mapping[str, Any], name: str) -> Decimal | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or number <= 0 or number > 10**9:
        raise InvalidRequest(f"'ponder.{name}' must be a positive number", param=f"ponder.{name}")
    return number


def _tags(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if (
        not isinstance(value, dict)
        or len(value) > _MAX_TAGS
        or not all(isinstance(item, str) and len(item) <= _MAX_TAG_LENGTH for pair in value.items() for item in pair)
    ):
        raise InvalidRequest(
            f"'ponder.tags' must be an object of at most {_MAX_TAGS} strings of at most {_MAX_TAG_LENGTH} characters",
            param="ponder.tags",
        )
    return dict(value)
