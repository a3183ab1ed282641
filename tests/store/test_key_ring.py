"""Tests of gateway/store/key_ring.py: what it knows, how it follows, and what it does without a database."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.domain.key import Key, Role
from gateway.domain.limits import Limits
from gateway.domain.secret import Pepper, hint
from gateway.domain.tenancy import KeyTerms, TeamTerms, to_key
from gateway.errors import Unavailable
from gateway.store.base import Database, locate, open_async
from gateway.store.changes import Changes
from gateway.store.key_ring import ADMIN as ADMIN_KEY
from gateway.store.key_ring import POLL_S, StoredKeyRing
from gateway.store.keys import Keys, NewSecret
from gateway.store.teams import Teams
from tests.store.records import NOON
from tests.store.relay import Relay
from tests.store.tenants import ADMIN, FULL_KEY, FULL_TEAM

_PEPPER = Pepper("a pepper for the tests")
_ADMIN_SECRET = "sk-ponder-admin"
_QUICK_S = 0.01


def _stored(secret: str) -> NewSecret:
    return NewSecret(_PEPPER.digest(secret), hint(secret))


def _ring(changes: Changes, *, max_age_s: float | None = None) -> StoredKeyRing:
    return StoredKeyRing(changes, _PEPPER, _ADMIN_SECRET, max_age_s=max_age_s, poll_s=_QUICK_S)


@pytest.fixture
async def ring(changes: Changes) -> StoredKeyRing:
    """A ring that has read, and reads again when it is told to."""
    ring = _ring(changes)
    await ring.refresh()
    return ring


@pytest.fixture
def keys(changes: Changes) -> Keys:
    """The keys in the database."""
    return Keys(changes)


def test_a_change_is_noticed_well_within_a_second() -> None:
    """Two looks at the database fit into the second that revocation may take."""
    assert 2 * POLL_S < 1


async def test_a_key_is_found_by_its_whole_secret(ring: StoredKeyRing, keys: Keys, changes: Changes) -> None:
    """The key found carries its own terms and its team's; any other secret finds nothing."""
    team = await Teams(changes).create("team_1", FULL_TEAM, by=ADMIN)
    issued = await keys.create("key_1", replace(FULL_KEY, team_id="red"), _stored("secret-1"), by=ADMIN)
    await ring.refresh()
    assert ring.find("secret-1") == to_key(issued, team, issued.secrets[0])
    assert [ring.find(wrong) for wrong in ("secret-", "secret-11", "SECRET-1", "", "\ud800", "\x00")] == [None] * 6


async def test_a_key_is_found_by_its_id(ring: StoredKeyRing, keys: Keys) -> None:
    """Whichever of its secrets is still good, and revoked ones too, as what they are; admin.key has no such id."""
    await keys.create("key_1", KeyTerms("one"), _stored("first"), by=ADMIN)
    await keys.rotate("key_1", _stored("second"), grace_s=60, by=ADMIN)
    await ring.refresh()
    found = ring.find_by_id("key_1")
    assert found is not None
    assert (found, found.expires_at) == (ring.find("second"), None)
    assert [ring.find_by_id(wrong) for wrong in ("one", "first", "", "admin")] == [None] * 4
    await keys.revoke("key_1", by=ADMIN)
    await ring.refresh()
    revoked = ring.find_by_id("key_1")
    assert revoked is not None
    assert not revoked.is_active


async def test_another_pepper_finds_nothing(keys: Keys, changes: Changes) -> None:
    """A digest made with another pepper is another digest: a copied database opens nothing elsewhere."""
    await keys.create("key_1", KeyTerms("one"), _stored("secret-1"), by=ADMIN)
    other = StoredKeyRing(changes, Pepper("another pepper for tests"), _ADMIN_SECRET, max_age_s=None)
    await other.refresh()
    assert other.find("secret-1") is None


async def test_the_admin_key_administers_and_calls_nothing(ring: StoredKeyRing) -> None:
    """The key of admin.key is in no table, has the role admin, and may use no model."""
    found = ring.find(_ADMIN_SECRET)
    assert found is ADMIN_KEY
    assert found.role is Role.ADMIN
    assert all(scope.models is not None and not scope.models.patterns for scope in found.scopes)


async def test_changes_arrive_with_the_next_look(ring: StoredKeyRing, keys: Keys, changes: Changes) -> None:
    """What is made, changed, rotated or revoked elsewhere, teams included, is so here after the next look."""
    await Teams(changes).create("team_1", TeamTerms("red"), by=ADMIN)
    await keys.create("key_1", KeyTerms("one", team_id="red"), _stored("first"), by=ADMIN)
    await keys.create("key_2", KeyTerms("two"), _stored("other"), by=ADMIN)
    await ring.refresh()
    await Teams(changes).amend(
        "red", lambda terms: replace(terms, limits=Limits(concurrency=1)), action="team.amend", by=ADMIN
    )
    assert _found(ring, "first").accounts[1].limits == Limits()
    await ring.refresh()
    assert _found(ring, "first").accounts[1].limits == Limits(concurrency=1)
    await keys.rotate("key_1", _stored("second"), grace_s=5, by=ADMIN)
    await ring.refresh()
    assert _found(ring, "first").expires_at == NOON + 5
    assert _found(ring, "second").expires_at is None
    await keys.revoke("key_1", by=ADMIN)
    await ring.refresh()
    assert not _found(ring, "second").is_active
    assert not _found(ring, "first").is_active
    assert _found(ring, "other").is_active


