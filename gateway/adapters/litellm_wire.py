"""The HTTP under litellm: our connection pool, and a witness of what the provider really sent.

litellm is handed one HTTP client for everything. Its transport sends each request for the
:class:`Witness` of the call that is under way, which never repeats a request (litellm
does so by itself after a broken connection, and a repeated call is paid for twice), downloads nothing, follows
no redirect, reads usage from the bytes, and can hang up. Imports httpx, so it is imported with
litellm only.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpcore
import httpx

from gateway.adapters.egress import Egress, EgressRefused
from gateway.adapters.litellm_usage import UsageReader
from gateway.adapters.transport import MAX_ANSWER_BYTES
from gateway.errors import UpstreamError, UpstreamFailed, UpstreamTimedOut
from gateway.ports import UpstreamCall

FAULTS = (httpx.HTTPError, httpx.StreamError)
"""What an exchange can raise that litellm lets through."""

_ERROR_BODY_BYTES = 64 * 1024
_CONNECT_S = 10.0


def timeout_of(call: UpstreamCall) -> httpx.Timeout:
    """The call's limits on connecting and on silence; its deadline is kept by the caller."""
    return httpx.Timeout(max(call.first_byte_s, call.idle_s), connect=min(_CONNECT_S, call.first_byte_s))


class Witness:
    """One call's HTTP exchange: sends its request, and keeps what came of it."""

    def __init__(self, name: str, pool: httpx.AsyncBaseTransport, timeout: httpx.Timeout) -> None:
        self._name = name
        self._pool = pool
        self._timeout = timeout
        self._body: _WatchedBody | None = None
        self._addresses: set[str] = set()
        self.status: int | None = None
        self.retry_after: str | None = None
        self.reply_id: str | None = None
        self.error_body = b""
        self.fault: UpstreamError | None = None
        self.reader: UsageReader | None = None

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send the request; a connection that fails is noted and looks like a read error to litellm."""
        address = str(request.url)
        if request.method != "POST" or address in self._addresses:
            raise httpx.ReadError(
                "nothing is downloaded, and repeating a call is not litellm's decision", request=request
            )
        self._addresses.add(address)
        request.headers["accept-encoding"] = "identity"
        request.extensions["timeout"] = self._timeout.as_dict()
        try:
            response = await self._pool.handle_async_request(request)
        except httpx.TransportError as fault:
            self.fault = self._meaning(fault)
            raise httpx.ReadError(type(fault).__name__, request=request) from fault
        except EgressRefused as fault:
            self.fault = UpstreamFailed(f"upstream {self._name} cannot be reached: {fault.strerror}", is_unbilled=True)
            raise httpx.ReadError(type(fault).__name__, request=request) from fault
        self.status = response.status_code
        self.retry_after = response.headers.get("retry-after")
        self.reply_id = response.headers.get("x-request-id")
        if not response.is_success:
            self.error_body = await self._read_error(response)
            return httpx.Response(
                response.status_code, headers={"content-type": "application/json"}, content=self.error_body
            )
        self.reader = UsageReader(response.headers.get("content-type", ""))
        self._body = _WatchedBody(self, response, self.reader)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=self._body, extensions=response.extensions
        )

    def note(self, fault: httpx.TransportError | UpstreamError) -> None:
        """Remember why the answer broke off."""
        self.fault = fault if isinstance(fault, UpstreamError) else self._meaning(fault)

    def _meaning(self, fault: httpx.TransportError) -> UpstreamError:
        if isinstance(fault, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            return UpstreamFailed(f"upstream {self._name} cannot be reached", is_unbilled=True)
        if isinstance(fault, httpx.TimeoutException):
            return UpstreamTimedOut(f"upstream {self._name} did not answer in time")
        return UpstreamFailed(f"upstream {self._name} closed the connection before answering in full")

    async def _read_error(self, response: httpx.Response) -> bytes:
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in response.aiter_raw():
                pieces.append(piece)
                size += len(piece)
                if size >= _ERROR_BODY_BYTES:
                    break
        except httpx.TransportError:
            return b""
        finally:
            await response.aclose()
        return b"".join(pieces)[:_ERROR_BODY_BYTES]

    async def close(self) -> None:
        """Hang up, or give the connection back if the answer was read to its end."""
        if self._body is not None:
            await self._body.aclose()


class _WatchedBody(httpx.AsyncByteStream):
    """An answer's body on its way to litellm."""

    def __init__(self, witness: Witness, response: httpx.Response, reader: UsageReader) -> None:
        self._witness = witness
        self._response = response
        self._reader = reader
        self._is_bounded = not response.headers.get("content-type", "").startswith("text/event-stream")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for piece in self._response.aiter_raw():
                size += len(piece)
                if self._is_bounded and size > MAX_ANSWER_BYTES:
                    raise UpstreamFailed(f"the upstream sent an answer larger than {MAX_ANSWER_BYTES} bytes")
                self._reader.feed(piece)
                yield piece
        except (httpx.TransportError, UpstreamError) as fault:
            self._witness.note(fault)
            raise
        self._reader.finish()

    async def aclose(self) -> None:
        await self._response.aclose()


_WITNESS: ContextVar[Witness] = ContextVar("litellm_witness")


@contextmanager
def witnessed_by(witness: Witness) -> Iterator[None]:
    """Send what litellm sends meanwhile, in this task, through ``witness``."""
    token = _WITNESS.set(witness)
    try:
        yield
    finally:
        _WITNESS.reset(token)


class _WitnessedTransport(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await _WITNESS.get().send(request)


class SharedClient(httpx.AsyncClient):
    """The client that litellm is given: it holds no connection, so closing it would only break later calls."""

    def __init__(self) -> None:
        self.witnessed = _WitnessedTransport()
        super().__init__(transport=self.witnessed, follow_redirects=False, trust_env=False)

    async def aclose(self) -> None:
        """Stay open."""


class _GuardedNetwork(httpcore.AnyIOBackend):
    """Connects to addresses that the guard has passed, and never by name."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the signature of httpcore's backends
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """The first connection that one of the host's addresses grants; each has its share of the time."""
        try:
            async with asyncio.timeout(timeout):
                found = await asyncio.get_running_loop().getaddrinfo(
                    host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
                )
        except TimeoutError as fault:
            raise httpcore.ConnectTimeout("the host's addresses were not found in time") from fault
        except OSError as fault:
            raise httpcore.ConnectError(str(fault)) from fault
        permitted = self._egress.permitted(host, found)
        share_s = None if timeout is None else timeout / len(permitted)
        for info in permitted[:-1]:
            try:
                return await super().connect_tcp(info[4][0], port, share_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await super().connect_tcp(permitted[-1][4][0], port, share_s, local_address, socket_options)


def connection_pool(connections: int, egress: Egress) -> httpx.AsyncBaseTransport:
    """An upstream's own connections, to addresses that ``egress`` permits."""
    transport = httpx.AsyncHTTPTransport(trust_env=False, retries=0)
    # httpx has no parameter for the network beneath it.
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=False),
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=60,
        retries=0,
        network_backend=_GuardedNetwork(egress),
    )
    return transport
