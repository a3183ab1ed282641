"""What can be changed from the dashboard: by the same code as /admin, for the same roles, in the same audit log."""

from __future__ import annotations

import re

import pytest

from tests.http.admin.administrator import Administrator, fresh
from tests.http.admin.test_policies import Versions
from tests.http.dashboard.browser import Reading
from tests.http.dashboard.conftest import Shown


@pytest.fixture
def target(admin: Administrator) -> str:
    """A key to change."""
    key, _ = admin.key(name=fresh("target"))
    made: str = key["id"]
    return made


def test_budgets_are_set_and_removed(shown: Shown, admin: Administrator, target: str) -> None:
    """An operator sets a budget; it binds, is shown beside what was spent, stands in the audit log, and goes."""
    key, secret = admin.key(role="operator")
    visitor = shown.visitor(secret)
    done = visitor.send(f"/dashboard/keys/{target}/budget", amount_usd="12.5", period="day")
    assert (done.status_code, done.headers["location"]) == (303, "/dashboard/keys")
    assert admin.get(f"/keys/{target}")["budgets"] == [{"period": "day", "amount_usd": "12.5", "soft_share": None}]
    page = visitor.get("/dashboard/keys").text
    assert "$12.50" in page
    assert Reading(page).faults == []
    assert "$12.50" in visitor.get("/dashboard").text
    (entry, *_) = admin.get("/audit", target=f"key:{target}", limit=1)["data"]
    assert (entry["actor"], entry["action"]) == (key["id"], "key.set_budget")
    assert "key.set_budget" in visitor.get("/dashboard/changes").text
    assert visitor.send(f"/dashboard/keys/{target}/budget/remove", period="day").status_code == 303
    assert admin.get(f"/keys/{target}")["budgets"] == []


def test_a_team_has_budgets_too(shown: Shown, admin: Administrator) -> None:
    """A team's budget is set in the same way."""
    team = admin.team()
    assert shown.visitor().send(f"/dashboard/teams/{team['id']}/budget", amount_usd="3", period="month").is_redirect
    assert admin.get(f"/teams/{team['id']}")["budgets"][0]["amount_usd"] == "3"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"amount_usd": "-1", "period": "day"}, "amount_usd"),
        ({"amount_usd": "much", "period": "day"}, "amount_usd"),
        ({"amount_usd": "", "period": "day"}, "amount_usd"),
        ({"amount_usd": "1", "period": "year"}, "day, week, month, total"),
    ],
)
def test_what_is_not_understood_changes_nothing(
    shown: Shown, admin: Administrator, target: str, fields: dict[str, str], words: str
) -> None:
    """A budget that makes no sense is refused as the admin API refuses it."""
    answer = shown.visitor().send(f"/dashboard/keys/{target}/budget", **fields)
    assert answer.status_code == 400
    assert words in answer.text
    assert admin.get(f"/keys/{target}")["budgets"] == []


def test_an_issued_key_is_told_once(shown: Shown, admin: Administrator) -> None:
    """An admin issues a key; its secret stands on that one page, and opens what the key may."""
    visitor, name = shown.visitor(), fresh("issued")
    answer = visitor.send("/dashboard/keys", name=name, role="viewer", team="", policy="")
    assert answer.status_code == 201
    found = re.search(r"<pre>(sk-ponder-\S+)</pre>", answer.text)
    assert found is not None
    assert shown.visitor(found[1]).get("/dashboard").status_code == 200
    assert found[1] not in visitor.get("/dashboard/keys").text
    assert admin.get(f"/keys/{name}")["role"] == "viewer"


def test_a_key_is_revoked(shown: Shown, admin: Administrator, target: str) -> None:
    """A revoked key is gone from the page and refused."""
    assert shown.visitor().send(f"/dashboard/keys/{target}/revoke").status_code == 303
    assert admin.get(f"/keys/{target}")["revoked_at"] is not None


