"""Pools of connections to one upstream's address."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

import certifi

from gateway.adapters.wire import Connection
from gateway.errors import ConfigurationError

CONNECT_S = 10.0
_KEEP_IDLE_S = 55.0
"""Just under the minute after which common servers and balancers close idle connections."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where an upstream is: the parts of its base URL."""

    host: str
    port: int
    is_secure: bool
    prefix: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = _DEFAULT_PORTS["https" if self.is_secure else "http"]
        return host if self.port == default else f"{host}:{self.port}"


def parse_address(base_url: str) -> Address:
    """The address in a base URL. Raises ConfigurationError for anything that is not plain http(s)."""
    parts = urlsplit(base_url)
    try:
        port = parts.port
    except ValueError as fault:
        raise ConfigurationError(f"base_url has an impossible port: {fault}") from fault
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ConfigurationError("base_url must look like https://HOST[:PORT][/PATH], without credentials or query")
    if not parts.path.isascii() or any(letter.isspace() for letter in parts.path):
        raise ConfigurationError("base_url's path must be plain ASCII without spaces")
    return Address(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        is_secure=parts.scheme == "https",
        prefix=parts.path.rstrip("/"),
    )


@cache
def _trusted() -> ssl.SSLContext:
    """The system's certificates; those of certifi where the system has none, as in small images."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    return context


class Pool:
    """At most ``size`` connections; idle ones are kept and the most recently used goes first."""

    def __init__(self, address: Address, size: int) -> None:
        self._address = address
        self._size = size
        self._open = 0
        self._idle: list[tuple[float, Connection]] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    async def take(self, *, within_s: float, is_fresh: bool = False) -> Connection:
        """A connection for one exchange; ``is_fresh`` asks for a new one.

        Raises TimeoutError when none is free or can be made in time, OSError when none can be made.
        """
        loop = asyncio.get_running_loop()
        while not is_fresh and self._idle:
            since, connection = self._idle.pop()
            if connection.is_lost:
                continue
            if loop.time() - since < _KEEP_IDLE_S:
                return connection
            connection.close()
        async with asyncio.timeout(within_s):
            while self._open >= self._size:
                await self._turn(loop)
                if self._idle and not is_fresh:
                    return await self.take(within_s=within_s)
            self._open += 1
            try:
                return await self._connect(loop)
            except BaseException:
                self._open -= 1
                self._admit_next()
                raise

    async def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        turn = loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._admit_next()
            raise

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        address = self._address
        async with asyncio.timeout(CONNECT_S):
            _, connection = await loop.create_connection(
                lambda: Connection(loop, self._freed),
                address.host,
                address.port,
                ssl=_trusted() if address.is_secure else None,
                server_hostname=address.host if address.is_secure else None,
            )
        return connection

    def _freed(self, connection: Connection) -> None:
        """A connection ended an exchange, or was lost."""
        if connection.is_gone:
            self._open -= 1
        elif self._is_closed:
            connection.close()
            return
        else:
            self._idle.append((asyncio.get_running_loop().time(), connection))
        self._admit_next()

    def _admit_next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def close(self) -> None:
        """Close the idle connections; those in use close when their exchange ends."""
        self._is_closed = True
        for _, connection in self._idle:
            connection.close()
        self._idle.clear()
