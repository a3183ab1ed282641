"""Background responses through the real gateway: asked for, looked at, cancelled, and made again after a kill."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.http.admin.administrator import Administrator
from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.configuration import one_model
from tests.upstreams.gated_server import GatedServer
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.openai_server import OpenAIServer

pytest_plugins = ("tests.upstreams.fixtures",)

OPEN = {"queued", "in_progress"}


@pytest.fixture(name="admin")
def _admin(gateway: GatewayProcess) -> Administrator:
    return Administrator.of_home(gateway.address, gateway.home)


@pytest.fixture(name="gated")
def _gated(tmp_path: Path, gated_server: GatedServer) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path, one_model(gated_server.address), {}) as process:
        yield process


def _client(gateway: GatewayProcess, secret: str | None = None) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.address}/v1", api_key=secret or gateway.key, max_retries=0, timeout=30)


def _ended(client: openai.OpenAI, response_id: str) -> Any:
    def look() -> Any:
        response = client.responses.retrieve(response_id)
        return None if response.status in OPEN else response

    return awaited(look, f"the end of {response_id}")


def test_a_response_is_made_in_the_background(gateway: GatewayProcess, openai_server: OpenAIServer) -> None:
    """The client gets a queued response at once and the whole answer later, by the same id; its record has the cost."""
    with _client(gateway) as client:
        queued = client.responses.create(
            model="gpt-4.1-mini", input="Hello", background=True, instructions="Be brief.", metadata={"a": "b"}
        )
        assert (queued.status, queued.background, queued.output) == ("queued", True, [])
        assert (queued.instructions, queued.metadata) == ("Be brief.", {"a": "b"})
        done = _ended(client, queued.id)
    assert (done.id, done.status, done.background, done.error) == (queued.id, "completed", True, None)
    assert done.output_text
    assert "background" not in openai_server.last.json
    record = gateway.record(done._request_id)
    assert (record["result"], record["endpoint"], record["model_asked"]) == (
        "answered",
        "/v1/responses",
        "gpt-4.1-mini",
    )
    assert record["cost_usd"] != "0"


def test_a_model_of_another_dialect_answers(gateway: GatewayProcess, anthropic_server: AnthropicServer) -> None:
    """A background response of a model that speaks another dialect is translated, as a live one is."""
    with _client(gateway) as client:
        queued = client.responses.create(model="claude-haiku-4-5", input="Hello", background=True)
        done = _ended(client, queued.id)
    assert done.status == "completed"
    assert done.output_text
    assert anthropic_server.last.path == "/v1/messages"


def test_what_cannot_be_asked_for_is_refused_at_once(gateway: GatewayProcess, admin: Administrator) -> None:
    """Streams, store: false, unknown models and those that the key may not use are refused before anything is kept."""
    _, restricted = admin.key(models=["gpt-5.4"])
    with _client(gateway) as client, _client(gateway, restricted) as other:
        with pytest.raises(openai.BadRequestError, match="'stream' must be false"):
            client.responses.create(model="gpt-4.1-mini", input="Hi", background=True, stream=True)
        with pytest.raises(openai.BadRequestError, match="'store' must be true"):
            client.responses.create(model="gpt-4.1-mini", input="Hi", background=True, store=False)
        with pytest.raises(openai.NotFoundError, match="not configured"):
            client.responses.create(model="gpt-9", input="Hi", background=True)
        with pytest.raises(openai.PermissionDeniedError, match="this key may not use the model"):
            other.responses.create(model="gpt-4.1-mini", input="Hi", background=True)
        with pytest.raises(openai.BadRequestError, match="'background' must be true or false"):
            client.responses.create(model="gpt-4.1-mini", input="Hi", background="yes")  # type: ignore[call-overload]


def test_a_refusal_by_the_upstream_fails_the_response(gateway: GatewayProcess) -> None:
    """What the provider refuses is a failed response with the provider's own words; the client's call succeeds."""
    with _client(gateway) as client:
        queued = client.responses.create(model="gpt-4.1-mini", input="Hi", background=True, extra_body={"surplus": 1})
        failed = _ended(client, queued.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert "surplus" in failed.error.message
    assert failed.output == []


def test_an_exhausted_budget_fails_the_response(gateway: GatewayProcess, admin: Administrator) -> None:
    """A response that its key's budget does not cover fails, and says what is left."""
    _, secret = admin.key(budgets=[{"period": "total", "amount_usd": "0.000001"}])
    with _client(gateway, secret) as client:
        queued = client.responses.create(model="gpt-4.1-mini", input="Hi", background=True, max_output_tokens=50)
        failed = _ended(client, queued.id)
        assert client.responses.with_raw_response.retrieve(queued.id).status_code == 200
    assert (failed.status, failed.error.code) == ("failed", "budget_exhausted")
    assert "has $0.000001 left" in failed.error.message


def test_a_rate_limit_delays_the_response(gateway: GatewayProcess, admin: Administrator) -> None:
    """A response beyond its key's rate waits until the rate allows it, and is answered."""
    _, secret = admin.key(limits={"requests_per_minute": 40})
    headers = {"authorization": f"Bearer {secret}"}
    ask = {"model": "gpt-4.1-mini", "input": "Hi"}
    while gateway.post("/v1/responses", json=ask, headers=headers).status_code != httpx.codes.TOO_MANY_REQUESTS:
        pass
    with _client(gateway, secret) as client:
        queued = client.responses.create(**ask, background=True)  # type: ignore[call-overload]
        assert _ended(client, queued.id).status == "completed"


