"""Sessions by the clock: how long they last, what ends them, and how often an address may fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gateway.domain.key import Key, Role
from gateway.domain.secret import Pepper
from gateway.errors import Forbidden, RateLimited, Unauthenticated
from gateway.http.dashboard.visitors import FAILURES, FORGIVEN_S, SESSION_S, Attempts, Visitors, check_form
from gateway.store import schema
from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.sessions import StoredSessions
from tests.clock import SetClock
from tests.store.records import NOON

PEPPER = Pepper("pepper")
VIEWER = Key("key_1", "looker", role=Role.VIEWER)


@dataclass
class Ring:
    """Keys by their secrets. Satisfies what visitors ask of a key ring."""

    keys: dict[str, Key] = field(default_factory=lambda: {"secret": VIEWER, "caller": Key("key_2", "caller")})

    def find(self, secret: str) -> Key | None:
        return self.keys.get(secret)

    def find_by_digest(self, digest: bytes) -> Key | None:
        return next((key for secret, key in self.keys.items() if PEPPER.digest(secret) == digest), None)


@dataclass
class Door:
    """Visitors, their keys, and the time."""

    visitors: Visitors
    ring: Ring
    clock: SetClock


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """Visitors with sessions in an SQLite file."""
    url = f"sqlite:///{tmp_path}/ponder.db"
    await schema.upgrade(url)
    connections, ring, clock = Connections(locate(url), most=1), Ring(), SetClock(NOON)
    yield Door(Visitors(ring, StoredSessions(connections), PEPPER, clock), ring, clock)
    await connections.close()


async def test_a_session_lasts_half_a_day(door: Door) -> None:
    """It ends twelve hours after signing in, however much it is used."""
    token = await door.visitors.sign_in("secret", "a")
    for at in (NOON, NOON + SESSION_S - 1):
        door.clock.at = at
        found = await door.visitors.find(token)
        assert found is not None
        assert found.key == VIEWER
    door.clock.at = NOON + SESSION_S
    assert await door.visitors.find(token) is None


@pytest.mark.parametrize(
    "changed",
    [None, replace(VIEWER, is_active=False), replace(VIEWER, role=None), replace(VIEWER, expires_at=NOON)],
)
async def test_a_session_ends_with_what_its_key_may(door: Door, changed: Key | None) -> None:
    """A key that is gone, revoked, expired or without a role any more ends its sessions."""
    token = await door.visitors.sign_in("secret", "a")
    if changed is None:
        del door.ring.keys["secret"]
    else:
        door.ring.keys["secret"] = changed
    assert await door.visitors.find(token) is None


async def test_tokens_open_nothing_else(door: Door) -> None:
    """Each session has a token of its own, and its form token is neither that nor another session's."""
    one, two = [await door.visitors.sign_in("secret", "a") for _ in range(2)]
    assert one != two
    first, second = await door.visitors.find(one), await door.visitors.find(two)
    assert first is not None
    assert second is not None
    assert len({one, two, first.form_token, second.form_token}) == 4
    assert first.form_token not in repr(first)
    check_form(first, first.form_token)
    with pytest.raises(Forbidden, match="another session"):
        check_form(first, second.form_token)
    assert await door.visitors.find(first.form_token) is None
    await door.visitors.sign_out(one)
    assert await door.visitors.find(one) is None
    assert await door.visitors.find(two) is not None


async def test_failures_are_few(door: Door) -> None:
    """After ten failures an address waits, with the right key as well, while others do not; time forgives."""
    for _ in range(FAILURES):
        with pytest.raises(Unauthenticated):
            await door.visitors.sign_in("guess", "a")
    with pytest.raises(RateLimited) as refused:
        await door.visitors.sign_in("secret", "a")
    assert refused.value.retry_after_s == FORGIVEN_S
    assert await door.visitors.sign_in("secret", "b")
    door.clock.at += FORGIVEN_S
    assert await door.visitors.sign_in("secret", "a")


async def test_a_key_without_a_role_is_told_so(door: Door) -> None:
    """A key that calls models is refused, which is no failed guess."""
    for _ in range(FAILURES + 1):
        with pytest.raises(Forbidden, match="calls models"):
            await door.visitors.sign_in("caller", "a")


def test_addresses_are_bounded() -> None:
    """Failures from ever new addresses take no more memory than ten thousand of them."""
    attempts = Attempts()
    for number in range(10_050):
        attempts.fail(str(number), NOON)
    assert len(attempts._forgiven_at) == 10_000
