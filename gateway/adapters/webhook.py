"""A webhook: somebody else's server that is told of events, by signed POSTs in the form of Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

Connections go through the guard of upstreams, are made anew for each message, and follow no
redirect. An address may hold a secret in its path or query: no message here shows more than its host.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from urllib.parse import urlsplit

from gateway.adapters.pool import Address, Pool, parse_address
from gateway.adapters.transport import why_unreached
from gateway.adapters.wire import Broken, Connection
from gateway.domain.notice import Event
from gateway.errors import ConfigurationError, DeliveryFailed

SEND_S = 10.0
"""For one message, from finding the host's address to the answer's status."""

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
_QUERY = re.compile(r"[!-~]*")
_SUCCESS, _REDIRECTION = 2, 3
_GONE = 410


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to, signed with what, and of what it is told."""

    address: Address = field(repr=False)
    target: str = field(repr=False)
    """The path and query of the address."""
    key: bytes = field(repr=False)
    events: frozenset[Event]
    allow_private: bool
    fingerprint: str
    """Stands for the address in the database."""

    @property
    def label(self) -> str:
        """The part of the address that may be shown."""
        return self.address.authority

    async def send(self, message_id: str, body: bytes, *, now: float, within_s: float = SEND_S) -> None:
        """Send one message; returns once the server has taken it. Raises DeliveryFailed.

        A message may arrive twice, with the same id, when a server takes it and is not heard.
        """
        async with self._connected(within_s) as connection:
            await connection.send(self._head(message_id, body, int(now)), body, within_s=within_s)
            status = connection.status
        if status // 100 == _REDIRECTION:
            raise DeliveryFailed(f"{self.label} answered {status}; redirects are not followed, correct the url")
        if status // 100 != _SUCCESS:
            raise DeliveryFailed(f"{self.label} answered {status}", is_final=status == _GONE)

    async def probe(self, *, within_s: float) -> None:
        """Connect, and send nothing. Raises DeliveryFailed when there is no connection that may be made."""
        async with self._connected(within_s):
            pass

    @asynccontextmanager
    async def _connected(self, within_s: float) -> AsyncIterator[Connection]:
        """A connection for this time at most. What fails on it is raised as DeliveryFailed."""
        pool = Pool(self.address, 1, allow_private=self.allow_private)
        connection: Connection | None = None
        try:
            async with asyncio.timeout(within_s):
                connection = await pool.take(within_s=within_s)
                yield connection
        except TimeoutError as fault:
            raise DeliveryFailed(f"{self.label} did not answer within {within_s:g} s") from fault
        except Broken as fault:
            raise DeliveryFailed(f"{self.label} broke off: {fault}") from fault
        except OSError as fault:
            raise DeliveryFailed(f"{self.label} cannot be reached: {why_unreached(fault)}") from fault
        finally:
            if connection is not None:
                connection.close()
            pool.close()

    def _head(self, message_id: str, body: bytes, timestamp: int) -> bytes:
        lines = (
            f"POST {self.target} HTTP/1.1",
            f"host: {self.address.authority}",
            "user-agent: ponder",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            f"webhook-id: {message_id}",
            f"webhook-timestamp: {timestamp}",
            f"webhook-signature: {signature(self.key, message_id, timestamp, body)}",
        )
        return "".join(f"{line}\r\n" for line in lines).encode("ascii") + b"\r\n"


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """What proves that a message is ours, whole and recent: HMAC-SHA256 over id, time and body."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def make_webhook(url: str, secret: str, events: frozenset[Event], *, allow_private: bool) -> Webhook:
    """A webhook from its settings. Raises ConfigurationError, without the address or the secret."""
    plain, _, query = url.partition("?")
    try:
        address = parse_address(plain)
    except ConfigurationError as fault:
        raise ConfigurationError(fault.message.replace("base_url", "url").replace(" or query", "")) from fault
    if not _QUERY.fullmatch(query) or "#" in query:
        raise ConfigurationError("url's query must be plain ASCII without spaces, and url without a fragment")
    target = (urlsplit(plain).path or "/") + (f"?{query}" if query else "")
    fingerprint = blake2b(url.encode(), digest_size=16, person=b"ponder webhook").hexdigest()
    return Webhook(address, target, _signing_key(secret), events, allow_private, fingerprint)


def _signing_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ConfigurationError(
            f"the secret must be {_PREFIX} and {_SHORTEST} to {_LONGEST} random bytes in base64; make one: "
            'echo "whsec_$(openssl rand -base64 32)"'
        )
    return key
