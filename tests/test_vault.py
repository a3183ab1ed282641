"""Stored provider keys at hand: followed as they change, kept while they cannot be read, apart from one another."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.adapters.encryption_keys import EncryptionKeys
from gateway.domain.key import Role
from gateway.domain.tenancy import Author
from gateway.settings import Settings
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.provider_keys import ProviderKeys
from gateway.store.schema import upgrade
from gateway.vault import Vault
from tests.adapters.journal.samples import until

BY = Author("admin", Role.ADMIN, 1_795_000_000.0)
SETTINGS = Settings.model_validate(
    {"upstreams": {name: {"kind": "openai", "api_key": "stored"} for name in ("acme", "beta")}}
)


@pytest.fixture
async def changes(tmp_path: Path) -> AsyncIterator[Changes]:
    """The changes of a new database."""
    url = f"sqlite:///{tmp_path}/ponder.db"
    await upgrade(url)
    changes = Changes(locate(url))
    yield changes
    await changes.close()


@pytest.fixture
def encryption(tmp_path: Path) -> EncryptionKeys:
    """This machine's encryption keys."""
    return EncryptionKeys(tmp_path / "encryption.key")


@pytest.fixture
def stored(changes: Changes) -> ProviderKeys:
    """The stored keys."""
    return ProviderKeys(changes)


def _secrets(vault: Vault) -> dict[str, str]:
    return {name: key.secret for name, key in vault.opened.items()}


async def test_changes_elsewhere_are_followed(stored: ProviderKeys, encryption: EncryptionKeys) -> None:
    """A key that is set, replaced or removed by another process is taken up, and told of, once each."""
    told = []
    vault = Vault(stored, encryption, poll_s=0.01)
    await vault.start(lambda: told.append(_secrets(vault)))
    assert vault.opened == {}
    await stored.set("acme", "sk-1", encryption.to_seal, by=BY)
    await until(lambda: _secrets(vault) == {"acme": "sk-1"})
    await stored.set("acme", "sk-2", encryption.to_seal, by=BY)
    await until(lambda: _secrets(vault) == {"acme": "sk-2"})
    await stored.remove("acme", by=BY)
    await until(lambda: not vault.opened)
    await vault.close()
    assert told == [{"acme": "sk-1"}, {"acme": "sk-2"}, {}]


async def test_a_fault_of_ours_does_not_end_the_following(
    stored: ProviderKeys, encryption: EncryptionKeys, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong once in taking up a key is in the log, without the key, and the next one is taken up."""
    faults = [KeyError("a fault of ours"), None]

    def told() -> None:
        fault = faults.pop(0)
        if fault is not None:
            raise fault

    vault = Vault(stored, encryption, poll_s=0.01)
    await vault.start(told)
    await stored.set("acme", "sk-1", encryption.to_seal, by=BY)
    await until(lambda: "cannot be followed" in caplog.text)
    await stored.set("acme", "sk-2", encryption.to_seal, by=BY)
    await until(lambda: not faults)
    assert _secrets(vault) == {"acme": "sk-2"}
    assert "sk-1" not in caplog.text
    await vault.close()


async def test_a_rotation_is_followed_without_a_change_of_keys(
    stored: ProviderKeys, encryption: EncryptionKeys
) -> None:
    """Encrypted anew, keys are what they were: nobody is told, and no upstream is made anew."""
    await stored.set("acme", "sk-1", encryption.to_seal, by=BY)
    told: list[None] = []
    vault = Vault(stored, encryption)
    await vault.start(lambda: told.append(None))
    before = vault.opened
    with encryption.rotation() as cipher:
        assert cipher is not None
        await vault.refresh()
        await stored.reseal(cipher, by=BY)
        await vault.refresh()
    await vault.refresh()
    await vault.close()
    assert (vault.opened, vault.faults, told) == (before, {}, [])


async def test_a_key_that_cannot_be_opened_costs_its_own_upstream(
    stored: ProviderKeys, encryption: EncryptionKeys, tmp_path: Path
) -> None:
    """An altered row is named with its remedy; the others open, and what is missing is told per upstream."""
    for name in ("acme", "beta"):
        await stored.set(name, f"sk-{name}", encryption.to_seal, by=BY)
    with sqlite3.connect(tmp_path / "ponder.db") as database:
        database.execute("UPDATE provider_keys SET version = version + 100 WHERE upstream = 'acme'")
    database.close()
    vault = Vault(stored, encryption)
    await vault.refresh()
    assert _secrets(vault) == {"beta": "sk-beta"}
    (state,) = vault.degraded(SETTINGS)
    assert "upstreams.acme: its stored key was altered" in state
    await stored.remove("acme", by=BY)
    await vault.refresh()
    assert vault.degraded(SETTINGS) == ("upstreams.acme: no key is stored for it: ponder provider-keys set acme",)


async def test_a_lost_encryption_key_is_told_and_the_open_ones_serve_on(
    stored: ProviderKeys, encryption: EncryptionKeys, tmp_path: Path
) -> None:
    """What was opened before stays in use, told as degraded; a start without the encryption key opens nothing."""
    await stored.set("acme", "sk-1", encryption.to_seal, by=BY)
    vault = Vault(stored, encryption)
    await vault.refresh()
    (tmp_path / "encryption.key").rename(tmp_path / "elsewhere")
    await stored.set("acme", "sk-1", EncryptionKeys(tmp_path / "elsewhere").to_seal, by=BY)
    await stored.set("beta", "sk-2", EncryptionKeys(tmp_path / "elsewhere").to_seal, by=BY)
    await vault.refresh()
    assert vault.opened == {}
    assert len(vault.degraded(SETTINGS)) == 2
    assert "give it the encryption.key of the others" in vault.degraded(SETTINGS)[0]
    (tmp_path / "elsewhere").rename(tmp_path / "encryption.key")
    await vault.refresh()
    assert _secrets(vault) == {"acme": "sk-1", "beta": "sk-2"}
    (tmp_path / "encryption.key").rename(tmp_path / "elsewhere")
    await stored.remove("beta", by=BY)
    await vault.refresh()
    assert _secrets(vault) == {"acme": "sk-1"}
    assert "acme" in vault.faults
