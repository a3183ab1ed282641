"""Stored keys of model providers: setting, removing and encrypting them anew. What is sealed is never opened here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.provider_key import SealedKey, StoredKey, provider_key_document, upstream_target
from gateway.domain.tenancy import Author
from gateway.errors import Conflict, NotFound
from gateway.store.changes import Changes
from gateway.store.tables import provider_keys


class Cipher(Protocol):
    """What seals; made anew for each change, since a rotation may have replaced the encryption key."""

    @property
    def newest(self) -> str: ...

    def knows(self, fingerprint: str) -> bool: ...

    def seal(self, upstream: str, version: int, secret: str) -> SealedKey: ...

    def reseal(self, stored: StoredKey) -> SealedKey: ...


class ProviderKeys:
    """The provider keys of a database, each named by its upstream."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def set(self, upstream: str, secret: str, cipher: Callable[[], Cipher], *, by: Author) -> StoredKey:
        """Store an upstream's key, in the place of one before it.

        The cipher is asked for within the change: so no rotation passes between reading the
        encryption key and keeping what it sealed. Raises Conflict when the keys that are stored were
        encrypted with a key that this machine does not have.
        """
        async with self._changes.begin(by) as change:
            connection = change.connection
            sealing = cipher()
            before = await _read(connection)
            strangers = [name for name, key in before.items() if not sealing.knows(key.sealed.encrypted_with)]
            if set(strangers) - {upstream}:
                raise Conflict(
                    f"the stored keys of {', '.join(sorted(strangers))} are encrypted with another encryption key than "
                    "this machine's; give it the encryption.key of the others, or the same PONDER_ENCRYPTION_KEY; if "
                    "it is lost, remove those keys first: ponder provider-keys remove"
                )
            key = StoredKey(upstream, change.number, by.at, sealing.seal(upstream, change.number, secret))
            await connection.execute(delete(provider_keys).where(provider_keys.c.upstream == upstream))
            await connection.execute(insert(provider_keys).values(_values(key)))
            await change.record(
                "provider_key.set",
                upstream_target(upstream),
                before=provider_key_document(before[upstream]) if upstream in before else None,
                after=provider_key_document(key),
            )
        return key

    async def remove(self, upstream: str, *, by: Author) -> StoredKey:
        """Forget an upstream's key. Raises NotFound."""
        async with self._changes.begin(by) as change:
            key = (await _read(change.connection)).get(upstream)
            if key is None:
                raise NotFound("no key is stored for an upstream of this name; GET /admin/provider-keys lists them")
            await change.connection.execute(delete(provider_keys).where(provider_keys.c.upstream == upstream))
            await change.record(
                "provider_key.remove", upstream_target(upstream), before=provider_key_document(key), after=None
            )
        return key

    async def reseal(self, cipher: Cipher, *, by: Author) -> int:
        """Encrypt all keys with the cipher's newest encryption key; returns how many were not yet.

        All in one transaction. Raises ConfigurationError for one that cannot be opened, and then none is changed.
        """
        async with self._changes.begin(by) as change:
            found = (await _read(change.connection)).values()
            due = [key for key in found if key.sealed.encrypted_with != cipher.newest]
            for key in due:
                fresh = StoredKey(key.upstream, key.version, key.set_at, cipher.reseal(key))
                mine = provider_keys.c.upstream == key.upstream
                await change.connection.execute(update(provider_keys).where(mine).values(_values(fresh)))
            if due:
                await change.record(
                    "encryption_key.rotate",
                    "encryption",
                    before={"fingerprints": sorted({key.sealed.encrypted_with for key in due})},
                    after={"fingerprint": cipher.newest, "upstreams": [key.upstream for key in due]},
                )
        return len(due)

    async def all(self) -> Mapping[str, StoredKey]:
        """Every stored key by its upstream, in the order of their names."""
        async with self._changes.reading() as connection:
            return await _read(connection)

    async def number(self) -> int:
        """The number of the last change of anything."""
        return await self._changes.number()


async def _read(connection: AsyncConnection) -> dict[str, StoredKey]:
    rows = (await connection.execute(select(provider_keys).order_by(provider_keys.c.upstream))).mappings()
    return {row["upstream"]: _key(row) for row in rows}


def _key(row: RowMapping) -> StoredKey:
    sealed = SealedKey(
        nonce=bytes(row["nonce"]),
        ciphertext=bytes(row["ciphertext"]),
        encrypted_with=row["encrypted_with"],
        fingerprint=row["fingerprint"],
        hint=row["hint"],
    )
    return StoredKey(row["upstream"], row["version"], row["set_at"], sealed)


def _values(key: StoredKey) -> dict[str, Any]:
    sealed = key.sealed
    return {
        "upstream": key.upstream,
        "version": key.version,
        "set_at": key.set_at,
        "nonce": sealed.nonce,
        "ciphertext": sealed.ciphertext,
        "encrypted_with": sealed.encrypted_with,
        "fingerprint": sealed.fingerprint,
        "hint": sealed.hint,
    }
