"""Virtual keys in front of real clients: what a restricted, revoked or expired key meets, and what is on record."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.http.admin.administrator import Administrator
from tests.upstreams.gateway_process import GatewayProcess

pytest_plugins = ("tests.upstreams.fixtures",)

TURNS: Any = [{"role": "user", "content": "Hello"}]
ALLOWED = ["gpt-4.1*", "claude-haiku-4-5"]


@pytest.fixture(scope="module")
def admin(gateway: GatewayProcess) -> Administrator:
    """Who holds admin.key."""
    return Administrator.of_home(gateway.address, gateway.log_file.parent)


@pytest.fixture(scope="module")
def restricted(admin: Administrator) -> tuple[dict[str, Any], str]:
    """A key for two models, of a team that may use any of OpenAI's and all of Anthropic's but one."""
    team = admin.team(models=["gpt-*", "text-*", "claude-haiku-*", "claude-sonnet-*"])
    return admin.key(models=ALLOWED, team=team["id"])


def _by_openai(address: str, secret: str, model: str) -> Any:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=secret, max_retries=0) as client:
        return client.chat.completions.create(model=model, messages=TURNS)


def _by_responses(address: str, secret: str, model: str) -> Any:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=secret, max_retries=0) as client:
        return client.responses.create(model=model, input="Hello")


def _by_anthropic(address: str, secret: str, model: str) -> Any:
    with anthropic.Anthropic(base_url=address, api_key=secret, max_retries=0) as client:
        return client.messages.create(model=model, messages=TURNS, max_tokens=99)


CLIENTS: list[Any] = [
    pytest.param(_by_openai, openai, id="chat"),
    pytest.param(_by_responses, openai, id="responses"),
    pytest.param(_by_anthropic, anthropic, id="messages"),
]


@pytest.mark.parametrize(("call", "package"), CLIENTS)
def test_a_key_uses_what_it_may(
    gateway: GatewayProcess, restricted: tuple[Any, str], call: Callable[..., Any], package: Any
) -> None:
    """A model that key and team allow answers; another one is the client's own PermissionDeniedError, naming these."""
    assert call(gateway.address, restricted[1], "claude-haiku-4-5").id
    for model in ("claude-sonnet-4-6", "claude-opus-4-8", "gpt-5.4"):
        with pytest.raises(package.PermissionDeniedError) as refused:
            call(gateway.address, restricted[1], model)
        assert "it may use: claude-haiku-4-5, gpt-4.1-mini" in str(refused.value)
    with pytest.raises(package.NotFoundError) as unknown:
        call(gateway.address, restricted[1], "gpt-9")
    assert "available: claude-haiku-4-5, gpt-4.1-mini" in str(unknown.value)


@pytest.mark.parametrize(("call", "package"), CLIENTS)
def test_a_revoked_key_is_an_authentication_error(
    gateway: GatewayProcess, admin: Administrator, call: Callable[..., Any], package: Any
) -> None:
    """A revoked key is the client's own AuthenticationError with the reason, and an unknown one without any."""
    key, secret = admin.key()
    assert call(gateway.address, secret, "gpt-4.1-mini").id
    admin.done("POST", f"/keys/{key['id']}/revoke")
    with pytest.raises(package.AuthenticationError, match="is revoked"):
        call(gateway.address, secret, "gpt-4.1-mini")
    with pytest.raises(package.AuthenticationError, match="not known here"):
        call(gateway.address, f"{secret}x", "gpt-4.1-mini")


def test_models_are_listed_for_the_key(gateway: GatewayProcess, restricted: tuple[Any, str]) -> None:
    """A restricted key sees the models that it may use, in lists and one by one."""
    with openai.OpenAI(base_url=f"{gateway.address}/v1", api_key=restricted[1], max_retries=0) as client:
        names = [model.id for model in client.models.list() if model.owned_by != "ponder"]
        assert names == ["claude-haiku-4-5", "gpt-4.1-mini"]
        assert client.models.retrieve("gpt-4.1-mini").id == "gpt-4.1-mini"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-5.4")


def test_the_admin_key_calls_no_model(gateway: GatewayProcess, admin: Administrator) -> None:
    """admin.key is refused every model, so that nobody hands it to an application."""
    assert admin.secret is not None
    with pytest.raises(openai.PermissionDeniedError, match="it may use: none"):
        _by_openai(gateway.address, admin.secret, "gpt-4.1-mini")


def test_a_record_is_its_keys_own(gateway: GatewayProcess, admin: Administrator, restricted: tuple[Any, str]) -> None:
    """A request is shown to the key that made it and to those with a role, to nobody else of the same team."""
    key, secret = restricted
    request_id = _ask(gateway, secret, "gpt-4.1-mini").headers["x-ponder-request-id"]
    _, colleague = admin.key(team=key["team_id"])
    viewer = admin.having("viewer").secret
    for each, status in ((secret, 200), (viewer, 200), (admin.secret, 200), (colleague, 404), (gateway.key, 404)):
        answer = httpx.get(f"{gateway.address}/v1/requests/{request_id}", headers={"authorization": f"Bearer {each}"})
        assert answer.status_code == status


