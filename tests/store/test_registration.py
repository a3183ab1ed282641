"""Tests of gateway/store/registration.py: whose database it is, and the first key."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.secret import Pepper, hint
from gateway.errors import ConfigurationError
from gateway.store.changes import Changes
from gateway.store.keys import Keys
from gateway.store.registration import DEFAULT, register
from tests.store.records import NOON
from tests.store.tenants import ADMIN

_PEPPER = Pepper("the pepper of this database")
_OTHER = Pepper("the pepper of another one")
_SECRET = "sk-ponder-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


async def _register(
    changes: Changes, pepper: Pepper = _PEPPER, secret: str = _SECRET, *, accepts: bool = False
) -> None:
    await register(changes, pepper, secret, now=NOON, accepts_new_pepper=accepts)


async def _actions(changes: Changes) -> list[str]:
    return [entry.action for entry in await changes.audit(limit=10)][::-1]


async def test_a_first_start_registers_pepper_and_key(changes: Changes) -> None:
    """The database knows the pepper, and the first key may use everything and override hints."""
    await _register(changes)
    assert await changes.pepper() == _PEPPER.fingerprint
    key = await Keys(changes).find(DEFAULT)
    assert (key.terms.name, key.terms.may_override, key.terms.role) == ("default", True, None)
    assert [(each.digest, each.hint) for each in key.secrets] == [(_PEPPER.digest(_SECRET), hint(_SECRET))]
    assert await _actions(changes) == ["pepper.set", "key.create"]


async def test_later_starts_change_nothing(changes: Changes) -> None:
    """However often, and however many at once, one key and one secret are made."""
    await asyncio.gather(*(_register(changes) for _ in range(5)))
    await _register(changes)
    assert await _actions(changes) == ["pepper.set", "key.create"]


async def test_another_home_adds_its_secret(changes: Changes) -> None:
    """A second machine with the same pepper gives the first key one more secret."""
    await _register(changes)
    await _register(changes, secret="sk-ponder-of-another-home")
    assert len((await Keys(changes).find(DEFAULT)).secrets) == 2
    assert await _actions(changes) == ["pepper.set", "key.create", "key.add_secret"]


async def test_a_revoked_first_key_stays_revoked(changes: Changes) -> None:
    """Neither a restart nor a new home brings the first key back."""
    await _register(changes)
    await Keys(changes).revoke(DEFAULT, by=ADMIN)
    await _register(changes)
    await _register(changes, secret="sk-ponder-of-another-home")
    assert (await Keys(changes).find(DEFAULT)).revoked_at == NOON


async def test_a_foreign_pepper_is_refused(changes: Changes) -> None:
    """A start whose pepper fits no stored key ends with what to do, and changes nothing."""
    await _register(changes)
    with pytest.raises(ConfigurationError, match="PONDER_PEPPER") as refused:
        await _register(changes, _OTHER)
    assert "the pepper of" not in refused.value.message
    assert await changes.pepper() == _PEPPER.fingerprint
    assert await _actions(changes) == ["pepper.set", "key.create"]


async def test_a_lost_pepper_is_replaced_on_demand(changes: Changes) -> None:
    """With the explicit word the new pepper is taken, on record, and keys can be given new secrets."""
    await _register(changes)
    await _register(changes, _OTHER, accepts=True)
    assert await changes.pepper() == _OTHER.fingerprint
    assert await _actions(changes) == ["pepper.set", "key.create", "pepper.set", "key.add_secret"]
    with pytest.raises(ConfigurationError):
        await _register(changes)