def _found(ring: StoredKeyRing, secret: str) -> Key:
    key = ring.find(secret)
    assert key is not None
    return key


async def test_a_digest_that_is_gone_opens_nothing(ring: StoredKeyRing, keys: Keys, database: Database) -> None:
    """A secret that an operator removed from the database by hand is unknown once its key was touched."""
    await keys.create("key_1", KeyTerms("one"), _stored("first"), by=ADMIN)
    await ring.refresh()
    engine = open_async(database, connections=1)
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM key_secrets"))
    await engine.dispose()
    await keys.rotate("key_1", _stored("second"), grace_s=0, by=ADMIN)
    await ring.refresh()
    assert ring.find("first") is None
    assert ring.find("second") is not None


async def test_many_keys_are_read(ring: StoredKeyRing, keys: Keys) -> None:
    """More keys than are built at once are all there."""
    for number in range(300):
        await keys.create(f"key_{number}", KeyTerms(f"k{number}"), _stored(f"secret-{number}"), by=ADMIN)
    await ring.refresh()
    assert [_found(ring, f"secret-{number}").id for number in range(300)] == [f"key_{n}" for n in range(300)]
    assert ring.state.keys == 300


async def _until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not claim():  # noqa: ASYNC110 - a state of the ring, which tells nobody
            await asyncio.sleep(_QUICK_S)


@asynccontextmanager
async def _behind_relay(relay: Relay, name: str, *, max_age_s: float | None) -> AsyncIterator[StoredKeyRing]:
    changes = Changes(locate(f"postgresql://postgres@/{name}?host={relay.folder}"))
    ring = _ring(changes, max_age_s=max_age_s)
    await ring.start()
    try:
        yield ring
    finally:
        await ring.close()
        await changes.close()


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_an_outage_is_outlived(keys: Keys, relay: Relay, database: Database) -> None:
    """While the database is away the keys last read serve on, and say so; what changed meanwhile follows after it."""
    await keys.create("key_1", KeyTerms("one"), _stored("first"), by=ADMIN)
    async with _behind_relay(relay, str(database.url.database), max_age_s=None) as ring:
        assert ring.state.last_error is None
        await relay.cut()
        await _until(lambda: ring.state.last_error is not None)
        assert _found(ring, "first").is_active
        assert not ring.state.is_shut
        await keys.revoke("key_1", by=ADMIN)
        await relay.mend()
        await _until(lambda: ring.state.last_error is None)
        assert not _found(ring, "first").is_active


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_an_outage_longer_than_allowed_shuts_the_ring(keys: Keys, relay: Relay, database: Database) -> None:
    """Beyond the age that the operator allows, every key is refused, and none once the database is back."""
    await keys.create("key_1", KeyTerms("one"), _stored("first"), by=ADMIN)
    async with _behind_relay(relay, str(database.url.database), max_age_s=0.2) as ring:
        await relay.cut()
        await _until(lambda: ring.state.is_shut)
        for secret in ("first", "unknown", _ADMIN_SECRET):
            with pytest.raises(Unavailable, match=r"keys\.max_age_s"):
                ring.find(secret)
        await relay.mend()
        await _until(lambda: not ring.state.is_shut)
        assert _found(ring, "first").is_active


async def test_a_fault_of_ours_does_not_end_the_following(tmp_path: Path, migrated_sqlite: Path) -> None:
    """A row that this release cannot read is reported, and the ring goes on with what it has."""
    shutil.copy(migrated_sqlite, tmp_path / "ponder.db")
    changes = Changes(locate(f"sqlite:///{tmp_path}/ponder.db"))
    keys, ring = Keys(changes), _ring(changes)
    await keys.create("key_1", KeyTerms("one"), _stored("first"), by=ADMIN)
    await ring.start()
    async with changes.begin(ADMIN) as change:
        await change.connection.execute(text("UPDATE keys SET role = 'emperor', changed = 2"))
        await change.record("test", "key:key_1", before=None, after=None)
    await _until(lambda: ring.state.last_error is not None)
    assert ring.state.last_error == "unexpected ValueError"
    assert _found(ring, "first").is_active
    async with changes.begin(ADMIN) as change:
        await change.connection.execute(text("UPDATE keys SET role = NULL, revoked_at = created_at, changed = 3"))
        await change.record("test", "key:key_1", before=None, after=None)
    await _until(lambda: ring.state.last_error is None)
    assert not _found(ring, "first").is_active
    await ring.close()
    await changes.close()
