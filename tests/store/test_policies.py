"""Versions of policies: what the files brought, going back, and returning to the files."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.policy_version import PolicyVersion
from gateway.errors import Conflict, NotFound
from gateway.store.changes import Changes
from gateway.store.policies import PolicyVersions
from tests.store.records import NOON
from tests.store.tenants import OPERATOR

A, B, C = (PolicyVersion("default", letter * 64, f"policy: default  # {letter}\n", NOON) for letter in ("a", "b", "c"))
THRIFT = PolicyVersion("thrift", "d" * 64, "policy: thrift\n", NOON)


@pytest.fixture
def versions(changes: Changes) -> PolicyVersions:
    """The versions of an empty database."""
    return PolicyVersions(changes)


async def _load(versions: PolicyVersions, *loaded: PolicyVersion) -> None:
    for each in loaded:
        await versions.record([each], at=NOON)


async def _in_force(versions: PolicyVersions, of_file: PolicyVersion) -> tuple[str, str | None]:
    """What is in force where the file says this, and instead of what."""
    standing = (await versions.standing())["default", of_file.digest]
    return standing.digest[0], standing.over and standing.over[0]


async def test_what_the_files_say_is_kept_and_in_force(versions: PolicyVersions, changes: Changes) -> None:
    """Every version is kept whole, its beginning is on record, and loading it again changes nothing."""
    await versions.record([A, THRIFT], at=NOON)
    number = await versions.number()
    await versions.record([A, THRIFT], at=NOON + 9)
    assert await versions.number() == number
    standing = await versions.standing()
    assert standing.keys() == {("default", A.digest), ("thrift", THRIFT.digest)}
    first = standing["default", A.digest]
    assert (first.digest, first.at, first.actor, first.over) == (A.digest, NOON, "files", None)
    assert await versions.find(A.digest) == A
    (entry,) = await changes.audit(limit=9, target="policy:default")
    assert (entry.action, entry.actor, entry.before) == ("policy.load", "files", None)
    assert entry.after is not None
    assert entry.after["digest"] == A.digest


async def test_many_processes_record_a_version_once(versions: PolicyVersions) -> None:
    """Processes that load the same files at the same time leave one row."""
    await asyncio.gather(*(versions.record([A], at=NOON + number) for number in range(4)))
    assert len(await versions.history("default", limit=9)) == 1


async def test_a_rollback_puts_the_version_before_in_force(versions: PolicyVersions, changes: Changes) -> None:
    """One step back, by whoever asked; the file's version is remembered, and the step is in the audit log."""
    await _load(versions, A, B)
    done = await versions.roll_back("default", to=None, by=OPERATOR)
    assert (done.digest, done.over, done.actor, done.at) == (A.digest, B.digest, OPERATOR.id, OPERATOR.at)
    assert (await versions.standing())["default", B.digest] == done
    newest, *_ = await changes.audit(limit=1)
    assert (newest.action, newest.actor, newest.target) == ("policy.roll_back", OPERATOR.id, "policy:default")
    assert newest.before is not None
    assert newest.after is not None
    assert (newest.before["digest"], newest.after["digest"]) == (B.digest, A.digest)
    assert newest.after["in_place_of"] == B.digest


async def test_each_rollback_goes_further_back(versions: PolicyVersions) -> None:
    """The second one goes to the version before the first one's, and at the oldest there is nothing to go back to."""
    await _load(versions, A, B, C)
    steps = []
    for _ in range(2):
        await versions.roll_back("default", to=None, by=OPERATOR)
        steps.append(await _in_force(versions, C))
    assert steps == [("b", "c"), ("a", "c")]
    with pytest.raises(Conflict, match="no version before"):
        await versions.roll_back("default", to=None, by=OPERATOR)
    assert await _in_force(versions, C) == ("a", "c")


async def test_a_rollback_outlives_restarts(versions: PolicyVersions) -> None:
    """Loading the same file again leaves the rollback, and no row."""
    await _load(versions, A, B)
    await versions.roll_back("default", to=None, by=OPERATOR)
    number = await versions.number()
    await _load(versions, B)
    assert await _in_force(versions, B) == ("a", "b")
    assert await versions.number() == number


