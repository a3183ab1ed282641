"""Policies over HTTP: which are in force, what each version said, going back and returning to the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.http.admin.administrator import Administrator, fresh
from tests.policy.documents import policy_text, write_policy
from tests.upstreams.gateway_process import awaited


class Versions:
    """A policy beside the gateway's ponder.yaml whose file a test writes."""

    def __init__(self, admin: Administrator, folder: Path) -> None:
        self.name = fresh("policy")
        self._admin = admin
        self._folder = folder

    def write(self, deadline_s: int) -> str:
        """Write a version, wait until it is in force and recorded, and return its digest."""
        known = self._digests()
        write_policy(self._folder, self.name, policy_text(self.name, deadline_s=deadline_s))
        awaited(lambda: self._digests() != known, "the version")
        return self._digests()[0]

    def present(self) -> dict[str, Any]:
        """The policy as it is listed."""
        (found,) = [each for each in self._admin.get("/policies")["data"] if each["name"] == self.name]
        return dict(found)

    def _digests(self) -> list[str]:
        answer = self._admin.ask("GET", f"/policies/{self.name}/versions")
        return [each["digest"] for each in answer.json()["data"]] if answer.status_code == 200 else []


@pytest.fixture
def policy(admin: Administrator, home: Path) -> Versions:
    """A policy without versions yet."""
    return Versions(admin, home / "policies")


def test_policies_in_force_are_listed(admin: Administrator, policy: Versions) -> None:
    """What is shipped and what the operator wrote, each with its digest, its mode and since when."""
    digest = policy.write(10)
    listed = {each["name"]: each for each in admin.get("/policies")["data"]}
    assert {"default", policy.name} <= listed.keys()
    assert list(listed) == sorted(listed)
    found = listed[policy.name]
    assert (found["digest"], found["mode"], found["by"], found["in_place_of"]) == (digest, "enforce", "files", None)
    assert found["since"] is not None


def test_every_version_can_be_read(admin: Administrator, policy: Versions) -> None:
    """The text of an earlier version is there by its digest, as it was written."""
    first = policy.write(10)
    policy.write(20)
    version = admin.get(f"/policies/{first}")
    assert (version["name"], version["document"]) == (policy.name, policy_text(policy.name, deadline_s=10))
    assert admin.ask("GET", f"/policies/{'0' * 64}").status_code == 404
    assert admin.ask("GET", "/policies/default").status_code == 400


def test_a_policy_is_rolled_back_and_released(admin: Administrator, policy: Versions) -> None:
    """The version before is in force until it is released, and each step names who took it."""
    first, second = policy.write(10), policy.write(20)
    done = admin.done("POST", f"/policies/{policy.name}/rollback")
    assert (done["digest"], done["in_place_of"], done["by"]) == (first, second, "admin")
    present = policy.present()
    assert (present["digest"], present["in_place_of"], present["by"]) == (first, second, "admin")
    released = admin.done("POST", f"/policies/{policy.name}/release")
    assert (released["digest"], released["in_place_of"]) == (second, None)
    assert policy.present()["digest"] == second
    history = admin.get(f"/policies/{policy.name}/versions")["data"]
    assert [each["digest"] for each in history] == [second, first, second, first]
    actions = [each["action"] for each in admin.get("/audit", target=f"policy:{policy.name}")["data"]]
    assert actions == ["policy.release", "policy.roll_back", "policy.load", "policy.load"]


def test_a_version_may_be_chosen(admin: Administrator, policy: Versions) -> None:
    """Any earlier version can be put in force by its digest."""
    first, _, third = (policy.write(seconds) for seconds in (10, 20, 30))
    done = admin.done("POST", f"/policies/{policy.name}/rollback", {"to": first})
    assert (done["digest"], done["in_place_of"]) == (first, third)


def test_a_file_that_changes_ends_a_rollback(admin: Administrator, policy: Versions) -> None:
    """What the operator writes next is in force."""
    policy.write(10)
    policy.write(20)
    admin.done("POST", f"/policies/{policy.name}/rollback")
    third = policy.write(30)
    present = policy.present()
    assert (present["digest"], present["in_place_of"]) == (third, None)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("rollback", None, 409, "no version before"),
        ("rollback", {"to": "0" * 64}, 404, "no version with this digest"),
        ("rollback", {"to": "short"}, 400, "to"),
        ("rollback", {"at": "0" * 64}, 400, "at"),
        ("release", None, 409, "not rolled back"),
    ],
)
def test_what_cannot_be_done_is_refused(
    admin: Administrator, policy: Versions, *, path: str, body: Any, status: int, words: str
) -> None:
    """A policy of one version has nothing to go back to, and what was not rolled back is not released."""
    digest = policy.write(10)
    answer = admin.ask("POST", f"/policies/{policy.name}/{path}", body)
    assert (answer.status_code, policy.present()["digest"]) == (status, digest)
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["rollback", "release"])
def test_unknown_policies_are_not_found(admin: Administrator, path: str) -> None:
    """A policy that never was cannot be changed."""
    assert admin.ask("POST", f"/policies/nobody/{path}").status_code == 404