def test_other_keys_see_nothing(gateway: GatewayProcess, admin: Administrator) -> None:
    """A response is its key's own: for another key, also one with a role, it is not there to see, cancel or delete."""
    with _client(gateway) as client:
        mine = client.responses.create(model="gpt-4.1-mini", input="Hi", background=True)
        for secret in (admin.key()[1], admin.having("admin").secret):
            with _client(gateway, secret) as other:
                for act in (other.responses.retrieve, other.responses.cancel, other.responses.delete):
                    with pytest.raises(openai.NotFoundError, match="no background response of this id"):
                        act(mine.id)
        assert _ended(client, mine.id).status == "completed"


def test_a_live_response_is_not_fetched(gateway: GatewayProcess) -> None:
    """A response that is stored at its provider is none of ours: the refusal says which can be fetched."""
    with _client(gateway) as client:
        live = client.responses.create(model="gpt-4.1-mini", input="Hi")
        with pytest.raises(openai.NotFoundError, match="only responses made here with 'background': true"):
            client.responses.retrieve(live.id)


def test_a_background_response_is_continued(
    gateway: GatewayProcess, openai_server: OpenAIServer, admin: Administrator
) -> None:
    """Named as the previous one, live or in the background, it is known to its provider by the provider's own id."""
    with _client(gateway) as client, _client(gateway, admin.key()[1]) as other:
        first = client.responses.create(model="gpt-4.1-mini", input="Hi", background=True)
        stored = _ended(client, first.id)
        live = client.responses.create(model="gpt-4.1-mini", input="And?", previous_response_id=stored.id)
        sent = openai_server.last.json["previous_response_id"]
        assert sent.startswith("resp_0")
        assert live.output_text
        later = client.responses.create(
            model="gpt-4.1-mini", input="And?", previous_response_id=stored.id, background=True
        )
        assert _ended(client, later.id).status == "completed"
        assert openai_server.last.json["previous_response_id"] == sent
        with pytest.raises(openai.BadRequestError, match="names no background response of this key"):
            other.responses.create(model="gpt-4.1-mini", input="And?", previous_response_id=stored.id)


def test_a_deleted_response_is_gone(gateway: GatewayProcess) -> None:
    """After DELETE there is nothing to fetch or to cancel."""
    with _client(gateway) as client:
        made = client.responses.create(model="gpt-4.1-mini", input="Hi", background=True)
        _ended(client, made.id)
        with pytest.raises(openai.ConflictError, match="the response is completed"):
            client.responses.cancel(made.id)
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.delete(made.id)


def test_what_waits_is_limited(tmp_path: Path, gated_server: GatedServer) -> None:
    """As many responses of a key as the limit may wait; one more is refused until one has ended."""
    settings = one_model(gated_server.address, background={"max_key_waiting": 2})
    with GatewayProcess(tmp_path, settings, {}) as gateway, _client(gateway) as client:
        made = [client.responses.create(model="m", input="Hi", background=True) for _ in range(2)]
        with pytest.raises(openai.RateLimitError, match=r"background\.max_key_waiting"):
            client.responses.create(model="m", input="Hi", background=True)
        gated_server.open()
        assert {_ended(client, each.id).status for each in made} == {"completed"}
        client.responses.create(model="m", input="Hi", background=True)


def test_a_cancelled_response_leaves_its_upstream(gated: GatewayProcess, gated_server: GatedServer) -> None:
    """Cancelling ends the call under way, and the response stays cancelled."""
    with _client(gated) as client:
        made = client.responses.create(model="m", input="Hi", background=True)
        gated_server.wait_until_halfway()
        assert client.responses.retrieve(made.id).status == "in_progress"
        assert client.responses.cancel(made.id).status == "cancelled"
        gated_server.wait_until_caller_leaves()
        assert client.responses.cancel(made.id).status == "cancelled"
        gated_server.open()
        assert client.responses.retrieve(made.id).status == "cancelled"


def test_a_killed_process_loses_no_response(tmp_path: Path, gated_server: GatedServer) -> None:
    """A response whose process is killed in the middle of it is made by the next one; its lease decides when."""
    gateway = GatewayProcess(tmp_path, one_model(gated_server.address), {})
    with gateway:
        with _client(gateway) as client:
            made = client.responses.create(model="m", input="Hi", background=True)
        gated_server.wait_until_halfway()
        gateway.send_signal(signal.SIGKILL)
        gateway.wait()
    _expire_leases(tmp_path)
    gated_server.open()
    with gateway, _client(gateway) as client:
        done = _ended(client, made.id)
        assert done.status == "completed"
        assert gateway.record(done._request_id)["result"] == "answered"
        records = Administrator.of_home(gateway.address, tmp_path).get("/requests")["data"]
    assert sorted(each["result"] for each in records) == ["answered", "interrupted"]


def _expire_leases(home: Path) -> None:
    """As if the time of the leases had passed."""
    with closing(sqlite3.connect(home / "ponder.db")) as database, database:
        database.execute("UPDATE jobs SET lease_until = '2000-01-01 00:00:00.000000'")


def test_a_stopped_process_puts_back_what_it_runs(tmp_path: Path, gated_server: GatedServer) -> None:
    """A gateway that is told to stop does not wait for long responses: they are run again at its next start."""
    gateway = GatewayProcess(tmp_path, one_model(gated_server.address), {})
    with gateway:
        with _client(gateway) as client:
            made = client.responses.create(model="m", input="Hi", background=True)
        gated_server.wait_until_halfway()
    gated_server.open()
    with gateway, _client(gateway) as client:
        assert _ended(client, made.id).status == "completed"
    assert "Traceback" not in gateway.log
