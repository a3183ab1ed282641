"""Profiles over HTTP: what is in force, what each version certifies, activating one and taking it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.store.changes import Changes
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from tests.http.admin.administrator import Administrator, fresh
from tests.store.profiles import changed, document
from tests.store.records import NOON
from tests.store.tenants import OPERATOR

NEVER = NOON + 9e8
"""When versions expire, unless a test is about that."""


class Published:
    """A policy's profile that a calibrator publishes beside the gateway."""

    def __init__(self, admin: Administrator, home: Path) -> None:
        self.policy = fresh("calibrated")
        self._admin = admin
        self._home = home

    def publish(self, *arms: str) -> None:
        """One version after another."""

        async def publish(changes: Changes) -> None:
            profiles = Profiles(changes)
            for arm in arms:
                await profiles.publish(
                    document(self.policy, arm=arm),
                    number=await profiles.latest(self.policy) + 1,
                    expires_at=NEVER,
                    by=OPERATOR,
                    experiment_id="run_1",
                    report="reports/1.html",
                )

        changed(self._home, publish)

    def roll_out(self, change: Callable[[Rollouts], Awaitable[object]]) -> None:
        """What the guard would do."""

        async def act(changes: Changes) -> None:
            await change(Rollouts(changes))

        changed(self._home, act)

    def present(self) -> dict[str, Any]:
        """The profile as it is listed."""
        (found,) = [each for each in self._admin.get("/profiles")["data"] if each["policy"] == self.policy]
        return dict(found)

    def ask(self, path: str, body: Any = None) -> Any:
        """The answer to a POST below the profile."""
        return self._admin.ask("POST", f"/profiles/{self.policy}/{path}", body)


@pytest.fixture
def profile(admin: Administrator, home: Path) -> Published:
    """A profile of two versions, and none in force."""
    published = Published(admin, home)
    published.publish("fast", "think")
    return published


def test_published_profiles_are_listed(admin: Administrator, home: Path, profile: Published) -> None:
    """By name, also those of which nothing is in force yet."""
    other = Published(admin, home)
    other.publish("fast")
    names = [each["policy"] for each in admin.get("/profiles")["data"]]
    assert names == sorted(names)
    assert {profile.policy, other.policy} <= set(names)
    nothing = {"number": None, "since": None, "by": None, "reason": None, "canary": None}
    assert profile.present() == {"policy": profile.policy, "latest": 2, **nothing}


def test_a_version_can_be_read(admin: Administrator, profile: Published) -> None:
    """Its arms, its certificate, and what it was made from."""
    lines = admin.get(f"/profiles/{profile.policy}/versions")["data"]
    assert [each["number"] for each in lines] == [2, 1]
    found = admin.get(f"/profiles/{profile.policy}/versions/1")
    assert found["policy"] == profile.policy
    assert {name: found[name] for name in lines[1]} == lines[1]
    assert (found["experiment"], found["report"], found["by"]) == ("run_1", "reports/1.html", OPERATOR.id)
    rule = found["document"]["rules"]["checkable"]
    assert rule["certificate"]["bound"] == 0.0173
    assert [(cell["category"], cell["arm"]) for cell in rule["cells"]] == [("math", "fast")]
    assert admin.ask("GET", f"/profiles/{profile.policy}/versions/3").status_code == 404
    assert admin.ask("GET", f"/profiles/{profile.policy}/versions/0").status_code == 400


def test_a_version_is_activated_and_taken_back(admin: Administrator, profile: Published) -> None:
    """Back to the version before, then to none; each step is in the audit log with its reason."""
    first = profile.ask("activate", {"number": 1}).json()
    assert (first["number"], first["by"], first["reason"]) == (1, "admin", "by hand")
    assert profile.ask("activate", {"number": 2, "reason": "looks good"}).json()["number"] == 2
    assert profile.present()["reason"] == "looks good"
    assert profile.ask("rollback", {"reason": "it harms"}).json()["number"] == 1
    assert profile.ask("rollback").json()["number"] is None
    refused = profile.ask("rollback")
    assert (refused.status_code, "nothing to go back from" in refused.text) == (409, True)
    lines = admin.get(f"/profiles/{profile.policy}/activations")["data"]
    assert [(each["number"], each["reason"]) for each in lines] == [
        (None, "by hand"),
        (1, "it harms"),
        (2, "looks good"),
        (1, "by hand"),
    ]
    entries = admin.get("/audit", target=f"profile:{profile.policy}")["data"]
    assert [each["action"] for each in entries] == [
        *["profile.roll_back"] * 2,
        *["profile.activate"] * 2,
        *["profile.publish"] * 2,
    ]


def test_a_rollback_withdraws_the_canary(admin: Administrator, profile: Published) -> None:
    """The version in force stays, and the canary is on record with why it ended."""
    profile.ask("activate", {"number": 1})
    profile.roll_out(lambda rollouts: rollouts.begin_canary(profile.policy, 2, share=0.05, by=OPERATOR))
    tried = profile.present()["canary"]
    assert (tried["number"], tried["over"], tried["stage"], tried["share"]) == (2, 1, 0, 0.05)
    assert (tried["verdict"], tried["judged_at"]) == (None, None)
    done = profile.ask("rollback", {"reason": "too slow"}).json()
    assert (done["number"], done["canary"]) == (1, None)
    (ended,) = admin.get(f"/profiles/{profile.policy}/canaries")["data"]
    assert (ended["state"], ended["reason"]) == ("withdrawn", "too slow")


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("activate", None, 400, "body"),
        ("activate", {"number": 3}, 404, "no version 3"),
        ("activate", {"number": "1"}, 400, "number"),
        ("activate", {"number": 0}, 400, "number"),
        ("activate", {"number": 1, "reason": ""}, 400, "reason"),
        ("activate", {"number": 1, "reason": "x" * 201}, 400, "reason"),
        ("activate", {"number": 1, "reason": "two\nlines"}, 400, "reason"),
        ("activate", {"number": 1, "share": 0.5}, 400, "share"),
        ("rollback", {"to": 1}, 400, "to"),
        ("rollback", None, 409, "nothing to go back from"),
    ],
)
def test_what_cannot_be_done_is_refused(profile: Published, *, path: str, body: Any, status: int, words: str) -> None:
    """And nothing is in force afterwards either."""
    answer = profile.ask(path, body)
    assert (answer.status_code, profile.present()["number"]) == (status, None)
    assert words in answer.json()["error"]["message"]
