"""Tests of gateway/adapters/key_cipher.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.key_cipher import EncryptionKey, KeyCipher
from gateway.domain.provider_key import OpenedKey, SealedKey, StoredKey
from gateway.errors import ConfigurationError

SECRET = "sk-canary-0123456789abcdefghij"
OLD, NEW = EncryptionKey("o" * 32), EncryptionKey("n" * 32)


def _stored(sealed: SealedKey, upstream: str = "acme", version: int = 7) -> StoredKey:
    return StoredKey(upstream, version, 0.0, sealed)


@given(upstream=st.text(), version=st.integers(0, 2**63 - 1), secret=st.text(st.characters(codec="utf-8"), min_size=1))
def test_what_is_sealed_opens(upstream: str, version: int, secret: str) -> None:
    """Any secret of any upstream and version comes back."""
    cipher = KeyCipher([NEW])
    assert cipher.open(_stored(cipher.seal(upstream, version, secret), upstream, version)) == secret


@pytest.mark.parametrize(
    "altered",
    [
        lambda key: replace(key, upstream="other"),
        lambda key: replace(key, version=6),
        lambda key: replace(key, sealed=replace(key.sealed, ciphertext=b"\x00" + key.sealed.ciphertext[1:])),
        lambda key: replace(key, sealed=replace(key.sealed, ciphertext=key.sealed.ciphertext[:-1])),
        lambda key: replace(key, sealed=replace(key.sealed, ciphertext=b"")),
        lambda key: replace(key, sealed=replace(key.sealed, nonce=bytes(12))),
        lambda key: replace(key, sealed=replace(key.sealed, nonce=b"")),
    ],
    ids=["upstream", "version", "flipped", "cut", "emptied", "nonce", "no nonce"],
)
def test_what_was_altered_does_not_open(altered: Callable[[StoredKey], StoredKey]) -> None:
    """A row moved to another upstream or version, or changed in any byte, is refused, naming what to do."""
    cipher = KeyCipher([NEW])
    with pytest.raises(ConfigurationError, match=r"was altered in the database.*provider-keys set") as refused:
        cipher.open(altered(_stored(cipher.seal("acme", 7, SECRET))))
    assert SECRET not in refused.value.message


def test_another_encryption_key_does_not_open() -> None:
    """Without the encryption key that sealed it, a row is refused with what would help; the old one of two will do."""
    stored = _stored(KeyCipher([OLD]).seal("acme", 7, SECRET))
    with pytest.raises(ConfigurationError, match="another encryption key than this machine's"):
        KeyCipher([NEW]).open(stored)
    assert KeyCipher([NEW, OLD]).open(stored) == SECRET


def test_the_newest_key_seals_and_reseals() -> None:
    """Of two keys the first one seals; a row sealed anew opens with it alone, and keeps what people know it by."""
    both = KeyCipher([NEW, OLD])
    assert both.seal("acme", 7, SECRET).encrypted_with == NEW.fingerprint == both.newest
    old = _stored(KeyCipher([OLD]).seal("acme", 7, SECRET))
    fresh = replace(old, sealed=both.reseal(old))
    assert KeyCipher([NEW]).open(fresh) == SECRET
    assert (fresh.sealed.fingerprint, fresh.sealed.hint) == (old.sealed.fingerprint, old.sealed.hint)
    assert fresh.sealed.ciphertext != old.sealed.ciphertext


def test_nothing_repeats_and_nothing_tells() -> None:
    """One secret sealed twice gives two ciphertexts and one fingerprint, which depends on the encryption key."""
    first, second = (KeyCipher([NEW]).seal("acme", 7, SECRET) for _ in range(2))
    assert first.nonce != second.nonce
    assert first.ciphertext != second.ciphertext
    assert first.fingerprint == second.fingerprint != KeyCipher([OLD]).seal("acme", 7, SECRET).fingerprint
    assert first.hint == "…ghij"
    assert KeyCipher([NEW]).seal("acme", 7, "short").hint == "…"
    shown = repr([first, NEW, OpenedKey(7, SECRET), _stored(first)])
    assert SECRET not in shown
    assert NEW.text not in shown
    assert "ciphertext" not in shown
