"""Pools of connections to one upstream's address."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

import certifi
from aiohappyeyeballs import AddrInfoType, addr_to_addr_infos, start_connection

from gateway.adapters.egress import Egress
from gateway.adapters.wire import Connection
from gateway.errors import ConfigurationError

CONNECT_S = 10.0
"""For one connection: finding its host's addresses, TCP and TLS together."""
_KEEP_IDLE_S = 55.0
"""Just under the minute after which common servers and balancers close idle connections."""
_NEXT_ADDRESS_S = 0.25
"""How long one address of several is tried before the next one joins in (RFC 8305)."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_PATH = re.compile(r"[!-~]*")
_PROBE_S = 60


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
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as fault:
        raise ConfigurationError("base_url has an impossible host or port; ports are 1 to 65535") from fault
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError("base_url must look like https://HOST[:PORT][/PATH], without credentials or query")
    if not (_is_literal(parts.hostname) or _HOST.fullmatch(parts.hostname)) or port == 0:
        raise ConfigurationError(
            "base_url's host must be a name of ASCII letters, digits, dots and hyphens (xn-- for others) "
            "or an IP address, its port 1 to 65535"
        )
    if not _PATH.fullmatch(parts.path):
        raise ConfigurationError("base_url's path must be plain ASCII without spaces")
    return Address(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        is_secure=parts.scheme == "https",
        prefix=parts.path.rstrip("/"),
    )


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone means nothing beyond this machine, and a Host header cannot hold it


@cache
def system_trust() -> ssl.SSLContext:
    """The certificates of the system, or of SSL_CERT_FILE; certifi's where there are none, as in small images."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    folder = ssl.get_default_verify_paths().capath
    if not context.cert_store_stats()["x509_ca"] and not (folder and os.listdir(folder)):
        context.load_verify_locations(certifi.where())
    return context


def _new_socket(found: AddrInfoType) -> socket.socket:
    """A socket that probes a silent peer.

    An answer that is not streamed is silent for minutes. Probes keep firewalls on the way from
    forgetting the connection, and find out about a peer that is gone.
    """
    family, kind, protocol, _, _ = found
    fresh = socket.socket(family, kind, protocol)
    fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    fresh.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, name):  # macOS has one of them
            fresh.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _PROBE_S)
    return fresh


class Pool:
    """At most ``size`` connections; idle ones are kept and the most recently used goes first.

    Who comes when all are busy waits, and what becomes free goes to who waited longest.
    """

    def __init__(
        self,
        address: Address,
        size: int,
        *,
        trust: ssl.SSLContext | None = None,
        connect_s: float = CONNECT_S,
        allow_private: bool = False,
    ) -> None:
        self._address = address
        self._egress = Egress(address.host, allow_private)
        self._size = size
        self._trust = trust
        self._connect_s = connect_s
        self._open = 0
        """Connections that are in use, idle, closing or being made."""
        self._members: set[Connection] = set()
        self._idle: dict[Connection, float] = {}
        """Since when each is idle, the most recent last."""
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._lookup: asyncio.Future[list[AddrInfoType]] | None = None
        self._reaper: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def take(self, *, within_s: float, is_fresh: bool = False) -> Connection:
        """A connection for one exchange; ``is_fresh`` asks for a new one, ahead of all who wait.

        Raises TimeoutError when none is free or can be made in time, OSError when none can be made.
        """
        while self._idle and not is_fresh:
            connection, _ = self._idle.popitem()
            if connection.is_quiet():
                return connection
            connection.close()
        async with asyncio.timeout(within_s):
            kept = await self._turn(is_fresh=is_fresh)
            return await self._connect() if kept is None else kept

    async def _turn(self, *, is_fresh: bool) -> Connection | None:
        """A connection that became free, or room for a new one, which now belongs to the caller."""
        goes_first = is_fresh
        if is_fresh and self._idle and self._open >= self._size:
            self._drop(next(iter(self._idle)))
        while self._open >= self._size:
            connection = await self._wait(goes_first=goes_first)
            if connection is None or (not is_fresh and connection.is_quiet()):
                return connection
            connection.close()  # what comes back when it is gone is ours
            goes_first = True
        self._open += 1
        return None

    async def _wait(self, *, goes_first: bool) -> Connection | None:
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        if goes_first:
            self._waiting.appendleft(turn)
        else:
            self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # it may have been passed over already
                    self._waiting.remove(turn)
            else:
                self._pass_on(turn.result())
            raise

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                connection = await self._reach(asyncio.get_running_loop())
        except BaseException:
            self._pass_on(None)
            raise
        if connection.is_gone:
            self._pass_on(None)
            raise ConnectionResetError("closed as soon as it was made")
        self._members.add(connection)
        return connection

    async def _reach(self, loop: asyncio.AbstractEventLoop) -> Connection:
        address = self._address
        found = self._egress.permitted(address.host, await self._addresses(loop))
        reached = await start_connection(
            found, happy_eyeballs_delay=_NEXT_ADDRESS_S, loop=loop, socket_factory=_new_socket
        )
        _, connection = await loop.create_connection(
            lambda: Connection(loop, self._freed),
            sock=reached,
            ssl=(self._trust or system_trust()) if address.is_secure else None,
            server_hostname=address.host if address.is_secure else None,
        )
        return connection

    async def _addresses(self, loop: asyncio.AbstractEventLoop) -> list[AddrInfoType]:
        """The host's addresses. One search serves all who need it: each blocks one of few threads."""
        address = self._address
        if _is_literal(address.host):
            return addr_to_addr_infos((address.host, address.port)) or []
        if self._lookup is None:
            self._lookup = asyncio.ensure_future(self._look_up(loop))
            self._lookup.add_done_callback(self._looked_up)
        return await asyncio.shield(self._lookup)

    async def _look_up(self, loop: asyncio.AbstractEventLoop) -> list[AddrInfoType]:
        host, port = self._address.host, self._address.port
        return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP))

    def _looked_up(self, lookup: asyncio.Future[list[AddrInfoType]]) -> None:
        self._lookup = None
        if not lookup.cancelled():
            lookup.exception()  # whoever asked may have given up: then nobody else takes note of it

    def _freed(self, connection: Connection) -> None:
        """A connection ended an exchange, or is gone."""
        if not connection.is_gone:
            self._pass_on(connection)
        elif connection in self._members:
            self._members.remove(connection)
            self._idle.pop(connection, None)
            self._pass_on(None)

    def _pass_on(self, free: Connection | None) -> None:
        """Give a free connection, or room for one, to who waited longest; keep it if nobody does."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(free)
                return
        if free is None:
            self._open -= 1
        elif self._is_closed:
            free.close()
        else:
            loop = asyncio.get_running_loop()
            self._idle[free] = loop.time()
            if self._reaper is None:
                self._reaper = loop.call_later(_KEEP_IDLE_S, self._reap)

    def _reap(self) -> None:
        """Close what has been idle for too long, and come back when the next one will have been."""
        loop = asyncio.get_running_loop()
        self._reaper = None
        for connection, since in list(self._idle.items()):
            if loop.time() - since < _KEEP_IDLE_S:
                self._reaper = loop.call_at(since + _KEEP_IDLE_S, self._reap)
                return
            self._drop(connection)

    def _drop(self, idle: Connection) -> None:
        del self._idle[idle]
        idle.close()

    def close(self) -> None:
        """Close the idle connections. Those in use serve to the end of their exchange; so do calls that come late."""
        self._is_closed = True
        for connection in list(self._idle):
            self._drop(connection)
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
