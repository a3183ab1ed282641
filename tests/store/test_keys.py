"""Tests of gateway/store/keys.py and tenancy_rows.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from gateway.domain.key import Role
from gateway.domain.tenancy import Author, IssuedKey, IssuedSecret, KeyTerms, TeamTerms, key_document
from gateway.errors import Conflict, Forbidden, NotFound
from gateway.store.changes import Changes
from gateway.store.keys import Keys
from gateway.store.teams import Teams
from tests.store.records import NOON
from tests.store.tenants import ADMIN, FULL_KEY, OPERATOR, secret

_PLAIN = KeyTerms("plain")


@pytest.fixture
def keys(changes: Changes) -> Keys:
    """The keys in the database."""
    return Keys(changes)


@pytest.mark.parametrize("terms", [FULL_KEY, _PLAIN], ids=["full", "plain"])
async def test_a_key_comes_back_as_it_was_issued(keys: Keys, terms: KeyTerms) -> None:
    """Every term of a key is found again, by its id and by its name."""
    issued = await keys.create("key_1", terms, secret(1), by=ADMIN)
    assert issued == IssuedKey("key_1", terms, NOON, secrets=(IssuedSecret(secret(1).digest, secret(1).hint, NOON),))
    assert await keys.find("key_1") == await keys.find(terms.name) == issued


async def test_a_team_is_named_by_id_or_name(keys: Keys, changes: Changes) -> None:
    """A key's team is stored by its id, however it was named; one that is not there is refused."""
    await Teams(changes).create("team_1", TeamTerms("red"), by=ADMIN)
    by_name = await keys.create("key_1", KeyTerms("one", team_id="red"), secret(1), by=ADMIN)
    by_id = await keys.create("key_2", KeyTerms("two", team_id="team_1"), secret(2), by=ADMIN)
    assert by_name.terms.team_id == by_id.terms.team_id == "team_1"
    with pytest.raises(NotFound, match="no team"):
        await keys.create("key_3", KeyTerms("three", team_id="blue"), secret(3), by=ADMIN)


async def test_names_are_unique_among_valid_keys(keys: Keys) -> None:
    """A name that is taken is refused at creation and renaming, and free again once its key is revoked."""
    await keys.create("key_1", _PLAIN, secret(1), by=ADMIN)
    await keys.create("key_2", KeyTerms("other"), secret(2), by=ADMIN)
    with pytest.raises(Conflict, match="named 'plain'"):
        await keys.create("key_3", _PLAIN, secret(3), by=ADMIN)
    with pytest.raises(Conflict, match="named 'plain'"):
        await keys.amend("other", lambda terms: replace(terms, name="plain"), action="key.amend", by=ADMIN)
    await keys.revoke("key_1", by=ADMIN)
    await keys.create("key_4", _PLAIN, secret(4), by=ADMIN)
    assert (await keys.find("plain")).id == "key_4"


async def test_a_change_is_stored_and_audited(keys: Keys, changes: Changes) -> None:
    """Amending replaces terms and budgets, and the log holds the key before and after, without its digest."""
    before = await keys.create("key_1", _PLAIN, secret(1), by=ADMIN)
    after = await keys.amend("key_1", lambda terms: replace(FULL_KEY, name=terms.name), action="key.amend", by=OPERATOR)
    assert await keys.find("key_1") == after
    assert after.terms == replace(FULL_KEY, name="plain")
    amended, created = await changes.audit(limit=10)
    assert (amended.actor, amended.at, amended.action, amended.target) == (
        "key_operator",
        NOON + 1,
        "key.amend",
        "key:key_1",
    )
    assert (amended.before, amended.after) == (key_document(before), key_document(after))
    assert (created.before, created.after) == (None, key_document(before))
    back = await keys.amend("key_1", lambda _: _PLAIN, action="key.amend", by=ADMIN)
    assert (await keys.find("key_1")).terms == back.terms == _PLAIN


