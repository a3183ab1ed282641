"""Teams and budgets over HTTP."""

from __future__ import annotations

import pytest

from tests.http.admin.administrator import Administrator, fresh


def test_a_team_is_made_changed_and_deleted(admin: Administrator) -> None:
    """A team comes back as it was made, keeps what a change does not name, and is gone when it is deleted."""
    made = admin.team(
        models=["m*"],
        limits={"requests_per_minute": 5},
        budgets=[{"period": "month", "amount_usd": 1.5, "soft_share": 0.5}],
    )
    assert made["budgets"] == [{"period": "month", "amount_usd": "1.5", "soft_share": "0.5"}]
    changed = admin.done("PATCH", f"/teams/{made['name']}", {"limits": {"concurrency": 2}, "arms": ["fast"]})
    assert changed == {**made, "arms": ["fast"], "limits": {**made["limits"], "concurrency": 2}}
    assert admin.get(f"/teams/{made['id']}") == changed
    assert changed in admin.get("/teams", limit=1000)["data"]
    deleted = admin.done("DELETE", f"/teams/{made['id']}")
    assert deleted["deleted_at"] is not None
    assert admin.ask("GET", f"/teams/{made['id']}").status_code == 404
    assert deleted in admin.get("/teams", limit=1000, deleted=True)["data"]


def test_a_team_with_keys_is_a_conflict(admin: Administrator) -> None:
    """A team whose keys are valid stays, and the answer says what to do."""
    team = admin.team()
    admin.key(team=team["id"])
    answer = admin.ask("DELETE", f"/teams/{team['id']}")
    assert answer.status_code == 409
    assert "revoke them first" in answer.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["keys", "teams"])
def test_budgets_are_set_replaced_and_removed(admin: Administrator, kind: str) -> None:
    """There is one budget per period; the periods stand in order, and removing what is not there is 404."""
    holder = admin.team() if kind == "teams" else admin.key()[0]
    path = f"/{kind}/{holder['id']}/budgets"
    admin.done("PUT", f"{path}/total", {"amount_usd": "100"})
    admin.done("PUT", f"{path}/day", {"amount_usd": "3", "soft_share": "0.75"})
    changed = admin.done("PUT", f"{path}/day", {"amount_usd": "0"})
    assert changed["budgets"] == [
        {"period": "day", "amount_usd": "0", "soft_share": None},
        {"period": "total", "amount_usd": "100", "soft_share": None},
    ]
    assert [each["period"] for each in admin.done("DELETE", f"{path}/day")["budgets"]] == ["total"]
    answer = admin.ask("DELETE", f"{path}/day")
    assert answer.status_code == 404
    assert "total" in answer.json()["error"]["message"]
    assert admin.ask("PUT", f"{path}/year", {"amount_usd": "1"}).status_code == 400


def test_what_is_not_there_is_404(admin: Administrator) -> None:
    """Teams and keys that are not there, and paths that are none, are 404 in our shape."""
    for path in ("/teams/nobody", "/keys/nobody", "/nothing", "/keys/nobody/secrets"):
        answer = admin.ask("GET", path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"
    answer = admin.ask("POST", "/keys", {"name": fresh("k"), "team": "nobody"})
    assert answer.status_code == 404
    assert admin.ask("DELETE", "/keys/nobody").status_code == 405