def _ask(gateway: GatewayProcess, secret: str, model: str) -> httpx.Response:
    body = {"model": model, "messages": TURNS}
    return gateway.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {secret}"})


def test_traffic_is_told_by_key_and_team(gateway: GatewayProcess, admin: Administrator) -> None:
    """Requests are listed, and spending is summed, by key, team, model and day, refused ones included in the list."""
    team = admin.team()
    key, secret = admin.key(team=team["id"])
    answers = [_ask(gateway, secret, model) for model in ("gpt-4.1-mini", "gpt-4.1-mini", "gpt-9")]
    for answer in answers:
        assert httpx.get(
            f"{gateway.address}/v1/requests/{answer.headers['x-ponder-request-id']}",
            headers={"authorization": f"Bearer {secret}"},
        ).is_success
    listed = admin.get("/requests", team=team["id"])["data"]
    assert [line["id"] for line in listed] == [answer.headers["x-ponder-request-id"] for answer in reversed(answers)]
    assert [line["status"] for line in listed] == [404, 200, 200]
    assert admin.get("/requests", key=key["id"], result="refused", limit=1)["data"] == listed[:1]
    page = admin.get("/requests", key=key["id"], limit=2)
    assert admin.get("/requests", key=key["id"], after=page["next"])["data"] == listed[2:]
    spend = admin.get("/spend", by=["team", "model", "day"])
    assert not spend["more"]
    (line,) = [line for line in spend["data"] if line["team_id"] == team["id"]]
    assert (line["model"], line["calls"], line["cost_usd"], line["key_id"]) == ("gpt-4.1-mini", 2, "0.00012", None)
    (line,) = [line for line in admin.get("/spend", by="key")["data"] if line["key_id"] == key["id"]]
    assert line["calls"] == 2
    assert admin.get("/spend", by="key", since="2001-01-01T00:00:00Z", until="2001-01-02T00:00:00Z")["data"] == []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/requests", {"since": "yesterday"}),
        ("/requests", {"since": "0001-01-01T00:00:00Z"}),
        ("/requests", {"until": "9999-12-31T23:59:59-12:00"}),
        ("/requests", {"after": "x"}),
        ("/requests", {"limit": 1001}),
        ("/requests", {"model": "a\x00"}),
        ("/spend", {}),
        ("/spend", {"by": "hour"}),
        ("/audit", {"before": 0}),
        ("/audit", {"target": "key:1'"}),
    ],
)
def test_questions_that_make_no_sense_are_refused(admin: Administrator, path: str, query: dict[str, Any]) -> None:
    """A parameter that is unknown, unreadable or out of range is 400."""
    assert admin.ask("GET", path, params=query).status_code == 400


def test_no_secret_is_kept_or_told(gateway: GatewayProcess, admin: Administrator) -> None:
    """After its whole life a secret stands in no table, no log line, no audit entry, no metric and no error."""
    key, first = admin.key(role="viewer")
    second = admin.done("POST", f"/keys/{key['id']}/rotate", {"grace_s": 60})["secret"]
    answers = [_ask(gateway, second, "gpt-4.1-mini"), _ask(gateway, second, "gpt-9")]
    admin.done("POST", f"/keys/{key['id']}/revoke")
    answers += [_ask(gateway, first, "gpt-4.1-mini"), _ask(gateway, f"{second}x", "gpt-4.1-mini")]
    answers += [admin.ask("POST", "/keys", {"name": second}), admin.ask("GET", f"/keys/{first}")]
    assert [answer.status_code for answer in answers] == [200, 404, 401, 401, 400, 404]
    home = gateway.log_file.parent
    files = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".key"]
    with sqlite3.connect(home / "ponder.db") as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    told = [answer.text + str(answer.headers) for answer in answers]
    told += [dump, gateway.get("/metrics").text, admin.ask("GET", "/audit").text]
    assert key["id"] in dump
    for secret in (first, second, gateway.key, str(admin.secret)):
        random_part = secret.removeprefix("sk-ponder-")
        for part in (random_part, random_part[:20], random_part[-20:]):
            assert not [text[:200] for text in told if part in text]
            assert not [path.name for path in files if part.encode() in path.read_bytes()]


def test_the_key_in_a_log_line_is_its_id(gateway: GatewayProcess, restricted: tuple[Any, str]) -> None:
    """Log lines and records name a key by its id."""
    request_id = _ask(gateway, restricted[1], "gpt-4.1-mini").headers["x-ponder-request-id"]
    assert gateway.log_line(request_id)["key"] == restricted[0]["id"]
    assert re.fullmatch(r"key_[0-9a-f]{22}", restricted[0]["id"])
