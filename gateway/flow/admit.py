"""The first step: who is asking."""

from __future__ import annotations

from gateway.domain.key import Key, has_expired
from gateway.errors import Unauthenticated
from gateway.ports import KeyRing

_MAX_SECRET_LENGTH = 512


def admit(credential: str | None, keys: KeyRing, now: float) -> Key:
    """The key behind a credential, if it is valid at ``now``. Raises :class:`Unauthenticated`.

    That a key is revoked or expired is told to those who hold its whole secret, and to nobody else.
    """
    if not credential:
        raise Unauthenticated("no API key was sent; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'")
    key = keys.find(credential) if len(credential) <= _MAX_SECRET_LENGTH else None
    if key is None:
        raise Unauthenticated("the API key that was sent is not known here")
    if not key.is_active:
        raise Unauthenticated("the API key that was sent is revoked; ask whoever gave it to you for another")
    if has_expired(key, now):
        raise Unauthenticated("the API key that was sent has expired; ask whoever gave it to you for another")
    return key