@pytest.mark.parametrize(
    "asked",
    [
        ("viewer", "/dashboard/keys/TARGET/budget", {"amount_usd": "1", "period": "day"}),
        ("viewer", "/dashboard/keys/TARGET/budget/remove", {"period": "day"}),
        ("viewer", "/dashboard/keys/TARGET/revoke", {}),
        ("viewer", "/dashboard/keys", {"name": "intruder"}),
        ("operator", "/dashboard/keys", {"name": "intruder"}),
        ("viewer", "/dashboard/policies/default/rollback", {}),
        ("viewer", "/dashboard/policies/default/release", {}),
        ("viewer", "/dashboard/profiles/default/rollback", {}),
        ("viewer", "/dashboard/profiles/default/activate", {"number": "2"}),
    ],
)
def test_a_lesser_role_changes_nothing(
    shown: Shown, admin: Administrator, target: str, asked: tuple[str, str, dict[str, str]]
) -> None:
    """Each change takes the role that /admin asks for, and nothing is noted of one that was refused."""
    role, path, fields = asked
    _, secret = admin.key(role=role)
    visitor = shown.visitor(secret)
    before = admin.get("/audit", limit=1)["data"]
    answer = visitor.send(path.replace("TARGET", target), **fields)
    assert answer.status_code == 403
    assert f"you are signed in with the role {role}" in answer.text
    assert admin.get("/audit", limit=1)["data"] == before


def test_what_may_not_be_done_is_not_offered(shown: Shown, admin: Administrator) -> None:
    """A viewer's pages have no buttons but for looking and leaving."""
    visitor = shown.visitor(admin.key(role="viewer")[1])
    for path in ("/dashboard/keys", "/dashboard/profiles/default", "/dashboard/policies/default"):
        forms = re.findall(r'method="post" action="([^"]+)"', visitor.get(path).text)
        assert {form.partition("#")[0] for form in forms} <= {
            "/dashboard/sign-out",
            "/dashboard/policies/default/explain",
        }


def test_a_canary_is_taken_back_by_its_button(shown: Shown, admin: Administrator) -> None:
    """Rolling back withdraws the canary first, then the version in force; a version is put in force again."""
    visitor = shown.visitor()
    page = visitor.get("/dashboard/profiles/default").text
    assert "Take back the canary" in page
    assert "version 2 on 5.0%" in page
    assert visitor.send("/dashboard/profiles/default/rollback", reason="looks wrong").status_code == 303
    (canary, *_) = admin.get("/profiles/default/canaries")["data"]
    assert (canary["state"], canary["reason"]) == ("withdrawn", "looks wrong")
    assert "Take back version 1" in visitor.get("/dashboard/profiles/default").text
    assert visitor.send("/dashboard/profiles/default/activate", number="2", reason="").status_code == 303
    (profile,) = admin.get("/profiles")["data"]
    assert (profile["number"], profile["reason"]) == (2, "by hand")
    assert visitor.send("/dashboard/profiles/default/activate", number="x").status_code == 400
    assert visitor.send("/dashboard/profiles/default/activate", number="99").status_code == 404


def test_a_policy_goes_back_and_returns(shown: Shown, admin: Administrator) -> None:
    """Versions are compared; one that was gone back to stands in place of the file's, as told, until it is released."""
    policy, visitor = Versions(admin, shown.home / "policies"), shown.visitor()
    first, second = policy.write(10), policy.write(20)
    path = f"/dashboard/policies/{policy.name}"
    compared = visitor.get(f"{path}?against={first}").text
    assert re.search(r'class="minus">-.*10', compared)
    assert re.search(r'class="plus">\+.*20', compared)
    assert visitor.send(f"{path}/rollback", to=first).headers["location"] == path
    assert policy.present()["in_place_of"] == second
    page = visitor.get(path).text
    assert "Rolled back" in page
    assert Reading(page).faults == []
    assert visitor.send(f"{path}/release").status_code == 303
    assert policy.present()["digest"] == second
    assert visitor.send(f"{path}/rollback", to="x").status_code == 400


def test_a_policy_without_an_earlier_version_stays(shown: Shown) -> None:
    """Where there is nothing to go back to, the page says so."""
    answer = shown.visitor().send("/dashboard/policies/default/rollback")
    assert answer.status_code in {404, 409}
    assert 'role="alert"' in answer.text
