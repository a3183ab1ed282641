"""Tests of gateway/flow/admit.py."""

from __future__ import annotations

import pytest

from gateway.domain.key import Key
from gateway.errors import Unauthenticated
from gateway.flow.admit import admit


class _Ring:
    """Knows four secrets, and takes note of what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._keys = {
            "valid": Key("k1", "k1"),
            "revoked": Key("k2", "k2", is_active=False),
            "ending": Key("k3", "k3", expires_at=100.0),
            "both": Key("k4", "k4", expires_at=1.0, is_active=False),
        }

    def find(self, secret: str) -> Key | None:
        self.asked.append(secret)
        return self._keys.get(secret)


def test_a_valid_key_is_admitted_until_its_expiry() -> None:
    """A key without expiry is admitted at any time, one with it until just before."""
    ring = _Ring()
    assert admit("valid", ring, 1e9).id == "k1"
    assert admit("ending", ring, 99.999).id == "k3"


@pytest.mark.parametrize(
    ("credential", "words"),
    [
        (None, "no API key was sent"),
        ("", "no API key was sent"),
        ("stranger", "not known here"),
        ("revoked", "is revoked"),
        ("ending", "has expired"),
        ("both", "is revoked"),
    ],
)
def test_refusals_say_why_to_those_who_hold_the_key(credential: str | None, words: str) -> None:
    """Whoever sends a whole secret is told that it is revoked or expired; nobody else learns that such a key exists."""
    with pytest.raises(Unauthenticated, match=words):
        admit(credential, _Ring(), 100.0)


def test_an_overlong_credential_costs_no_digest() -> None:
    """A credential longer than any secret is refused without looking for it."""
    ring = _Ring()
    with pytest.raises(Unauthenticated, match="not known here"):
        admit("x" * 513, ring, 0.0)
    assert not ring.asked
