"""HTTP to upstreams: calls over a pool, foreign failures translated here.

Redirects are never followed: an upstream that redirects could lead a request, with its
credentials, to an address that nobody configured.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from types import TracebackType

from gateway.adapters.pool import Pool, parse_address
from gateway.adapters.wire import Broken, Connection
from gateway.dialects.json_bytes import loads
from gateway.errors import (
    ConfigurationError,
    InvalidRequest,
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
_DRAIN_S = 1.0
_SUCCESS, _CLIENT_ERROR = 2, 4
_OWN_FAULT = frozenset({401, 403, 407})
_OVERLOADED = frozenset({503, 529})
_TIMED_OUT = frozenset({408, 504})
_PLAIN_SECONDS = re.compile(r"\d{1,6}(\.\d{1,6})?")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")


class Transport:
    """An HTTP/1.1 client for one upstream's base address."""

    def __init__(self, *, name: str, base_url: str, headers: Mapping[str, str], connections: int) -> None:
        for header, value in headers.items():
            if not _HEADER_VALUE.fullmatch(value) or not _HEADER_VALUE.fullmatch(header):
                raise ConfigurationError(f"upstreams.{name}: header {header!r} holds a control character")
        address = parse_address(base_url)
        self.name = name
        self.pool = Pool(address, connections)
        self._prefix = address.prefix
        self._draining: set[asyncio.Task[None]] = set()
        fixed = {"host": address.authority, "accept-encoding": "identity", **_lower(headers)}
        self._fixed = fixed
        self._common = _lines(fixed)

    def post(self, call: UpstreamCall, headers: Mapping[str, str]) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send one call. Entering raises UpstreamError for anything but a 2xx; leaving frees the connection."""
        head = self._head("POST", call.path, headers, len(call.body))
        return _Exchange(
            self, head, call.body, deadline_s=call.deadline_s, first_byte_s=call.first_byte_s, idle_s=call.idle_s
        )

    async def get(self, path: str, headers: Mapping[str, str], *, timeout_s: float) -> bytes:
        """Fetch a small document (a list of models). Raises UpstreamError."""
        head = self._head("GET", path, headers, 0)
        async with _Exchange(self, head, b"", deadline_s=timeout_s, first_byte_s=timeout_s, idle_s=timeout_s) as reply:
            return await reply.read()

    def _head(self, method: str, path: str, headers: Mapping[str, str], length: int) -> bytes:
        start = f"{method} {self._prefix}{path} HTTP/1.1\r\ncontent-length: {length}\r\n".encode("ascii")
        if not headers:
            return start + self._common + b"\r\n"
        given = {name: value for name, value in headers.items() if _HEADER_VALUE.fullmatch(value)}
        return start + _lines({**self._fixed, **given}) + b"\r\n"

    def drain(self, connection: Connection) -> None:
        """Read the framing after an answer's last event, so that the connection serves the next call."""
        task = asyncio.create_task(_drain(connection))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def close(self) -> None:
        """Close every pooled connection."""
        for task in self._draining:
            task.cancel()
        self.pool.close()


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _lines(headers: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")


class _Exchange(AbstractAsyncContextManager[UpstreamReply]):
    """One call, from taking a connection to letting it go; also the reply that is read in between."""

    __slots__ = (
        "_body",
        "_connection",
        "_deadline",
        "_first_byte_s",
        "_head",
        "_idle_s",
        "_is_complete",
        "_loop",
        "_owner",
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
        self._is_complete = False

    async def __aenter__(self) -> UpstreamReply:
        try:
            connection = await self._send(is_fresh=False)
            await self._check(connection)
        except BaseException as fault:
            self._let_go()
            if isinstance(fault, Broken | OSError | TimeoutError):
                raise _translated(fault, self._owner.name, has_connected=self._connection is not None) from fault
            raise
        return self

    async def _check(self, connection: Connection) -> None:
        if connection.status // 100 != _SUCCESS:
            raise await self._refusal(connection)
        if connection.headers.get("content-encoding", "identity") != "identity":
            raise UpstreamFailed(f"upstream {self._owner.name} compressed its answer although asked not to")

    async def _send(self, *, is_fresh: bool) -> Connection:
        connection = await self._owner.pool.take(within_s=self._left(), is_fresh=is_fresh)
        self._connection = connection
        was_reused = connection.is_reused
        try:
            await connection.send(self._head, self._body, within_s=min(self._first_byte_s, self._left()))
        except Broken as fault:
            # A kept connection that its server closed just as we wrote: nothing was answered on it,
            # so the call goes out once more, on a new one.
            if not was_reused or fault.has_begun:
                raise
            connection.finish()
            return await self._send(is_fresh=True)
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    def _let_go(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._is_complete and not connection.is_complete and not connection.is_lost:
            self._owner.drain(connection)
        else:
            connection.finish()

    def _left(self) -> float:
        return max(self._deadline - self._loop.time(), 0.001)

    @property
    def _live(self) -> Connection:
        assert self._connection is not None  # noqa: S101  a reply is only handed out once connected
        return self._connection

    @property
    def status(self) -> int:
        return self._live.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._live.headers

    def complete(self) -> None:
        self._is_complete = True

    async def read(self) -> bytes:
        connection = self._live
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await connection.read(within_s=min(self._idle_s, self._left())):
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    raise UpstreamFailed(
                        f"upstream {self._owner.name} sent an answer larger than {MAX_ANSWER_BYTES} bytes"
                    )
                pieces.append(piece)
                if connection.is_complete:
                    break
        except (Broken, TimeoutError) as fault:
            raise _translated(fault, self._owner.name, has_connected=True) from fault
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        read = self._live.read
        try:
            while chunk := await read(within_s=min(self._idle_s, self._left())):
                yield chunk
        except (Broken, TimeoutError) as fault:
            raise _translated(fault, self._owner.name, has_connected=True) from fault

    async def _refusal(self, connection: Connection) -> UpstreamError:
        body = b""
        try:
            while len(body) < _ERROR_BODY_BYTES and (
                piece := await connection.read(within_s=min(_ERROR_BODY_S, self._left()))
            ):
                body += piece
        except (Broken, TimeoutError):
            body = b""
        return refusal(self._owner.name, connection.status, body, connection.headers.get("retry-after"))


async def _drain(connection: Connection) -> None:
    try:
        while await connection.read(within_s=_DRAIN_S):
            pass
    except (Broken, TimeoutError):
        pass
    finally:
        connection.finish()


def refusal(name: str, status: int, body: bytes, retry_after: str | None) -> UpstreamError:
    """The error that stands for an upstream's non-2xx answer, judged by status alone."""
    wait = float(retry_after) if retry_after and _PLAIN_SECONDS.fullmatch(retry_after) else None
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return UpstreamRateLimited(f"upstream {name} is limiting our rate (429)", retry_after_s=wait, is_unbilled=True)
    if status in _OVERLOADED:
        return UpstreamOverloaded(f"upstream {name} is overloaded ({status})", retry_after_s=wait, is_unbilled=True)
    if status in _OWN_FAULT:
        return UpstreamFailed(
            f"upstream {name} does not accept the gateway's credentials ({status}); "
            "the operator should check the key that this upstream's api_key_env names",
            is_unbilled=True,
        )
    if status in _TIMED_OUT:
        return UpstreamTimedOut(f"upstream {name} timed out ({status})", is_unbilled=True)
    if status // 100 == _CLIENT_ERROR:
        return UpstreamRefused(
            f"upstream {name} refused the request ({status})", upstream_status=status, body=_json_or_nothing(body)
        )
    return UpstreamFailed(f"upstream {name} answered {status}", is_unbilled=True)


def _json_or_nothing(body: bytes) -> bytes:
    """Only a JSON object is worth passing on; an HTML page of some proxy is not."""
    try:
        return body if isinstance(loads(body), dict) else b""
    except InvalidRequest:
        return b""


def _translated(fault: BaseException, name: str, *, has_connected: bool) -> UpstreamError:
    if isinstance(fault, TimeoutError):
        return UpstreamTimedOut(f"upstream {name} did not answer in time", is_unbilled=not has_connected)
    if isinstance(fault, Broken):
        if fault.has_begun:
            return UpstreamFailed(f"upstream {name} broke off its answer: {fault}")
        return UpstreamFailed(f"upstream {name} closed the connection before answering")
    return UpstreamFailed(f"upstream {name} cannot be reached: connection refused or host not found", is_unbilled=True)