async def test_what_is_refused_leaves_no_trace(keys: Keys, changes: Changes) -> None:
    """A change that its own terms refuse changes nothing, the log included."""
    await keys.create("key_1", _PLAIN, secret(1), by=ADMIN)

    def refuse(_: KeyTerms) -> KeyTerms:
        raise Forbidden("no")

    with pytest.raises(Forbidden):
        await keys.amend("key_1", refuse, action="key.amend", by=ADMIN)
    assert (await keys.find("key_1")).terms == _PLAIN
    assert len(await changes.audit(limit=10)) == 1


async def test_revocation_is_for_good(keys: Keys) -> None:
    """A revoked key stays, with the time, and takes no further change."""
    await keys.create("key_1", _PLAIN, secret(1), by=ADMIN)
    revoked = await keys.revoke("plain", by=OPERATOR)
    assert await keys.find("key_1") == revoked
    assert revoked.revoked_at == NOON + 1
    with pytest.raises(Conflict, match="for good"):
        await keys.revoke("key_1", by=ADMIN)
    with pytest.raises(Conflict, match="for good"):
        await keys.rotate("key_1", secret(2), grace_s=0, by=ADMIN)
    with pytest.raises(NotFound):
        await keys.find("plain")


async def test_rotation_ends_the_secrets_before(keys: Keys) -> None:
    """The new secret has no end, those before end after the grace, and none is given more time than it had."""
    await keys.create("key_1", _PLAIN, secret(1), by=ADMIN)
    await keys.rotate("key_1", secret(2), grace_s=60, by=ADMIN)
    rotated = await keys.rotate("key_1", secret(3), grace_s=3600, by=Author("admin", Role.ADMIN, NOON + 10))
    assert [each.expires_at for each in rotated.secrets] == [NOON + 60, NOON + 3610, None]
    assert await keys.find("key_1") == rotated
    ended = await keys.rotate("key_1", secret(4), grace_s=0, by=Author("admin", Role.ADMIN, NOON + 20))
    assert [each.expires_at for each in ended.secrets] == [NOON + 20, NOON + 20, NOON + 20, None]


_ACTS: dict[str, Callable[[Keys], Awaitable[IssuedKey]]] = {
    "amend": lambda keys: keys.amend("key_1", lambda _: _PLAIN, action="key.amend", by=OPERATOR),
    "revoke": lambda keys: keys.revoke("key_1", by=OPERATOR),
    "rotate": lambda keys: keys.rotate("key_1", secret(2), grace_s=0, by=OPERATOR),
}


@pytest.mark.parametrize("act", _ACTS)
async def test_an_operator_cannot_touch_a_key_with_a_role(keys: Keys, act: str) -> None:
    """Whatever an operator tries on a key that administers is refused, and nothing has changed."""
    issued = await keys.create("key_1", FULL_KEY, secret(1), by=ADMIN)
    with pytest.raises(Forbidden, match="only an admin"):
        await _ACTS[act](keys)
    assert await keys.find("key_1") == issued


async def test_keys_are_listed_by_pages(keys: Keys, changes: Changes) -> None:
    """A list goes by id, on after the last one, of one team on request, and with revoked ones on request."""
    await Teams(changes).create("team_1", TeamTerms("red"), by=ADMIN)
    for number in range(5):
        terms = KeyTerms(f"k{number}", team_id="red" if number % 2 else None)
        await keys.create(f"key_{number}", terms, secret(number), by=ADMIN)
    await keys.revoke("key_2", by=ADMIN)

    async def ids(**how: object) -> list[str]:
        return [key.id for key in await keys.page(**{"limit": 10, **how})]  # type: ignore[arg-type]

    assert await ids(limit=2) == ["key_0", "key_1"]
    assert await ids(after="key_1") == ["key_3", "key_4"]
    assert await ids(revoked=True) == [f"key_{number}" for number in range(5)]
    assert await ids(team_id="team_1") == ["key_1", "key_3"]


@pytest.mark.parametrize("reference", ["key_9", "", "plain ", "' OR 1=1 --"])
async def test_what_is_not_there_is_not_found(keys: Keys, reference: str) -> None:
    """A reference that no key has finds nothing, whatever it holds."""
    await keys.create("key_1", _PLAIN, secret(1), by=ADMIN)
    with pytest.raises(NotFound):
        await keys.find(reference)
