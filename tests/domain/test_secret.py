"""Tests of gateway/domain/secret.py."""

from __future__ import annotations

import pytest

from gateway.domain.secret import Pepper, hint

_PEPPER = Pepper("a pepper of some length")
_OTHER = Pepper("another pepper of length")
_SECRET = "sk-ponder-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


def test_a_digest_depends_on_secret_and_pepper() -> None:
    """The same secret under the same pepper has the same 256 bits; anything else has others."""
    digest = _PEPPER.digest(_SECRET)
    assert digest == Pepper("a pepper of some length").digest(_SECRET)
    assert len(digest) == 32
    assert len({digest, _OTHER.digest(_SECRET), _PEPPER.digest(_SECRET[:-1]), _PEPPER.digest("\ud800")}) == 4


def test_a_fingerprint_tells_peppers_apart_and_shows_none() -> None:
    """Peppers have fingerprints of their own, and neither those nor a representation hold the pepper."""
    assert _PEPPER.fingerprint != _OTHER.fingerprint
    assert "pepper of some" not in repr(_PEPPER) + _PEPPER.fingerprint
    assert bytes.fromhex(_PEPPER.fingerprint) not in _PEPPER.digest("fingerprint")


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        (_SECRET, "sk-ponder-…DEFG"),
        ("sk-1", "…"),
        ("a-secret-of-somebody-else-1234", "…1234"),
        ("sk-ponder-12", "sk-ponder-…"),
    ],
)
def test_a_hint_shows_no_more_than_four_characters(secret: str, expected: str) -> None:
    """Of a long secret the last four show, of a short one nothing but our prefix."""
    assert hint(secret) == expected
