"""Tests of gateway/adapters/encryption_keys.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.encryption_keys import EncryptionKeys
from gateway.adapters.key_cipher import KeyCipher
from gateway.domain.provider_key import StoredKey
from gateway.errors import ConfigurationError


class Killed(BaseException):
    """The end of a process in the middle of its work."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the key is kept."""
    return tmp_path / "encryption.key"


def _sealed(cipher: KeyCipher) -> StoredKey:
    return StoredKey("acme", 1, 0.0, cipher.seal("acme", 1, "sk-1"))


def _rotate_and_die(keys: EncryptionKeys, newest: list[str]) -> None:
    with keys.rotation() as cipher:
        assert cipher is not None
        newest.append(cipher.newest)
        raise Killed


def test_the_first_sealing_makes_the_key(path: Path) -> None:
    """Looking makes no key; sealing makes one for its owner's eyes, and later ones take it."""
    keys = EncryptionKeys(path)
    assert keys.to_open() is None
    assert not path.exists()
    stored = _sealed(keys.to_seal())
    assert path.stat().st_mode & 0o777 == 0o600
    opened = EncryptionKeys(path).to_open()
    assert opened is not None
    assert opened.open(stored) == "sk-1"


def test_a_rotation_leaves_one_new_key(path: Path) -> None:
    """While it runs both keys open and the new one seals, in this process and in others; then the old one is gone."""
    keys, others = EncryptionKeys(path), EncryptionKeys(path)
    old = _sealed(keys.to_seal())
    with keys.rotation() as cipher:
        assert cipher is not None
        assert cipher.open(old) == "sk-1"
        assert others.to_seal().newest == cipher.newest != old.sealed.encrypted_with
        assert path.stat().st_mode & 0o777 == 0o600
    after = others.to_open()
    assert after is not None
    assert after.newest == cipher.newest
    assert not after.knows(old.sealed.encrypted_with)
    assert path.stat().st_mode & 0o777 == 0o600
    assert {each.name for each in path.parent.iterdir()} == {"encryption.key", "encryption.lock"}


def test_a_rotation_goes_on_where_one_was_killed(path: Path) -> None:
    """A killed rotation leaves both keys; the next one makes no third, and ends with the second alone."""
    keys = EncryptionKeys(path)
    old = keys.to_seal().newest
    newest: list[str] = []
    for _ in range(3):
        with pytest.raises(Killed):
            _rotate_and_die(keys, newest)
        left = EncryptionKeys(path).to_open()
        assert left is not None
        assert left.knows(old)
    with keys.rotation() as cipher:
        assert cipher is not None
        newest.append(cipher.newest)
    assert len(set(newest)) == 1
    assert len(path.read_text().split()) == 1


def test_two_rotations_at_once_are_refused(path: Path) -> None:
    """The second one is told to wait, and changes nothing."""
    keys = EncryptionKeys(path)
    keys.to_seal()
    with keys.rotation():
        before = path.read_text()
        with pytest.raises(ConfigurationError, match="another rotation"), EncryptionKeys(path).rotation():
            pass
        assert path.read_text() == before


def test_without_a_key_there_is_nothing_to_rotate(path: Path) -> None:
    """A rotation before the first use makes no key."""
    with EncryptionKeys(path).rotation() as cipher:
        assert cipher is None
    assert not path.exists()


def test_keys_of_the_environment_go_before_the_file(path: Path) -> None:
    """They are used as they are, no file is made, and to rotate a single one is explained."""
    one = EncryptionKeys(path, ("a" * 24,))
    stored = _sealed(one.to_seal())
    with pytest.raises(ConfigurationError, match="PONDER_ENCRYPTION_KEY=NEW,OLD"), one.rotation():
        pass
    with EncryptionKeys(path, ("b" * 24, "a" * 24)).rotation() as cipher:
        assert cipher is not None
        assert cipher.open(stored) == "sk-1"
        assert cipher.newest != stored.sealed.encrypted_with
    assert not path.exists()


def test_a_file_open_to_others_is_refused(path: Path) -> None:
    """A key that others can read encrypts nothing."""
    EncryptionKeys(path).to_seal()
    path.chmod(0o644)
    for act in (EncryptionKeys(path).to_seal, EncryptionKeys(path).to_open):
        with pytest.raises(ConfigurationError, match="chmod 600"):
            act()
