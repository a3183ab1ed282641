"""HTTP to upstreams: one pooled aiohttp session per upstream, foreign failures translated here.

Redirects are never followed: an upstream that redirects could lead a request, with its
credentials, to an address that nobody configured.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp

from gateway.dialects.json_bytes import loads
from gateway.errors import (
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
_DRAIN_S = 1.0
_SUCCESS, _CLIENT_ERROR = 2, 4
_OWN_FAULT = frozenset({401, 403, 407})
_OVERLOADED = frozenset({503, 529})
_PLAIN_SECONDS = re.compile(r"\d{1,6}(\.\d{1,6})?")


class HttpReply:
    """A 2xx answer, its body still unread."""

    __slots__ = ("_name", "_response", "is_complete")

    def __init__(self, response: aiohttp.ClientResponse, name: str) -> None:
        self._response = response
        self._name = name
        self.is_complete = False

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def read(self) -> bytes:
        length = self._response.content_length
        try:
            if length is not None and length <= MAX_ANSWER_BYTES:
                return await self._response.read()
            return await self._read_bounded()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as fault:
            raise _translated(fault, self._name) from fault

    async def _read_bounded(self) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := await self._response.content.readany():
            size += len(piece)
            if size > MAX_ANSWER_BYTES:
                raise UpstreamFailed(f"upstream {self._name} sent an answer larger than {MAX_ANSWER_BYTES} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        read = self._response.content.readany
        try:
            while chunk := await read():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as fault:
            raise _translated(fault, self._name) from fault

    def complete(self) -> None:
        self.is_complete = True


class Transport:
    """A pooled HTTP/1.1 client for one upstream's base address."""

    def __init__(self, *, name: str, base_url: str, headers: Mapping[str, str], connections: int) -> None:
        self._name = name
        self._base_url = base_url
        self._headers = dict(headers)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._draining: set[asyncio.Task[None]] = set()

    def _pool(self) -> aiohttp.ClientSession:
        # Made on first use, inside the running loop; one that a closed loop left behind is not reused.
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=60, ttl_dns_cache=30)
            self._session = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=True,
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent",),
            )
        return self._session

    @asynccontextmanager
    async def post(self, call: UpstreamCall, headers: Mapping[str, str]) -> AsyncIterator[UpstreamReply]:
        """Send one call. Raises UpstreamError for anything but a 2xx; the connection is closed or returned."""
        timeout = aiohttp.ClientTimeout(
            total=call.deadline_s,
            sock_connect=min(10.0, call.first_byte_s),
            sock_read=max(call.first_byte_s, call.idle_s),
        )
        try:
            response = await self._pool().post(
                self._base_url + call.path, data=call.body, headers=headers, timeout=timeout, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as fault:
            raise _translated(fault, self._name) from fault
        reply = HttpReply(response, self._name)
        try:
            if not _is_success(response.status):
                raise await self._refusal(response)
            yield reply
        finally:
            self._let_go(response, is_complete=reply.is_complete)

    def _let_go(self, response: aiohttp.ClientResponse, *, is_complete: bool) -> None:
        if response.content.at_eof():
            response.release()
        elif is_complete:
            # The terminating chunk is still on its way; reading it keeps the connection for the next call.
            task = asyncio.create_task(_drain(response))
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)
        else:
            # Unread answer bytes: closing tells the upstream to stop generating.
            response.close()

    async def get(self, path: str, headers: Mapping[str, str], *, timeout_s: float) -> bytes:
        """Fetch a small document (a list of models). Raises UpstreamError."""
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._pool().get(
                self._base_url + path, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if not _is_success(response.status):
                    raise await self._refusal(response)
                return await response.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as fault:
            raise _translated(fault, self._name) from fault

    async def _refusal(self, response: aiohttp.ClientResponse) -> UpstreamError:
        try:
            body = await response.content.read(_ERROR_BODY_BYTES)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            body = b""
        return refusal(self._name, response.status, body, response.headers.get("Retry-After"))

    async def close(self) -> None:
        """Close every pooled connection."""
        for task in self._draining:
            task.cancel()
        if self._session is not None:
            await self._session.close()


def _is_success(status: int) -> bool:
    return status // 100 == _SUCCESS


async def _drain(response: aiohttp.ClientResponse) -> None:
    try:
        async with asyncio.timeout(_DRAIN_S):
            await response.content.readany()
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        response.close()
        return
    response.release() if response.content.at_eof() else response.close()


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
    if status in {408, 504}:
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


def _translated(fault: BaseException, name: str) -> UpstreamError:
    if isinstance(fault, TimeoutError | asyncio.TimeoutError):
        return UpstreamTimedOut(f"upstream {name} did not answer in time")
    if isinstance(fault, aiohttp.ClientConnectorError):
        return UpstreamFailed(
            f"upstream {name} cannot be reached: connection refused or host not found", is_unbilled=True
        )
    if isinstance(fault, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        return UpstreamFailed(f"upstream {name} closed the connection before answering in full")
    return UpstreamFailed(f"upstream {name} sent a broken HTTP answer ({type(fault).__name__})")
