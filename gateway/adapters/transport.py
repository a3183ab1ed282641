"""HTTP to upstreams: calls over a pool, foreign failures translated here.

Redirects are never followed: an upstream that redirects could lead a request, with its
credentials, to an address that nobody configured.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any

from gateway.adapters.pool import Pool, parse_address
from gateway.adapters.wire import Broken, Connection
from gateway.dialects.json_bytes import loads
from gateway.errors import (
    ConfigurationError,
    InvalidRequest,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimedOut,
)
from gateway.ports import UpstreamCall, UpstreamReply

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A larger unstreamed answer is refused: memory stays bounded whatever an upstream sends."""

_ERROR_BODY_BYTES = 64 * 1024
_ERROR_BODY_S = 5.0
_RACE_S = 1.0
"""A kept connection that closes later than this after a request was no longer idle: its server failed at work."""
_SUCCESS, _CLIENT_ERROR = 2, 4
_OWN_FAULT = frozenset({401, 403, 407})
_OVERLOADED = frozenset({503, 529})
_TIMED_OUT = frozenset({408, 504})
_PLAIN_SECONDS = re.compile(r"\d{1,6}(\.\d{1,6})?")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Transport:
    """An HTTP/1.1 client for one upstream's base address.

    ``trust`` verifies an https address; without it, the system's certificates do. ``allow_private``
    lets a public name lead to a private address.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        headers: Mapping[str, str],
        connections: int,
        trust: ssl.SSLContext | None = None,
        allow_private: bool = False,
    ) -> None:
        for header, value in headers.items():
            if not _HEADER_NAME.fullmatch(header) or not _HEADER_VALUE.fullmatch(value):
                raise ConfigurationError(
                    f"upstreams.{name}: header {header!r} must have a name of letters, digits and hyphens "
                    "and a value without control characters, in Latin-1"
                )
            if header.lower() in _FRAMING:
                raise ConfigurationError(
                    f"upstreams.{name}: header {header!r} is the connection's own and cannot be set"
                )
        address = parse_address(base_url)
        self.name = name
        self.pool = Pool(address, connections, trust=trust, allow_private=allow_private)
        self._prefix = address.prefix
        given = {header.lower(): value for header, value in headers.items()}
        self._fixed = {"host": address.authority, "user-agent": "ponder", "accept-encoding": "identity", **given}
        self._common = _lines(self._fixed)

    def post(self, call: UpstreamCall, headers: Mapping[str, str]) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send one call. Entering raises UpstreamError for anything but a 2xx; leaving frees the connection.

        ``headers`` come from the client, in lower case. They replace ours of the same name, and are
        dropped where they hold a character that could end them.
        """
        start = f"POST {self._prefix}{call.path} HTTP/1.1\r\ncontent-length: {len(call.body)}\r\n"
        return _Exchange(
            self,
            self._head(start, headers),
            call.body,
            deadline_s=call.deadline_s,
            first_byte_s=call.first_byte_s,
            idle_s=call.idle_s,
        )

    async def get(self, path: str, *, timeout_s: float) -> Mapping[str, Any]:
        """Fetch a small JSON object (a list of models). Raises UpstreamError."""
        async with self.fetch(path, timeout_s=timeout_s) as reply:
            document = _json_object(await reply.read())
        if document is None:
            raise UpstreamFailed(f"upstream {self.name} did not answer {path} with a JSON object; is base_url right?")
        return document

    def fetch(self, path: str, *, timeout_s: float) -> AbstractAsyncContextManager[UpstreamReply]:
        """GET something to be read as it comes. Entering raises UpstreamError for anything but a 2xx."""
        head = self._head(f"GET {self._prefix}{path} HTTP/1.1\r\n", {})
        return _Exchange(self, head, b"", deadline_s=timeout_s, first_byte_s=timeout_s, idle_s=timeout_s)

    def _head(self, start: str, headers: Mapping[str, str]) -> bytes:
        if not headers:
            return start.encode("ascii") + self._common + b"\r\n"
        given = {name: value for name, value in headers.items() if _HEADER_VALUE.fullmatch(value)}
        return start.encode("ascii") + _lines({**self._fixed, **given}) + b"\r\n"

    async def close(self) -> None:
        """Close every idle connection; calls under way end in peace."""
        self.pool.close()


