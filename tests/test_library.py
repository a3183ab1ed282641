"""The policies in force in a process: those of its files, save where one was rolled back, anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial

import pytest

from gateway.domain.policy_version import PolicyVersion
from gateway.library import Library
from gateway.policy.reading import Policy, read_policy
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.policies import PolicyVersions
from gateway.store.schema import upgrade
from gateway.telemetry import Meter
from tests.adapters.journal.samples import until
from tests.flow.turning_clock import TurningClock
from tests.policy.documents import policy_text
from tests.store.tenants import OPERATOR

OLD, NEW, NEWER = (read_policy("default", policy_text(deadline_s=seconds)) for seconds in (10, 20, 30))
THRIFT = read_policy("thrift", policy_text("thrift"))


@pytest.fixture
async def versions(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PolicyVersions]:
    """The versions in an empty database."""
    url = f"sqlite:///{tmp_path_factory.mktemp('library')}/ponder.db"
    await upgrade(url)
    changes = Changes(locate(url))
    yield PolicyVersions(changes)
    await changes.close()


def _library(versions: PolicyVersions) -> Library:
    return Library(versions, TurningClock(), poll_s=0.001)


def _files(*policies: Policy) -> Mapping[str, Policy]:
    return {policy.name: policy for policy in policies}


async def _load(library: Library, *policies: Policy) -> None:
    library.adopt(_files(*policies))
    await library.refresh()


async def test_what_the_files_say_is_in_force_and_recorded(versions: PolicyVersions) -> None:
    """At once in force, and with its text in the database when that is reached."""
    library = _library(versions)
    library.adopt(_files(OLD, THRIFT))
    assert library.policies == {"default": OLD, "thrift": THRIFT}
    await library.refresh()
    assert (await versions.find(OLD.digest)).document == OLD.text
    assert {name for name, _ in await versions.standing()} == {"default", "thrift"}
    activation = library.activation_of("default")
    assert activation is not None
    assert (activation.digest, activation.actor) == (OLD.digest, "files")
    assert library.activation_of("nobody") is None


async def test_a_rollback_reaches_every_process(versions: PolicyVersions) -> None:
    """Processes that follow the database come to serve the earlier version, and the file's again when released."""
    libraries = [_library(versions) for _ in range(2)]
    changed = asyncio.Queue[Library]()
    for library in libraries:
        await _load(library, OLD)
        await _load(library, NEW)
        await library.start(on_change=partial(changed.put_nowait, library))
    await versions.roll_back("default", to=None, by=OPERATOR)
    told = {await asyncio.wait_for(changed.get(), 10) for _ in libraries}
    assert told == set(libraries)
    assert [library.policies["default"] for library in libraries] == [OLD, OLD]
    await versions.release("default", by=OPERATOR)
    for _ in libraries:
        await asyncio.wait_for(changed.get(), 10)
    assert [library.policies["default"] for library in libraries] == [NEW, NEW]
    for library in libraries:
        await library.close()


async def test_a_rollback_survives_a_restart(versions: PolicyVersions) -> None:
    """A process that starts on the same files serves what was rolled back to, before its first request."""
    library = _library(versions)
    await _load(library, OLD)
    await _load(library, NEW)
    await versions.roll_back("default", to=None, by=OPERATOR)
    again = _library(versions)
    again.adopt(_files(NEW))
    await again.start(on_change=lambda: None)
    assert again.policies["default"] == OLD
    await again.close()


async def test_a_file_that_says_something_else_is_in_force(versions: PolicyVersions) -> None:
    """The operator's next version is in force at once; the one that was rolled back from stays so."""
    library = _library(versions)
    await _load(library, OLD)
    await _load(library, NEW)
    await versions.roll_back("default", to=None, by=OPERATOR)
    await library.refresh()
    assert library.policies["default"] == OLD
    library.adopt(_files(NEWER))
    assert library.policies["default"] == NEWER
    await library.refresh()
    assert library.rolled_back == 0
    await _load(library, NEW)
    assert library.policies["default"] == OLD
    await versions.release("default", by=OPERATOR)
    await library.refresh()
    assert library.policies["default"] == NEW


async def test_a_gateway_with_older_files_disturbs_no_rollback(versions: PolicyVersions) -> None:
    """Halfway back to the old files, those gateways that still have the bad one go on serving the old version."""
    late, early = _library(versions), _library(versions)
    await _load(late, OLD)
    await _load(late, NEW)
    await versions.roll_back("default", to=None, by=OPERATOR)
    await _load(early, OLD)
    await late.refresh()
    assert [late.policies["default"], early.policies["default"]] == [OLD, OLD]
    assert (late.rolled_back, early.rolled_back) == (1, 0)


async def test_what_would_be_in_force_can_be_asked_beforehand(versions: PolicyVersions) -> None:
    """For files that are only looked at, the rollbacks that fit them apply, and nothing changes."""
    library = _library(versions)
    await _load(library, OLD)
    await _load(library, NEW)
    await versions.roll_back("default", to=None, by=OPERATOR)
    await library.refresh()
    assert library.in_force(_files(NEW, THRIFT)) == {"default": OLD, "thrift": THRIFT}
    assert library.in_force(_files(NEWER)) == {"default": NEWER}
    assert library.in_force(_files(THRIFT)) == {"thrift": THRIFT}
    assert library.policies == {"default": OLD}


async def test_a_version_that_cannot_be_read_any_more_is_not_served(versions: PolicyVersions) -> None:
    """Where an earlier version is not valid in this release the file's serves on, and the operator is told."""
    await versions.record([PolicyVersion("default", "0" * 64, "policy: default\narmz: {}\n", 1.0)], at=1.0)
    library = _library(versions)
    await _load(library, NEW)
    await versions.roll_back("default", to=None, by=OPERATOR)
    await library.refresh()
    assert library.policies["default"] == NEW
    assert library.activation_of("default") is None
    (state,) = library.degraded()
    assert "policy default is rolled back to 000000000000, which this release cannot read" in state
    await versions.release("default", by=OPERATOR)
    await library.refresh()
    assert library.degraded() == ()


async def test_metrics_tell_how_many_are_rolled_back(versions: PolicyVersions) -> None:
    """The number of policies, and of those that are not their files' versions, are exposed."""
    library, meter = _library(versions), Meter()
    library.watch(meter)
    await _load(library, OLD, THRIFT)
    await _load(library, NEW, THRIFT)
    await versions.roll_back("default", to=None, by=OPERATOR)
    await library.refresh()
    text = meter.render().decode()
    assert "ponder_policies 2.0" in text
    assert "ponder_policies_rolled_back 1.0" in text


async def test_a_fault_of_ours_does_not_end_the_following(
    versions: PolicyVersions, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong once in taking in a change is in the log, and the next look takes the change in."""
    library = _library(versions)
    await _load(library, OLD)
    await _load(library, NEW)
    faults = [KeyError("a fault of ours"), None]

    def told() -> None:
        fault = faults.pop(0)
        if fault is not None:
            raise fault

    await library.start(on_change=told)
    await versions.roll_back("default", to=None, by=OPERATOR)
    await until(lambda: "policies cannot be followed" in caplog.text)
    await versions.release("default", by=OPERATOR)
    await until(lambda: not faults)
    assert library.policies["default"] == NEW
    await library.close()
