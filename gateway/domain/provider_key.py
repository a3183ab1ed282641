"""Keys of model providers that are stored: sealed, with what may be known of one without opening it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.telemetry import iso_time


@dataclass(frozen=True, slots=True)
class SealedKey:
    """An encrypted key. ``encrypted_with`` is the fingerprint of the encryption key."""

    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    encrypted_with: str
    fingerprint: str
    """Tells whether two keys are one, to those who have both; a keyed digest, so that no key can be guessed by it."""
    hint: str
    """The last characters of a long key, for people to know it by."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """The key of one upstream. ``version`` is the number of the change that set it, so none comes back."""

    upstream: str
    version: int
    set_at: float
    sealed: SealedKey


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A key ready to be used."""

    version: int
    secret: str = field(repr=False)


def upstream_target(upstream: str) -> str:
    """What the audit log calls an upstream."""
    return f"upstream:{upstream}"


def provider_key_document(key: StoredKey) -> dict[str, Any]:
    """A key as the audit log keeps it: no part of the secret, only its fingerprint."""
    return {
        "upstream": key.upstream,
        "version": key.version,
        "fingerprint": key.sealed.fingerprint,
        "set_at": iso_time(key.set_at),
    }
