"""Salts that keep the caches of tenants apart on servers they share."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hashlib import blake2b

_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Salts:
    """One salt for each key, the same in every process that has the same secret; nobody else can tell it.

    A prompt that a server answers faster because somebody sent it before tells whoever may guess the salt that
    somebody did (https://docs.vllm.ai/en/stable/design/prefix_caching.html).
    """

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def of(self, key_id: str, *apart: str) -> str:
        """The salt of a key, or that of one of its uses, whose caches are to be kept ``apart`` from its others."""
        return blake2b(
            "\0".join((key_id, *apart)).encode(), digest_size=_SALT_BYTES, key=self.secret[:64], person=b"ponder salt"
        ).hexdigest()
