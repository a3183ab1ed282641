"""Providers' keys at hand: those stored in the database, opened, and followed as they change.

A key that is set, removed or encrypted anew anywhere is taken up within about a second. Opened keys
live in memory alone. While the database is away, or a key cannot be opened any more, the one opened
last serves on; one that never could be opened costs its own upstream's requests and nobody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from gateway.adapters.encryption_keys import EncryptionKeys
from gateway.adapters.key_cipher import KeyCipher
from gateway.domain.provider_key import OpenedKey, StoredKey
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.store.following import POLL_S, Following
from gateway.store.provider_keys import ProviderKeys


class Vault:
    """The stored keys of one database, as this process can open them."""

    def __init__(self, stored: ProviderKeys, encryption: EncryptionKeys, *, poll_s: float = POLL_S) -> None:
        self._stored = stored
        self._encryption = encryption
        self._number = -1
        self._turn = asyncio.Lock()
        self._on_change: Callable[[], None] | None = None
        self._following = Following("stored provider keys", self.refresh, poll_s=poll_s)
        self.opened: Mapping[str, OpenedKey] = {}
        """By upstream."""
        self.faults: Mapping[str, str] = {}
        """Why a stored key cannot be opened, by upstream."""

    async def start(self, on_change: Callable[[], None]) -> None:
        """Read all keys, then follow the database and tell of changes. Raises Unavailable or ConfigurationError."""
        await self.refresh()
        self._on_change = on_change
        self._following.start()

    async def close(self) -> None:
        """Stop following."""
        await self._following.close()

    async def refresh(self) -> None:
        """Take in what changed. Raises Unavailable or ConfigurationError when the database cannot be read."""
        async with self._turn:
            number = await self._stored.number()
            if number == self._number and not self.faults:
                return
            # The rows first: an encryption key is in its file before the first row that needs it.
            stored = await self._stored.all()
            before = self.opened
            self.opened, self.faults = self._open(stored)
            self._number = number
        if self.opened != before and self._on_change is not None:
            self._on_change()

    def _open(self, stored: Mapping[str, StoredKey]) -> tuple[dict[str, OpenedKey], dict[str, str]]:
        opened: dict[str, OpenedKey] = {}
        faults: dict[str, str] = {}
        try:
            cipher = self._encryption.to_open() if stored else None
        except ConfigurationError as fault:
            cipher, reason = None, fault.message
        else:
            reason = "there is no encryption key on this machine; give it the encryption.key of the others"
        for name, key in stored.items():
            try:
                opened[name] = OpenedKey(key.version, _secret(key, cipher, reason))
            except ConfigurationError as fault:
                faults[name] = fault.message
                known = self.opened.get(name)
                if known is not None and known.version == key.version:
                    opened[name] = known
        return opened, faults

    def degraded(self, settings: Settings) -> tuple[str, ...]:
        """Upstreams that have no key, or one that the next start could not open, in words for an operator."""
        return tuple(
            self.faults.get(name) or f"upstreams.{name}: no key is stored for it: ponder provider-keys set {name}"
            for name, upstream in settings.upstreams.items()
            if upstream.has_stored_key and (name in self.faults or name not in self.opened)
        )


def _secret(key: StoredKey, cipher: KeyCipher | None, reason: str) -> str:
    if cipher is None:
        raise ConfigurationError(f"upstreams.{key.upstream}: its stored key cannot be opened: {reason}")
    return cipher.open(key)