def _lines(headers: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")


class _Exchange(AbstractAsyncContextManager[UpstreamReply]):
    """One call, from taking a connection to letting it go; also the reply that is read in between."""

    __slots__ = (
        "_body",
        "_connection",
        "_deadline",
        "_first_byte_s",
        "_has_sent",
        "_head",
        "_idle_s",
        "_is_complete",
        "_loop",
        "_owner",
        "headers",
        "status",
    )

    def __init__(
        self, owner: Transport, head: bytes, body: bytes, *, deadline_s: float, first_byte_s: float, idle_s: float
    ) -> None:
        self._owner = owner
        self._head = head
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + deadline_s
        self._first_byte_s = first_byte_s
        self._idle_s = idle_s
        self._connection: Connection | None = None
        self._has_sent = False
        self._is_complete = False
        self.status = 0
        self.headers: Mapping[str, str] = {}

    async def __aenter__(self) -> UpstreamReply:
        try:
            connection = await self._answered()
            self.status = connection.status
            self.headers = connection.headers
            await self._check(connection)
        except BaseException as fault:
            self._let_go()
            if isinstance(fault, Broken | OSError):
                raise _translated(fault, self._owner.name, has_sent=self._has_sent) from fault
            raise
        return self

    async def _check(self, connection: Connection) -> None:
        if connection.status // 100 != _SUCCESS:
            raise await self._refusal(connection)
        if connection.headers.get("content-encoding", "identity") != "identity":
            raise UpstreamFailed(f"upstream {self._owner.name} compressed its answer although asked not to")

    async def _answered(self) -> Connection:
        """A connection on which the answer has begun."""
        connection = await self._send(is_fresh=False)
        if connection is None:
            self._let_go()
            connection = await self._send(is_fresh=True)
            assert connection is not None  # noqa: S101  only a kept connection can be lost to a race
        return connection

    async def _send(self, *, is_fresh: bool) -> Connection | None:
        """Ask on a connection; None if it was a kept one that its server closed just as we wrote.

        Nothing was answered there, so the call may go out once more, on a new one. Some servers and
        balancers say 408 as they close an idle connection; that is no answer to us either.
        """
        connection = await self._owner.pool.take(within_s=self._left(), is_fresh=is_fresh)
        self._connection = connection
        may_race = connection.is_reused
        self._has_sent = True
        asked = self._loop.time()
        try:
            await connection.send(self._head, self._body, within_s=min(self._first_byte_s, self._left()))
        except Broken as fault:
            if not may_race or fault.has_begun or self._loop.time() - asked > _RACE_S:
                raise
            return None
        if may_race and connection.status == HTTPStatus.REQUEST_TIMEOUT and self._loop.time() - asked <= _RACE_S:
            return None
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    def _let_go(self) -> None:
        connection = self._connection
        if connection is None:
            return
        self._connection = None
        if self._is_complete:
            connection.leave()
        else:
            connection.finish()

    def _left(self) -> float:
        """The time left to the call. Raises TimeoutError when there is none, also for what keeps coming in time."""
        left = self._deadline - self._loop.time()
        if left <= 0:
            raise TimeoutError("the call's deadline has passed")
        return left

    def _patience(self, connection: Connection) -> float:
        return 0 if connection.is_complete else min(self._idle_s, self._left())

    @property
    def _live(self) -> Connection:
        assert self._connection is not None  # noqa: S101  a reply is only read between entering and leaving
        return self._connection

    def complete(self) -> None:
        self._is_complete = True

    async def read(self) -> bytes:
        connection = self._live
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await connection.read(within_s=self._patience(connection)):
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    raise UpstreamFailed(
                        f"upstream {self._owner.name} sent an answer larger than {MAX_ANSWER_BYTES} bytes"
                    )
                pieces.append(piece)
                if connection.is_complete:
                    break
        except (Broken, TimeoutError) as fault:
            raise _translated(fault, self._owner.name, has_sent=True) from fault
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        connection = self._live
        try:
            while chunk := await connection.read(within_s=self._patience(connection)):
                yield chunk
        except (Broken, TimeoutError) as fault:
            raise _translated(fault, self._owner.name, has_sent=True) from fault

    async def _refusal(self, connection: Connection) -> UpstreamError:
        body = b""
        until = self._loop.time() + _ERROR_BODY_S
        try:
            while len(body) <= _ERROR_BODY_BYTES and (left := until - self._loop.time()) > 0:
                piece = await connection.read(within_s=min(left, self._patience(connection)))
                if not piece:
                    break
                body += piece
        except (Broken, TimeoutError):
            pass
        if not connection.is_complete or len(body) > _ERROR_BODY_BYTES:
            body = b""
        return refusal(self._owner.name, connection.status, body, _retry_after(connection.headers))


def _retry_after(headers: Mapping[str, str]) -> str | None:
    """The Retry-After header in seconds; a date is one too, counted from the server's own clock."""
    given = headers.get("retry-after")
    if given is None or _PLAIN_SECONDS.fullmatch(given) or "date" not in headers:
        return given
    try:
        wait = parsedate_to_datetime(given) - parsedate_to_datetime(headers["date"])
    except (ValueError, TypeError):  # one of them is no date, or only one names its zone
        return None
    return str(max(int(wait.total_seconds()), 0))


def refusal(name: str, status: int, body: bytes, retry_after: str | None) -> UpstreamError:
    """The error that stands for an upstream's non-2xx answer, judged by status alone."""
    wait = float(retry_after) if retry_after and _PLAIN_SECONDS.fullmatch(retry_after) else None
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return UpstreamRateLimited(f"upstream {name} is limiting our rate (429)", retry_after_s=wait, is_unbilled=True)
    if status in _OVERLOADED:
        return UpstreamOverloaded(f"upstream {name} is overloaded ({status})", retry_after_s=wait, is_unbilled=True)
    if status == HTTPStatus.PAYMENT_REQUIRED:
        return UpstreamDenied(
            f"upstream {name} asks for payment ({status}); the operator should check the balance of its account there",
            is_unbilled=True,
        )
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return UpstreamDenied(f"upstream {name} does not offer this ({status})", is_unbilled=True)
    if status in _OWN_FAULT:
        return UpstreamDenied(
            f"upstream {name} does not accept the gateway's credentials ({status}); "
            "the operator should check the key of this upstream",
            is_unbilled=True,
        )
    if status in _TIMED_OUT:
        return UpstreamTimedOut(f"upstream {name} timed out ({status})", is_unbilled=True)
    if status // 100 == _CLIENT_ERROR:
        # Only a JSON object is worth passing on; an HTML page of some proxy is not.
        kept = b"" if _json_object(body) is None else body
        return UpstreamRefused(f"upstream {name} refused the request ({status})", upstream_status=status, body=kept)
    return UpstreamFailed(f"upstream {name} answered {status}", is_unbilled=True)


def model_ids(name: str, listing: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids in a list of models."""
    return tuple(entry["id"] for entry in model_entries(name, listing))


def model_entries(name: str, listing: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The models of a list, which both OpenAI and Anthropic write as ``{"data": [{"id": …}]}``."""
    rows = listing.get("data")
    if not isinstance(rows, list):
        raise UpstreamFailed(f"upstream {name} did not answer with a list of models; is base_url right?")
    return tuple(row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str))


def _json_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        value = loads(body)
    except InvalidRequest:
        return None
    return value if isinstance(value, dict) else None


def _translated(fault: Broken | OSError, name: str, *, has_sent: bool) -> UpstreamError:
    if isinstance(fault, Broken):
        if fault.has_begun:
            return UpstreamFailed(f"upstream {name} broke off its answer: {fault}")
        return UpstreamFailed(f"upstream {name} closed the connection before answering")
    if isinstance(fault, TimeoutError):
        if has_sent:
            return UpstreamTimedOut(f"upstream {name} did not answer in time")
        return UpstreamTimedOut(f"no connection to upstream {name} could be had in time", is_unbilled=True)
    return UpstreamFailed(f"upstream {name} cannot be reached: {why_unreached(fault)}", is_unbilled=not has_sent)


def why_unreached(fault: OSError) -> str:
    """Why there is no connection, in words that an operator can act on."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({fault.verify_message})"
    if isinstance(fault, ssl.SSLError):
        return f"no TLS connection ({fault.reason or 'handshake failed'})"
    if isinstance(fault, socket.gaierror):
        return "host not found"
    if isinstance(fault, ConnectionRefusedError):
        return "connection refused"
    return fault.strerror or type(fault).__name__
