"""The first step: who is asking."""

from __future__ import annotations

from gateway.domain.key import Key
from gateway.errors import Unauthenticated
from gateway.ports import KeyRing

_MAX_SECRET_LENGTH = 512


def admit(credential: str | None, keys: KeyRing) -> Key:
    """The key behind a credential. Raises :class:`Unauthenticated`."""
    if not credential:
        raise Unauthenticated("no API key was sent; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'")
    key = keys.find(credential) if len(credential) <= _MAX_SECRET_LENGTH else None
    if key is None:
        raise Unauthenticated("the API key that was sent is not known here")
    return key