async def test_a_rollback_concerns_one_version_of_the_file(versions: PolicyVersions) -> None:
    """Files that say something else are not touched, and do not end it: neither a newer version nor an older one."""
    await _load(versions, A, B)
    await versions.roll_back("default", to=None, by=OPERATOR)
    await _load(versions, C, A, B)
    assert await _in_force(versions, C) == ("c", None)
    assert await _in_force(versions, A) == ("a", None)
    assert await _in_force(versions, B) == ("a", "b")
    await versions.release("default", by=OPERATOR)
    assert await _in_force(versions, B) == ("b", None)


async def test_gateways_with_different_files_note_what_they_load(versions: PolicyVersions) -> None:
    """Back and forth between two versions, each load that changes the latest is on record, and no other."""
    await _load(versions, A, B, B, A, A, B)
    assert [each.digest[0] for each in await versions.history("default", limit=9)] == ["b", "a", "b", "a"]


async def test_going_back_never_leads_to_the_version_of_the_file(versions: PolicyVersions) -> None:
    """However often two versions were loaded in turn, each rollback goes to one that was not tried before."""
    await _load(versions, A, B, C, B, C)
    steps = [(await versions.roll_back("default", to=None, by=OPERATOR)).digest[0] for _ in range(2)]
    assert steps == ["b", "a"]
    with pytest.raises(Conflict):
        await versions.roll_back("default", to=None, by=OPERATOR)


async def test_a_release_returns_to_the_file(versions: PolicyVersions) -> None:
    """The file's version is in force again; to release it twice is refused."""
    await _load(versions, A, B)
    await versions.roll_back("default", to=None, by=OPERATOR)
    await versions.release("default", by=OPERATOR)
    assert await _in_force(versions, B) == ("b", None)
    with pytest.raises(Conflict, match="not rolled back"):
        await versions.release("default", by=OPERATOR)
    await versions.roll_back("default", to=None, by=OPERATOR)
    assert await _in_force(versions, B) == ("a", "b")


async def test_a_version_may_be_named(versions: PolicyVersions) -> None:
    """Any kept version of the policy can be put in force; that of the file is no rollback."""
    await _load(versions, A, B, C)
    await versions.roll_back("default", to=A.digest, by=OPERATOR)
    assert await _in_force(versions, C) == ("a", "c")
    with pytest.raises(Conflict, match="in force already"):
        await versions.roll_back("default", to=A.digest, by=OPERATOR)
    await versions.roll_back("default", to=C.digest, by=OPERATOR)
    assert await _in_force(versions, C) == ("c", None)


async def test_versions_of_other_policies_are_not_taken(versions: PolicyVersions) -> None:
    """A version that is unknown, or another policy's, is refused and changes nothing."""
    await _load(versions, A, B, THRIFT)
    for digest in (THRIFT.digest, "0" * 64):
        with pytest.raises(NotFound, match="no version with this digest"):
            await versions.roll_back("default", to=digest, by=OPERATOR)
    assert await _in_force(versions, B) == ("b", None)


async def test_a_new_policy_has_nothing_to_go_back_to(versions: PolicyVersions) -> None:
    """The first version of a policy cannot be rolled back."""
    await _load(versions, A)
    with pytest.raises(Conflict, match="no version before"):
        await versions.roll_back("default", to=None, by=OPERATOR)


async def test_an_unknown_policy_is_not_found(versions: PolicyVersions) -> None:
    """Neither by name nor by digest."""
    for asking in (
        versions.roll_back("nobody", to=None, by=OPERATOR),
        versions.release("nobody", by=OPERATOR),
        versions.history("nobody", limit=9),
        versions.find("0" * 64),
    ):
        with pytest.raises(NotFound):
            await asking


async def test_history_tells_the_latest_first(versions: PolicyVersions) -> None:
    """All that was ever in force, newest first, as many as asked for."""
    await _load(versions, A, B)
    await versions.roll_back("default", to=None, by=OPERATOR)
    found = await versions.history("default", limit=9)
    assert [(each.digest[0], each.over and each.over[0]) for each in found] == [("a", "b"), ("b", None), ("a", None)]
    assert await versions.history("default", limit=1) == found[:1]
