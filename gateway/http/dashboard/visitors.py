"""Who is at the dashboard: signing in with a key that has a role, and the session that this begins.

The browser holds a random token; the database holds a digest of it and one of the key's secret. So neither a copied
database nor a copied cookie tells a secret, and a session ends with the secret that it was begun with.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.domain.key import Key, has_expired
from gateway.domain.secret import Pepper
from gateway.errors import Forbidden, RateLimited, Unauthenticated
from gateway.flow.admit import admit
from gateway.ports import Clock, KeyRing
from gateway.store.sessions import StoredSession

SESSION_S: Final = 12 * 3600.0
"""A session ends so long after signing in, used or not."""
FAILURES: Final = 10
"""Failed attempts that an address may make at once; one more each :data:`FORGIVEN_S`."""
FORGIVEN_S: Final = 30.0
_ADDRESSES: Final = 10_000
_TOKEN_BYTES: Final = 32


class Ring(KeyRing, Protocol):
    """Keys, by secrets and by their digests."""

    def find_by_digest(self, digest: bytes) -> Key | None: ...


class Sessions(Protocol):
    """Where sessions are kept, by the digests of their tokens."""

    async def begin(self, digest: bytes, session: StoredSession) -> None: ...

    async def find(self, digest: bytes) -> StoredSession | None: ...

    async def end(self, digest: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody signed in. ``form_token`` stands in every form that the session's pages hold."""

    key: Key
    form_token: str = field(repr=False)


class Visitors:
    """The sessions of the dashboard."""

    def __init__(self, ring: Ring, stored: Sessions, pepper: Pepper, clock: Clock) -> None:
        self._ring = ring
        self._stored = stored
        self._pepper = pepper
        self._clock = clock
        self._attempts = Attempts()

    async def sign_in(self, secret: str, address: str) -> str:
        """Begin a session and return its token.

        Raises RateLimited after too many failures from an address, Unauthenticated, or Forbidden for a key without
        a role.
        """
        now = self._clock.now()
        self._attempts.check(address, now)
        try:
            key = admit(secret, self._ring, now)
        except Unauthenticated:
            self._attempts.fail(address, now)
            raise
        if key.role is None:
            raise Forbidden("this key calls models; the dashboard takes one with the role viewer, operator or admin")
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        session = StoredSession(self._pepper.digest(secret), created_at=now, expires_at=now + SESSION_S)
        await self._stored.begin(self._digest(token), session)
        return token

    async def find(self, token: str) -> Visitor | None:
        """Who has this token; None where the session is over, or its key no longer may."""
        session = await self._stored.find(self._digest(token))
        now = self._clock.now()
        if session is None or session.expires_at <= now:
            return None
        key = self._ring.find_by_digest(session.secret)
        if key is None or key.role is None or not key.is_active or has_expired(key, now):
            return None
        return Visitor(key, self._pepper.digest(f"dashboard form {token}").hex())

    async def sign_out(self, token: str) -> None:
        """End the session, wherever its token has got to."""
        await self._stored.end(self._digest(token))

    def _digest(self, token: str) -> bytes:
        return self._pepper.digest(f"dashboard session {token}")


def check_form(visitor: Visitor, sent: str) -> None:
    """Raises Forbidden unless a form comes from one of our own pages of this session."""
    if not hmac.compare_digest(visitor.form_token.encode(), sent.encode("utf-8", "replace")):
        raise Forbidden("this form is of another session; load the page again and repeat the step")


class Attempts:
    """Failed attempts to sign in, by address: a few at once, then slowly. Successes are never counted."""

    def __init__(self) -> None:
        # When an address's failures will all be forgiven; the one that failed last stands last.
        self._forgiven_at: OrderedDict[str, float] = OrderedDict()

    def check(self, address: str, now: float) -> None:
        """Raises RateLimited where an address has failed too often."""
        wait_s = self._forgiven_at.get(address, now) - now - (FAILURES - 1) * FORGIVEN_S
        if wait_s > 0:
            raise RateLimited("too many failed attempts to sign in from this address", retry_after_s=wait_s)

    def fail(self, address: str, now: float) -> None:
        """Count a failure; of too many addresses, the one that failed longest ago is forgotten."""
        self._forgiven_at[address] = max(self._forgiven_at.pop(address, now), now) + FORGIVEN_S
        if len(self._forgiven_at) > _ADDRESSES:
            self._forgiven_at.popitem(last=False)
