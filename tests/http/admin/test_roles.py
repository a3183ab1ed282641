"""Who may do what under /admin: every operation of the OpenAPI document, with every role."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.store.changes import Changes
from gateway.store.profiles import Profiles
from gateway.store.verifier_looks import VerifierLooks
from tests.http.admin.administrator import Administrator, fresh
from tests.http.admin.test_runs import write_run
from tests.policy.documents import policy_text, write_policy
from tests.store.profiles import changed
from tests.store.profiles import document as document_of
from tests.store.records import NOON
from tests.store.tenants import ADMIN as BOSS
from tests.store.test_verifier_looks import look
from tests.upstreams.gateway_process import GatewayProcess, awaited

VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"
RANKS = {VIEWER: 0, OPERATOR: 1, ADMIN: 2}
NEEDED = {
    ("get", "/admin/teams"): VIEWER,
    ("post", "/admin/teams"): ADMIN,
    ("get", "/admin/teams/{team}"): VIEWER,
    ("patch", "/admin/teams/{team}"): OPERATOR,
    ("delete", "/admin/teams/{team}"): ADMIN,
    ("get", "/admin/keys"): VIEWER,
    ("post", "/admin/keys"): ADMIN,
    ("get", "/admin/keys/{key}"): VIEWER,
    ("patch", "/admin/keys/{key}"): OPERATOR,
    ("post", "/admin/keys/{key}/revoke"): OPERATOR,
    ("post", "/admin/keys/{key}/rotate"): ADMIN,
    ("put", "/admin/keys/{key}/budgets/{period}"): OPERATOR,
    ("delete", "/admin/keys/{key}/budgets/{period}"): OPERATOR,
    ("put", "/admin/teams/{team}/budgets/{period}"): OPERATOR,
    ("delete", "/admin/teams/{team}/budgets/{period}"): OPERATOR,
    ("get", "/admin/provider-keys"): VIEWER,
    ("put", "/admin/provider-keys/{upstream}"): ADMIN,
    ("delete", "/admin/provider-keys/{upstream}"): ADMIN,
    ("get", "/admin/policies"): VIEWER,
    ("get", "/admin/policies/{digest}"): VIEWER,
    ("get", "/admin/policies/{name}/versions"): VIEWER,
    ("post", "/admin/policies/{name}/rollback"): OPERATOR,
    ("post", "/admin/policies/{name}/release"): OPERATOR,
    ("get", "/admin/profiles"): VIEWER,
    ("get", "/admin/profiles/{policy}/versions"): VIEWER,
    ("get", "/admin/profiles/{policy}/versions/{number}"): VIEWER,
    ("get", "/admin/profiles/{policy}/activations"): VIEWER,
    ("get", "/admin/profiles/{policy}/canaries"): VIEWER,
    ("post", "/admin/profiles/{policy}/activate"): OPERATOR,
    ("post", "/admin/profiles/{policy}/rollback"): OPERATOR,
    ("get", "/admin/runs"): VIEWER,
    ("get", "/admin/runs/{run}"): VIEWER,
    ("get", "/admin/verifiers"): VIEWER,
    ("get", "/admin/verifiers/{name}/looks"): VIEWER,
    ("post", "/admin/verifiers/{name}/lift"): OPERATOR,
    ("get", "/admin/audit"): VIEWER,
    ("get", "/admin/requests"): VIEWER,
    ("get", "/admin/spend"): VIEWER,
    ("get", "/admin/reconciliations"): VIEWER,
}
"""Every operation → the least role that may."""

_NEVER = NOON + 9e8
_DAY = [{"period": "day", "amount_usd": "1"}]


def _bodies() -> dict[tuple[str, str], Any]:
    return {
        ("post", "/admin/teams"): {"name": fresh("team")},
        ("patch", "/admin/teams/{team}"): {"limits": {"concurrency": 2}},
        ("post", "/admin/keys"): {"name": fresh("k")},
        ("patch", "/admin/keys/{key}"): {"limits": {"concurrency": 2}},
        ("put", "/admin/keys/{key}/budgets/{period}"): {"amount_usd": "2"},
        ("put", "/admin/teams/{team}/budgets/{period}"): {"amount_usd": "2"},
        ("put", "/admin/provider-keys/{upstream}"): {"key": "sk-of-a-provider"},
        ("post", "/admin/profiles/{policy}/activate"): {"number": 2},
    }


@pytest.fixture(scope="module")
def document(administered: GatewayProcess) -> dict[str, Any]:
    """The gateway's OpenAPI document."""
    found: dict[str, Any] = httpx.get(f"{administered.address}/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def callers(admin: Administrator) -> dict[str | None, Administrator]:
    """Somebody of every role, None for one without any."""
    return {role: admin.having(role) for role in (None, *RANKS)}


@pytest.fixture(scope="module")
def versions(admin: Administrator, home: Path) -> list[str]:
    """The digests of a policy ``roles`` that has had two versions, the later one first."""

    def recorded(count: int) -> list[str] | None:
        answer = admin.ask("GET", "/policies/roles/versions")
        found = [each["digest"] for each in answer.json()["data"]] if answer.status_code == 200 else []
        return found if len(found) == count else None

    for count in (1, 2):
        write_policy(home / "policies", "roles", policy_text("roles", deadline_s=count))
        digests: list[str] = awaited(partial(recorded, count), "the version")
    return digests


@pytest.fixture(scope="module")
def profile(home: Path, administered: GatewayProcess) -> str:
    """The policy of a profile with two versions."""

    async def publish(changes: Changes) -> str:
        for number, arm in ((1, "fast"), (2, "think")):
            await Profiles(changes).publish(document_of("roles", arm=arm), number=number, expires_at=_NEVER, by=BOSS)
        return "roles"

    assert administered.address
    return changed(home, publish)


@pytest.fixture(scope="module")
def calibration(home: Path, administered: GatewayProcess) -> str:
    """A calibration run."""
    assert administered.address
    run_id = fresh("run")
    asyncio.run(write_run(home, run_id, run_id))
    return run_id


def _cap(home: Path) -> None:
    """Put a cap on a verifier ``roles`` in force."""

    async def examine(changes: Changes) -> None:
        looks = VerifierLooks(changes)
        await looks.record(look(await looks.next_number("roles"), 4, verifier="roles"), BOSS)

    changed(home, examine)


def _operations(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (method, path) for path, methods in document["paths"].items() if path.startswith("/admin") for method in methods
    }


def test_every_operation_has_its_role(document: dict[str, Any]) -> None:
    """The table above leaves out nothing that the document offers, and the document says who may."""
    assert _operations(document) == NEEDED.keys()
    for (method, path), role in NEEDED.items():
        assert role in document["paths"][path][method]["summary"]


@pytest.mark.parametrize("role", [None, *RANKS])
@pytest.mark.parametrize(("method", "path"), NEEDED)
def test_a_role_suffices_or_is_named(
    admin: Administrator,
    callers: dict[str | None, Administrator],
    versions: list[str],
    profile: str,
    calibration: str,
    *,
    home: Path,
    method: str,
    path: str,
    role: str | None,
) -> None:
    """Whoever has the role succeeds; whoever has not is told 403 and which one it takes, and nothing changes."""
    team, (key, _) = admin.team(budgets=_DAY), admin.key(budgets=_DAY)
    admin.done("PUT", "/provider-keys/acme", {"key": "sk-of-a-provider"})
    admin.ask("POST", "/policies/roles/release")
    if path.endswith("/release"):
        admin.done("POST", "/policies/roles/rollback")
    admin.ask("POST", f"/profiles/{profile}/activate", {"number": 1})
    if path.endswith("/lift"):
        _cap(home)
    changes = admin.get("/audit", limit=1)["data"][0]["number"]
    named = {"team": team["id"], "key": key["id"], "period": "day", "upstream": "acme"}
    named |= {"name": "roles", "digest": versions[0], "policy": profile, "run": calibration}
    whole = path.removeprefix("/admin").format(**named, number=1)
    query = {"by": "key"} if path == "/admin/spend" else {}
    answer = callers[role].ask(method, whole, _bodies().get((method, path)), params=query)
    needed = NEEDED[method, path]
    if role is not None and RANKS[role] >= RANKS[needed]:
        assert answer.status_code in {200, 201}, answer.text
        assert admin.get("/audit", limit=1)["data"][0]["number"] == changes + (method != "get")
        return
    assert answer.status_code == 403
    assert needed in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "permission_error"
    assert admin.get("/audit", limit=1)["data"][0]["number"] == changes


@pytest.mark.parametrize(
    "body", [{"name": "x"}, {"models": None}, {"limits": {}, "models": []}, {"role": "admin"}, {"may_override": True}]
)
def test_an_operator_changes_limits_alone(
    callers: dict[str | None, Administrator], admin: Administrator, body: Any
) -> None:
    """Whatever else an operator tries to change, next to limits or alone, is refused."""
    key, _ = admin.key()
    answer = callers[OPERATOR].ask("PATCH", f"/keys/{key['id']}", body)
    assert answer.status_code == 403
    assert admin.get(f"/keys/{key['id']}") == key


def test_an_operator_cannot_rise(callers: dict[str | None, Administrator], admin: Administrator) -> None:
    """A key that has a role is out of an operator's reach: its limits, its budgets and its end."""
    key, _ = admin.key(role=VIEWER)
    operator = callers[OPERATOR]
    for method, path, body in (
        ("PATCH", "", {"limits": {"concurrency": 9}}),
        ("PUT", "/budgets/day", {"amount_usd": "9"}),
        ("POST", "/revoke", None),
    ):
        assert operator.ask(method, f"/keys/{key['id']}{path}", body).status_code == 403
    assert admin.get(f"/keys/{key['id']}") == key


@pytest.mark.parametrize(("method", "path"), [*NEEDED, ("get", "/admin"), ("post", "/admin/nothing")])
@pytest.mark.parametrize("secret", [None, "sk-ponder-nobody", "admin", "x" * 600])
def test_strangers_learn_nothing(administered: GatewayProcess, secret: str | None, *, method: str, path: str) -> None:
    """Without a known key every path below /admin, real or not, is 401 before its body is looked at."""
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    answer = httpx.request(method, administered.address + path, headers=headers, content=b"not json")
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["//admin/keys", "/v1/../admin/keys", "/%61dmin/keys", "/ADMIN/keys", "/admin;x/keys"])
def test_no_spelling_of_a_path_leads_around_the_gate(administered: GatewayProcess, path: str) -> None:
    """However /admin is written, a stranger gets nothing from it."""
    request = httpx.Request("GET", administered.address)
    request.url = request.url.copy_with(raw_path=path.encode())
    with httpx.Client() as client:
        assert client.send(request).status_code in {401, 404}


def test_the_default_key_administers_nothing(administered: GatewayProcess) -> None:
    """The first virtual key may call every model, and nothing under /admin."""
    answer = administered.get("/admin/keys")
    assert answer.status_code == 403
    assert "viewer" in answer.json()["error"]["message"]
