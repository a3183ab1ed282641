"""Tests of gateway/store/provider_keys.py, with the real cipher."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from gateway.adapters.key_cipher import EncryptionKey, KeyCipher
from gateway.errors import ConfigurationError, Conflict, NotFound
from gateway.store.changes import Changes
from gateway.store.provider_keys import ProviderKeys
from tests.store.tenants import ADMIN

SECRET, OTHER = "sk-canary-0123456789abcdefghij", "sk-canary-9876543210jihgfedcba"
OLD = KeyCipher([EncryptionKey("o" * 32)])
NEW = KeyCipher([EncryptionKey("n" * 32)])
BOTH = KeyCipher([EncryptionKey("n" * 32), EncryptionKey("o" * 32)])


@pytest.fixture
def stored(changes: Changes) -> ProviderKeys:
    """The provider keys in the database."""
    return ProviderKeys(changes)


async def test_a_key_is_set_replaced_and_removed(stored: ProviderKeys, changes: Changes) -> None:
    """A key comes back as it was set; a second one takes its place under a higher version; removed it is gone."""
    first = await stored.set("acme", SECRET, lambda: OLD, by=ADMIN)
    assert await stored.all() == {"acme": first}
    second = await stored.set("acme", OTHER, lambda: OLD, by=ADMIN)
    assert second.version > first.version
    found = await stored.all()
    assert found == {"acme": second}
    assert OLD.open(found["acme"]) == OTHER
    assert second.version == await changes.number()
    assert await stored.remove("acme", by=ADMIN) == second
    assert await stored.all() == {}
    with pytest.raises(NotFound, match="provider-keys"):
        await stored.remove("acme", by=ADMIN)
    assert (await stored.set("acme", SECRET, lambda: OLD, by=ADMIN)).version > second.version


async def test_the_audit_log_holds_fingerprints_only(stored: ProviderKeys, changes: Changes) -> None:
    """Setting, replacing, removing and encrypting anew each leave one entry, with no part of a key in it."""
    await stored.set("acme", SECRET, lambda: OLD, by=ADMIN)
    await stored.set("acme", OTHER, lambda: OLD, by=ADMIN)
    await stored.reseal(BOTH, by=ADMIN)
    await stored.remove("acme", by=ADMIN)
    entries = await changes.audit(limit=10)
    assert [entry.action for entry in entries] == [
        "provider_key.remove", "encryption_key.rotate", "provider_key.set", "provider_key.set",
    ]  # fmt: skip
    before, after = entries[2].before, entries[2].after
    assert before is not None
    assert after is not None
    assert before.keys() == after.keys() == {"upstream", "version", "fingerprint", "set_at"}
    assert before["fingerprint"] != after["fingerprint"]
    assert entries[1].after == {"fingerprint": NEW.newest, "upstreams": ["acme"]}
    assert not [part for part in (SECRET, OTHER, SECRET[-4:], OTHER[-4:]) if part in repr(entries)]


async def test_no_row_holds_the_key_in_clear(stored: ProviderKeys, changes: Changes) -> None:
    """Whoever reads the table reads ciphertext, a fingerprint and the last four characters."""
    await stored.set("acme", SECRET, lambda: OLD, by=ADMIN)
    async with changes.reading() as connection:
        (row,) = (await connection.execute(text("SELECT * FROM provider_keys"))).all()
    assert SECRET not in repr(row)
    assert SECRET[:-4].encode() not in b"".join(bytes(value) for value in row if isinstance(value, bytes | memoryview))


async def test_all_keys_are_encrypted_anew_at_once(stored: ProviderKeys) -> None:
    """A rotation keeps secrets, versions and dates, needs the old key no more, and has nothing to do a second time."""
    for name in ("acme", "beta", "gamma"):
        await stored.set(name, f"{SECRET}{name}", lambda: OLD, by=ADMIN)
    before = await stored.all()
    assert await stored.reseal(BOTH, by=ADMIN) == 3
    after = await stored.all()
    assert {name: NEW.open(key) for name, key in after.items()} == {name: f"{SECRET}{name}" for name in before}
    assert {name: replace(key, sealed=before[name].sealed) for name, key in after.items()} == before
    number = await stored.number()
    assert await stored.reseal(BOTH, by=ADMIN) == 0
    assert await stored.number() == number


async def test_a_rotation_is_whole_or_nothing(stored: ProviderKeys) -> None:
    """One key that cannot be opened leaves all of them as they were."""
    await stored.set("acme", SECRET, lambda: OLD, by=ADMIN)
    await stored.set("beta", SECRET, lambda: BOTH, by=ADMIN)
    before = await stored.all()
    stranger = KeyCipher([EncryptionKey("s" * 32), EncryptionKey("o" * 32)])
    with pytest.raises(ConfigurationError, match="another encryption key"):
        await stored.reseal(stranger, by=ADMIN)
    assert await stored.all() == before


async def test_a_machine_without_the_encryption_key_adds_nothing(stored: ProviderKeys) -> None:
    """Two machines cannot encrypt with keys of their own side by side; a single key that is lost can be replaced."""
    await stored.set("acme", SECRET, lambda: OLD, by=ADMIN)
    with pytest.raises(Conflict, match=r"keys of acme are encrypted with another encryption key.*encryption\.key"):
        await stored.set("beta", SECRET, lambda: NEW, by=ADMIN)
    assert list(await stored.all()) == ["acme"]
    replaced = await stored.set("acme", OTHER, lambda: NEW, by=ADMIN)
    assert NEW.open(replaced) == OTHER
