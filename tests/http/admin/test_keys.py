"""Keys over HTTP: issuing, changing, rotating, revoking, and what of all that the audit log tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.http.admin.administrator import Administrator, fresh

FULL: dict[str, Any] = {
    "role": None,
    "priority": "background",
    "may_override": True,
    "models": ["gpt-*"],
    "arms": [],
    "policies": None,
    "policy": "thrift",
    "limits": {"requests_per_minute": 60, "tokens_per_minute": 9007199254740991, "concurrency": 1},
    "budgets": [
        {"period": "day", "amount_usd": "0.000000001", "soft_share": "0.8"},
        {"period": "total", "amount_usd": "1000000000", "soft_share": None},
    ],
    "expires_at": "2099-01-01T00:00:00Z",
}


def _models(admin: Administrator, secret: str) -> httpx.Response:
    return httpx.get(f"{admin.address}/v1/models", headers={"authorization": f"Bearer {secret}"})


def test_a_key_is_issued_and_found(admin: Administrator) -> None:
    """All that was asked for is there, by id and by name; the secret opens the gateway and is told only once."""
    team = admin.team()
    key, secret = admin.key(team=team["name"], **FULL)
    assert {name: key[name] for name in FULL} == FULL
    assert key["team_id"] == team["id"]
    assert key["id"].startswith("key_")
    assert admin.get(f"/keys/{key['id']}") == admin.get(f"/keys/{key['name']}") == key
    assert key["secrets"][0]["hint"] == f"sk-ponder-…{secret[-4:]}"
    assert _models(admin, secret).status_code == 200
    assert secret not in admin.ask("GET", f"/keys/{key['id']}").text
    assert admin.ask("GET", "/keys").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nmae": "x"}, "nmae"),
        ({"name": "key_1"}, "begin with key_"),
        ({"name": "sk-ponder-1"}, "as secrets do"),
        ({"name": "default"}, "must be none of"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"role": "root"}, "role"),
        ({"models": ["x"] * 257}, "models"),
        ({"models": ["with space"]}, "models"),
        ({"limits": {"concurrency": 0}}, "limits.concurrency"),
        ({"limits": {"concurrency": True}}, "limits.concurrency"),
        ({"limits": {"requests_per_minute": 2**53}}, "limits.requests_per_minute"),
        ({"budgets": [{"period": "day", "amount_usd": "1"}] * 2}, "one budget per period"),
        ({"budgets": [{"period": "year", "amount_usd": "1"}]}, "period"),
        ({"budgets": [{"period": "day", "amount_usd": "-1"}]}, "amount_usd"),
        ({"budgets": [{"period": "day", "amount_usd": "1e999999"}]}, "amount_usd"),
        ({"budgets": [{"period": "day", "amount_usd": "NaN"}]}, "amount_usd"),
        ({"budgets": [{"period": "day", "amount_usd": "0.0000000001"}]}, "amount_usd"),
        ({"budgets": [{"period": "day", "amount_usd": "1", "soft_share": "1.1"}]}, "soft_share"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
    ],
)
def test_what_is_not_understood_is_refused(admin: Administrator, change: dict[str, Any], words: str) -> None:
    """A field that is unknown, out of range or past ends in 400 that names it, and no key is made."""
    before = len(admin.get("/keys", limit=1000)["data"])
    answer = admin.ask("POST", "/keys", {"name": fresh("k"), **change})
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]["message"]
    assert len(admin.get("/keys", limit=1000)["data"]) == before


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"[" * 60_000, 400),
        (b"\xff", 400),
        (b'{"name": "\\ud800"}', 400),
        (b" " * 65_537, 413),
    ],
)
def test_bodies_that_cannot_be_read(admin: Administrator, content: bytes, status: int) -> None:
    """A body that is no JSON object, too deep or too large is refused in our shape."""
    answer = admin.ask("POST", "/keys", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code", "help"}


def test_conflicts_are_409(admin: Administrator) -> None:
    """A name that is taken, and a key that is revoked already, are conflicts."""
    key, _ = admin.key()
    answer = admin.ask("POST", "/keys", {"name": key["name"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    admin.done("POST", f"/keys/{key['id']}/revoke")
    assert admin.ask("POST", f"/keys/{key['id']}/revoke").status_code == 409


def test_a_change_keeps_what_it_does_not_name(admin: Administrator) -> None:
    """A field left out stays, null takes a restriction away, and limits change one by one."""
    key, _ = admin.key(**FULL)
    body = {"models": None, "limits": {"concurrency": None}, "expires_at": None, "name": fresh("k")}
    changed = admin.done("PATCH", f"/keys/{key['id']}", body)
    limits = {**FULL["limits"], "concurrency": None}
    assert changed == {**key, "models": None, "limits": limits, "expires_at": None, "name": body["name"]}
    assert admin.done("PATCH", f"/keys/{key['id']}", {}) == changed


def test_a_key_and_a_team_name_their_policy(admin: Administrator) -> None:
    """A policy in force may be named, changed and taken back; one that is not is refused with those that are."""
    team, (key, _) = admin.team(policy="careful"), admin.key(policy="thrift")
    for path, thing in ((f"/teams/{team['id']}", team), (f"/keys/{key['id']}", key)):
        assert thing["policy"] in {"careful", "thrift"}
        assert admin.done("PATCH", path, {"policy": "default"})["policy"] == "default"
        refused = admin.ask("PATCH", path, {"policy": "thirft"})
        assert refused.status_code == 400
        assert "careful, default" in refused.json()["error"]["message"]
        assert refused.json()["error"]["param"] == "policy"
        assert admin.done("PATCH", path, {"policy": None})["policy"] is None
    for kind in ("/teams", "/keys"):
        assert admin.ask("POST", kind, {"name": fresh("k"), "policy": "thirft"}).status_code == 400


def test_a_revoked_key_says_so_to_its_holder(admin: Administrator) -> None:
    """Right after its revocation a key is 401 here, with the reason, and lists show it only on request."""
    key, secret = admin.key()
    admin.done("POST", f"/keys/{key['name']}/revoke")
    answer = _models(admin, secret)
    assert answer.status_code == 401
    assert "is revoked" in answer.json()["error"]["message"]
    listed = [each["id"] for each in admin.get("/keys", limit=1000)["data"]]
    with_revoked = [each["id"] for each in admin.get("/keys", limit=1000, revoked=True)["data"]]
    assert key["id"] not in listed
    assert key["id"] in with_revoked


@pytest.mark.parametrize(("grace_s", "status"), [(0, 401), (600, 200)])
def test_a_rotated_key_has_a_new_secret(admin: Administrator, grace_s: int, status: int) -> None:
    """The new secret opens at once; the one before works on for the grace that was asked for."""
    key, old = admin.key()
    issued = admin.done("POST", f"/keys/{key['id']}/rotate", {"grace_s": grace_s})
    assert _models(admin, issued["secret"]).status_code == 200
    answer = _models(admin, old)
    assert answer.status_code == status
    assert status == 200 or "has expired" in answer.json()["error"]["message"]


def test_an_expired_key_says_so(admin: Administrator) -> None:
    """A key whose time is over is 401 with the reason."""
    soon = datetime.now(UTC) + timedelta(seconds=1)
    _, secret = admin.key(expires_at=soon.isoformat())
    while datetime.now(UTC) < soon:
        assert _models(admin, secret).status_code in {200, 401}
    answer = _models(admin, secret)
    assert answer.status_code == 401
    assert "has expired" in answer.json()["error"]["message"]


def test_lists_go_on(admin: Administrator) -> None:
    """Page after page gives each key of a team once, the oldest first."""
    team = admin.team()
    made = [admin.key(team=team["id"])[0]["id"] for _ in range(5)]
    paged: list[str] = []
    query = {"team": team["id"], "limit": 2}
    for _ in range(3):
        page = admin.get("/keys", **query)
        paged += [key["id"] for key in page["data"]]
        query["after"] = page["next"]
    assert paged == made
    assert page["next"] is None


def test_the_audit_log_tells_who_did_what(admin: Administrator) -> None:
    """Each change stands there with its author, and the key before and after, and without its secret."""
    operator_key, operator_secret = admin.key(role="operator")
    key, secret = admin.key()
    changed = Administrator(admin.address, operator_secret).done(
        "PUT", f"/keys/{key['id']}/budgets/week", {"amount_usd": 5}
    )
    rotated = admin.done("POST", f"/keys/{key['id']}/rotate")
    answer = admin.ask("GET", "/audit", params={"target": f"key:{key['id']}"})
    entries = answer.json()["data"]
    assert [(entry["actor"], entry["action"]) for entry in entries] == [
        ("admin", "key.rotate"),
        (operator_key["id"], "key.set_budget"),
        ("admin", "key.create"),
    ]
    assert entries[1]["before"]["budgets"] == []
    assert entries[1]["after"]["budgets"] == changed["budgets"]
    assert entries[2]["before"] is None
    for each in (secret, rotated["secret"]):
        assert each not in answer.text
    page = admin.get("/audit", target=f"key:{key['id']}", limit=2)
    assert [
        entry["number"] for entry in admin.get("/audit", target=f"key:{key['id']}", before=page["next"])["data"]
    ] == [entries[2]["number"]]
