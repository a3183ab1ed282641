"""Secrets of keys: only a keyed digest of one is ever kept, and a hint for people to tell them apart.

A secret has 256 random bits, so its digest cannot be searched, and a slow password hash would buy
nothing and cost every request. The pepper keeps a copied database from telling which key a secret
that turns up somewhere belongs to, and from taking in digests of an intruder's own making.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

PREFIX = "sk-ponder-"
_DIGEST_BYTES = 32
_SHOWN_FROM = 24
"""A secret shorter than this was made by somebody else; four characters would be too much of it."""


@dataclass(frozen=True, slots=True)
class Pepper:
    """The key that all digests of one database are made with."""

    text: str = field(repr=False)
    _key: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", blake2b(self.text.encode(), person=b"ponder pepper").digest())

    def digest(self, secret: str) -> bytes:
        """What is kept of a secret."""
        return blake2b(secret.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES, key=self._key).digest()

    @property
    def fingerprint(self) -> str:
        """Tells peppers apart and nothing about them; stored in the database."""
        return blake2b(b"fingerprint", digest_size=16, key=self._key, person=b"ponder pepper").hexdigest()


def hint(secret: str) -> str:
    """Enough of a secret for people to recognise it: ``sk-ponder-…wxyz``."""
    prefix = PREFIX if secret.startswith(PREFIX) else ""
    return f"{prefix}…{secret[-4:] if len(secret) >= _SHOWN_FROM else ''}"
