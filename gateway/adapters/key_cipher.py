"""Encryption of stored provider keys: AES-256-GCM, under keys that nothing else is done with.

The upstream's name and the key's version are authenticated along with each ciphertext. So whoever
writes to the database cannot move one to an upstream that would then be sent it, nor pass an old one
off as new; a whole old row put back does open. Nonces are 96
random bits: a collision would take some billions of keys set under one encryption key.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.domain.provider_key import SealedKey, StoredKey
from gateway.domain.secret import hint
from gateway.errors import ConfigurationError

_KEY_BYTES = 32
_NONCE_BYTES = 12
_PRINT_BYTES = 8


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """One encryption key, from the text that it is kept as."""

    text: str = field(repr=False)
    _cipher: AESGCM = field(init=False, repr=False, compare=False)
    _print_key: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = self.text.encode()
        # The text has 256 random bits, or as many as the operator gave it; each purpose has a key of its own.
        object.__setattr__(
            self, "_cipher", AESGCM(blake2b(text, digest_size=_KEY_BYTES, person=b"ponder encrypt").digest())
        )
        object.__setattr__(self, "_print_key", blake2b(text, digest_size=_KEY_BYTES, person=b"ponder print").digest())

    @property
    def fingerprint(self) -> str:
        """Tells encryption keys apart and nothing about them; stored in the database."""
        return self.print_of("")

    def print_of(self, secret: str) -> str:
        """A keyed digest: without this key nobody can try which secret it belongs to."""
        return blake2b(secret.encode(), digest_size=_PRINT_BYTES, key=self._print_key).hexdigest()

    def encrypt(self, secret: str, context: bytes) -> tuple[bytes, bytes]:
        """A fresh nonce and the ciphertext."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce, self._cipher.encrypt(nonce, secret.encode(), context)

    def decrypt(self, sealed: SealedKey, context: bytes) -> str:
        """The secret. Raises InvalidTag for anything that was not encrypted with this key in this context."""
        return self._cipher.decrypt(sealed.nonce, sealed.ciphertext, context).decode()


class KeyCipher:
    """Seals with the newest of some encryption keys, and opens what any of them sealed."""

    def __init__(self, keys: Sequence[EncryptionKey]) -> None:
        self._newest = keys[0]
        self._by_fingerprint = {key.fingerprint: key for key in keys}

    @property
    def newest(self) -> str:
        """The fingerprint of the key that seals."""
        return self._newest.fingerprint

    def knows(self, fingerprint: str) -> bool:
        """Whether what the encryption key of this fingerprint sealed can be opened."""
        return fingerprint in self._by_fingerprint

    def seal(self, upstream: str, version: int, secret: str) -> SealedKey:
        """A secret, encrypted for this version of this upstream's key."""
        key = self._newest
        nonce, ciphertext = key.encrypt(secret, _context(upstream, version))
        return SealedKey(nonce, ciphertext, key.fingerprint, key.print_of(secret), hint(secret))

    def open(self, stored: StoredKey) -> str:
        """The secret. Raises ConfigurationError when its encryption key is not here, or the row was tampered with."""
        sealed = stored.sealed
        key = self._by_fingerprint.get(sealed.encrypted_with)
        if key is None:
            raise ConfigurationError(
                f"upstreams.{stored.upstream}: its stored key is encrypted with another encryption key than this "
                f"machine's; give it the encryption.key of the others, or the same PONDER_ENCRYPTION_KEY; if it is "
                f"lost, set the key anew: ponder provider-keys set {stored.upstream}"
            )
        try:
            return key.decrypt(sealed, _context(stored.upstream, stored.version))
        except (InvalidTag, ValueError):  # a nonce of a wrong length is a ValueError
            raise ConfigurationError(
                f"upstreams.{stored.upstream}: its stored key was altered in the database and cannot be opened; "
                f"set it anew: ponder provider-keys set {stored.upstream}"
            ) from None

    def reseal(self, stored: StoredKey) -> SealedKey:
        """The same key of the same version, under the newest encryption key. Raises ConfigurationError as :meth:`open`.

        Its fingerprint stays, so that the audit log's entries still tell of it.
        """
        nonce, ciphertext = self._newest.encrypt(self.open(stored), _context(stored.upstream, stored.version))
        return SealedKey(nonce, ciphertext, self._newest.fingerprint, stored.sealed.fingerprint, stored.sealed.hint)


def _context(upstream: str, version: int) -> bytes:
    """What is authenticated along with a ciphertext; the version comes first, as a name may hold anything."""
    return f"ponder provider key {version} {upstream}".encode()
