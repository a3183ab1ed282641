"""Published profiles: numbered, never changed, and one winner among those who publish at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from gateway.domain.profile_document import PublishedProfile
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.store.base import Database, open_async
from gateway.store.changes import Changes
from gateway.store.profiles import Profiles
from tests.store.profiles import CERTIFICATE, document
from tests.store.records import NOON
from tests.store.tenants import OPERATOR

LATER = NOON + 1_000
AT = OPERATOR.at


@pytest.fixture
def profiles(changes: Changes) -> Profiles:
    """The profiles of an empty database."""
    return Profiles(changes)


async def test_a_profile_is_kept_as_it_was_published(profiles: Profiles, changes: Changes) -> None:
    """Every field comes back, and who published it is in the audit log."""
    published = await profiles.publish(
        document(), number=1, expires_at=LATER, by=OPERATOR, experiment_id="run_1", report="reports/1.html"
    )
    assert published == PublishedProfile(
        "default", 1, document().encoded(), "p" * 64, "run_1", "reports/1.html", AT, OPERATOR.id, LATER
    )
    assert await profiles.find("default", 1) == published
    assert published.document == document()
    (entry,) = await changes.audit(limit=9, target="profile:default")
    assert (entry.action, entry.actor, entry.before) == ("profile.publish", OPERATOR.id, None)
    assert entry.after == {"number": 1, "digest": published.digest, "experiment": "run_1"}


async def test_certificates_can_be_asked_for_by_sql(profiles: Profiles, database: Database) -> None:
    """One row per rule, with what it guarantees."""
    await profiles.publish(document(), number=1, expires_at=LATER, by=OPERATOR)
    engine = open_async(database, connections=1)
    async with engine.connect() as connection:
        (row,) = (await connection.execute(text("SELECT * FROM certificates"))).mappings()
    await engine.dispose()
    assert (row["policy"], row["number"], row["rule"], row["rule_digest"]) == ("default", 1, "checkable", "r" * 64)
    kept = {name: row[name] for name in ("reference", "scope", "method", "loss_at_most", "bound", "confidence")}
    assert replace(CERTIFICATE, **kept, labels=row["labels"]) == CERTIFICATE


async def test_versions_are_numbered_by_policy(profiles: Profiles) -> None:
    """From 1 on, the latest first, each policy by itself."""
    for number in (1, 2, 3):
        await profiles.publish(document(arm=f"arm{number}"), number=number, expires_at=LATER, by=OPERATOR)
    await profiles.publish(document("careful"), number=1, expires_at=LATER, by=OPERATOR)
    assert [each.number for each in await profiles.versions("default", limit=2)] == [3, 2]
    assert (await profiles.latest("default"), await profiles.latest("careful")) == (3, 1)
    assert await profiles.latest("nobody") == 0
    assert await profiles.versions("nobody", limit=9) == ()
    assert await profiles.policies() == ("careful", "default")
    for policy, number in (("default", 4), ("careful", 2), ("nobody", 1)):
        with pytest.raises(NotFound, match=f"no version {number}"):
            await profiles.find(policy, number)


async def test_of_two_publishers_one_wins(profiles: Profiles) -> None:
    """Whoever calibrated against a version that is no longer the latest is refused, and changes nothing."""
    attempts = (
        profiles.publish(document(arm=f"arm{each}"), number=1, expires_at=LATER, by=OPERATOR) for each in range(4)
    )
    results = await asyncio.gather(*attempts, return_exceptions=True)
    (won,) = [each for each in results if isinstance(each, PublishedProfile)]
    assert len([each for each in results if isinstance(each, Conflict)]) == 3
    assert await profiles.versions("default", limit=9) == (won,)
    for number in (1, 3):
        with pytest.raises(Conflict, match="does not follow version 1"):
            await profiles.publish(document(arm="late"), number=number, expires_at=LATER, by=OPERATOR)


async def test_publishing_twice_is_publishing_once(profiles: Profiles, changes: Changes) -> None:
    """A publisher that was killed after it published finds its own version, unchanged, and no second one."""
    first = await profiles.publish(document(), number=1, expires_at=LATER, by=OPERATOR, experiment_id="run_1")
    number = await changes.number()
    later = replace(OPERATOR, at=AT + 60)
    again = await profiles.publish(document(), number=1, expires_at=LATER + 60, by=later, experiment_id="run_1")
    assert again == first
    assert await changes.number() == number
    with pytest.raises(Conflict):
        await profiles.publish(document(), number=1, expires_at=LATER, by=OPERATOR, experiment_id="run_2")


async def test_what_has_expired_is_not_published(profiles: Profiles) -> None:
    """It would never decide anything."""
    with pytest.raises(InvalidRequest, match="expired"):
        await profiles.publish(document(), number=1, expires_at=AT, by=OPERATOR)
    assert await profiles.latest("default") == 0
