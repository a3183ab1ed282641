"""Batches that run at their provider, at its price: submitted once, followed over restarts, settled exactly."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.adapters.price_list import PriceList
from gateway.domain.money import to_nanos
from gateway.domain.pricing import cost
from gateway.domain.usage import Usage
from tests.batching import CHAT, TURNS, begun, client_of, content, ended, line
from tests.http.admin.administrator import Administrator
from tests.upstreams.anthropic_batches import BatchingAnthropic
from tests.upstreams.configuration import SECRETS
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.openai_batches import BatchingOpenAI

pytest_plugins = ("tests.upstreams.batch_fixtures",)

GPT, CLAUDE = "gpt-4.1-mini", "claude-haiku-4-5"


def provider_settings(openai_address: str, anthropic_address: str, **background: Any) -> dict[str, Any]:
    """A gateway in front of both providers."""
    return {
        "upstreams": {
            "openai": {
                "kind": "openai",
                "base_url": f"{openai_address}/v1",
                "api_key_env": "LOOPBACK_OPENAI",
                "provider": "openai",
                "dialects": ["openai-chat", "openai-responses"],
            },
            "anthropic": {"kind": "anthropic", "base_url": anthropic_address, "api_key_env": "LOOPBACK_ANTHROPIC"},
        },
        "models": {
            GPT: {"upstream": "openai"},
            "gpt-5.4": {"upstream": "openai"},
            "alias": {"upstream": "openai", "name": GPT},
            CLAUDE: {"upstream": "anthropic"},
            "claude-sonnet-4-6": {"upstream": "anthropic"},
        },
        "background": background,
    }


@pytest.fixture(name="gateway")
def _gateway(tmp_path: Path, gpt: BatchingOpenAI, claude: BatchingAnthropic) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path, provider_settings(gpt.address, claude.address), SECRETS) as process:
        yield process


def _rows(home: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(home / "ponder.db", timeout=20)) as database, database:
        return database.execute(statement).fetchall()


def half_price(provider: str, model: str, body: Any) -> Decimal:
    """What an answer costs at the listed price for batches, by the counts that it reports."""
    usage = body["usage"]
    if provider == "anthropic":
        cached, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
        counts = Usage(
            input_tokens=usage["input_tokens"],
            cached_tokens=cached,
            cache_write_5m_tokens=written,
            output_tokens=usage["output_tokens"],
            service_tier="batch",
        )
    else:
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        counts = Usage(
            input_tokens=usage["prompt_tokens"] - cached,
            cached_tokens=cached,
            output_tokens=usage["completion_tokens"],
            service_tier="batch",
        )
    listed = PriceList.read().find(provider, model)
    assert listed is not None
    assert listed.price is not None
    return cost(counts, listed.price, at=0.0)


def _messages_line(custom_id: str, model: str = CLAUDE, **members: Any) -> dict[str, Any]:
    return line(custom_id, model, url="/v1/messages", **members)


def _paths(server: Any) -> list[str]:
    return [f"{each.method} {each.path.partition('?')[0]}" for each in server.requests]


def test_a_batch_runs_at_openai_for_half_the_price(gateway: GatewayProcess, gpt: BatchingOpenAI) -> None:
    """All lines go up in one file under their upstream's name for the model, and cost what its batches cost."""
    key, secret = Administrator.of_home(gateway.address, gateway.home).key(
        budgets=[{"period": "total", "amount_usd": "1"}]
    )
    lines = [line(f"q{number}", "alias", max_tokens=50) for number in range(5)]
    lines[3] = line("odd", "alias", messages=[])
    with client_of(gateway, secret) as client:
        done = ended(client, begun(client, lines).id)
        answers, faults = content(client, done.output_file_id), content(client, done.error_file_id)
    assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", 4, 1)
    assert [each["custom_id"] for each in answers] == ["q0", "q1", "q2", "q4"]
    assert [(each["custom_id"], each["response"]["status_code"]) for each in faults] == [("odd", 400)]
    assert "messages" in faults[0]["response"]["body"]["error"]["message"]
    assert f"POST {CHAT}" not in _paths(gpt)
    (batch,) = gpt.batches.values()
    assert batch["metadata"] == {"ponder_batch": done.id}
    expected = [to_nanos(half_price("openai", GPT, each["response"]["body"])) for each in answers]  # type: ignore[arg-type]
    awaited(lambda: len(_rows(gateway.home, "SELECT id FROM requests")) == 5, "every record")
    rows = _rows(gateway.home, f"SELECT cost_nanos, result FROM requests WHERE key_id = '{key['id']}'")
    assert sorted(rows) == sorted([(each, "answered") for each in expected] + [(0, "refused")])
    assert _rows(gateway.home, "SELECT DISTINCT service_tier FROM draws WHERE cost_nanos > 0") == [("batch",)]
    assert {each["response"]["request_id"].replace("-", "") for each in answers} <= {
        row[0] for row in _rows(gateway.home, "SELECT id FROM requests")
    }


def test_a_batch_runs_at_anthropic_for_half_the_price(gateway: GatewayProcess, claude: BatchingAnthropic) -> None:
    """Lines for two of its models go up together; each costs half, and refusals cost nothing."""
    lines = [_messages_line("a"), _messages_line("b", "claude-sonnet-4-6"), _messages_line("odd", messages=[])]
    with client_of(gateway) as client:
        done = ended(client, begun(client, lines, "/v1/messages").id)
        answers, faults = content(client, done.output_file_id), content(client, done.error_file_id)
    assert (done.status, [each["custom_id"] for each in answers]) == ("completed", ["a", "b"])
    assert faults[0]["response"]["status_code"] == 400
    assert faults[0]["response"]["body"]["type"] == "error"
    assert "POST /v1/messages" not in _paths(claude)
    models = (CLAUDE, "claude-sonnet-4-6")
    for answer, model in zip(answers, models, strict=True):
        record = gateway.record(answer["response"]["request_id"])
        half = half_price("anthropic", model, answer["response"]["body"])
        assert Decimal(record["cost_usd"]) == half > 0
        assert record["calls"][0]["spent"]["service_tier"] == "batch"


@pytest.mark.parametrize(
    ("lines", "endpoint"),
    [
        ([line("a", GPT), line("b", CLAUDE)], CHAT),
        ([line("a", GPT), line("b", "gpt-5.4", max_tokens=None, max_completion_tokens=50)], CHAT),
        ([line("a", CLAUDE)], CHAT),
        ([line("a", GPT), line("b", "nobody")], CHAT),
        ([line("a", GPT), line("b", GPT, ponder={"max_cost_usd": 1})], CHAT),
        ([_messages_line("a", GPT)], "/v1/messages"),
    ],
)
def test_other_batches_are_answered_here(
    gateway: GatewayProcess, gpt: BatchingOpenAI, claude: BatchingAnthropic, lines: list[Any], endpoint: str
) -> None:
    """Two upstreams, two models at OpenAI, another dialect, an unknown model or hints: the batch is answered here."""
    for each in lines:
        each["body"] = {name: value for name, value in each["body"].items() if value is not None}
    with client_of(gateway) as client:
        done = ended(client, begun(client, lines, endpoint).id)
    assert done.status == "completed"
    assert not gpt.batches
    assert not claude.batches


def test_it_can_be_switched_off(tmp_path: Path, gpt: BatchingOpenAI, claude: BatchingAnthropic) -> None:
    """With provider_batches: false every batch is answered here, at the normal price."""
    settings = provider_settings(gpt.address, claude.address, provider_batches=False)
    with GatewayProcess(tmp_path, settings, SECRETS) as gateway, client_of(gateway) as client:
        done = ended(client, begun(client, [line("a", GPT)]).id)
        assert done.status == "completed"
    assert not gpt.batches


def test_a_budget_that_is_too_small_brings_a_batch_home(gateway: GatewayProcess, gpt: BatchingOpenAI) -> None:
    """What may cost more than is left is not submitted: here each line meets the budget by itself."""
    secret = Administrator.of_home(gateway.address, gateway.home).key(
        budgets=[{"period": "total", "amount_usd": "0.000300"}]
    )[1]
    with client_of(gateway, secret) as client:
        done = ended(client, begun(client, [line(f"q{n}", GPT, max_tokens=50) for n in range(30)]).id)
        faults = content(client, done.error_file_id)
    assert not gpt.batches
    assert done.request_counts.completed > 0
    assert {each["response"]["status_code"] for each in faults} == {402}


def test_money_is_held_while_a_batch_runs(tmp_path: Path, claude: BatchingAnthropic) -> None:
    """While the provider works the batch's ceiling is not there for others; after it, its true cost is gone."""
    with BatchingOpenAI(is_prompt=False) as gpt:
        settings = provider_settings(gpt.address, claude.address)
        with GatewayProcess(tmp_path, settings, SECRETS) as gateway:
            admin = Administrator.of_home(gateway.address, tmp_path)
            _, secret = admin.key(budgets=[{"period": "total", "amount_usd": "0.0002"}])
            headers = {"authorization": f"Bearer {secret}"}
            ask = {"model": GPT, "messages": TURNS, "max_tokens": 60}
            with client_of(gateway, secret) as client:
                batch = begun(client, [line(f"q{n}", GPT, max_tokens=60) for n in range(2)])
                awaited(lambda: gpt.batches, "the batch at its provider")
                refused = gateway.post(CHAT, json=ask, headers=headers)
                assert refused.status_code == 402
                assert "held by requests under way" in refused.json()["error"]["message"]
                gpt.finish()
                done = ended(client, batch.id)
            answers = content(client_of(gateway, secret), done.output_file_id)
            spent = sum((half_price("openai", GPT, each["response"]["body"]) for each in answers), start=Decimal())
            told = gateway.post(CHAT, json={**ask, "max_tokens": 30_000}, headers=headers).json()["error"]["message"]
            assert f"(${spent.normalize():f} spent)" in told


def test_a_batch_that_runs_is_charged_whatever_its_budget_has_left(tmp_path: Path, claude: BatchingAnthropic) -> None:
    """A budget that was lowered while its batch ran holds nothing for it, and counts what it cost."""
    with BatchingOpenAI(is_prompt=False) as gpt:
        gateway = GatewayProcess(tmp_path, provider_settings(gpt.address, claude.address), SECRETS)
        with gateway:
            admin = Administrator.of_home(gateway.address, tmp_path)
            key, secret = admin.key(budgets=[{"period": "total", "amount_usd": "1"}])
            with client_of(gateway, secret) as client:
                batch = begun(client, [line(f"q{n}", GPT, max_tokens=60) for n in range(2)])
                awaited(lambda: gpt.batches, "the batch at its provider")
            admin.done("PUT", f"/keys/{key['id']}/budgets/total", {"amount_usd": "0.00001"})
        with gateway, client_of(gateway, secret) as client:
            gpt.finish()
            answers = content(client, ended(client, batch.id).output_file_id)
            spent = sum((half_price("openai", GPT, each["response"]["body"]) for each in answers), start=Decimal())
            ask = {"model": GPT, "messages": TURNS, "max_tokens": 30_000}
            refused = gateway.post(CHAT, json=ask, headers={"authorization": f"Bearer {secret}"})
            assert f"(${spent.normalize():f} spent)" in refused.json()["error"]["message"]


@pytest.mark.parametrize("moment", ["before its id is stored", "while it runs", "before its lines are settled"])
def test_a_killed_process_submits_nothing_twice(tmp_path: Path, claude: BatchingAnthropic, moment: str) -> None:
    """The next process finds the batch at its provider and settles each line once, whenever it was killed."""
    with BatchingOpenAI(is_prompt=False) as gpt:
        gateway = GatewayProcess(tmp_path, provider_settings(gpt.address, claude.address), SECRETS)
        with gateway:
            with client_of(gateway) as client:
                batch = begun(client, [line(f"q{n}", GPT) for n in range(4)])

                def runs() -> bool | None:
                    return _rows(tmp_path, "SELECT upstream_batch_id FROM batches")[0][0] is not None or None

                awaited(runs, "the batch at its provider")
            gateway.send_signal(signal.SIGKILL)
            gateway.wait()
        if moment == "before its id is stored":
            _rows(tmp_path, "UPDATE batches SET upstream_batch_id = NULL")
        _rows(tmp_path, "UPDATE batches SET lease_until = NULL, due_at = created_at")
        if moment == "before its lines are settled":
            gpt.finish()
        with gateway, client_of(gateway) as client:
            gpt.finish()
            done = ended(client, batch.id)
            assert (done.status, done.request_counts.completed) == ("completed", 4)
            assert len(gpt.batches) == 1
            for each in content(client, done.output_file_id):
                assert gateway.record(each["response"]["request_id"])["result"] == "answered"
        assert _rows(tmp_path, "SELECT count(*) FROM requests") == [(4,)]


def test_a_line_settled_twice_is_on_record_once(tmp_path: Path, gpt: BatchingOpenAI, claude: BatchingAnthropic) -> None:
    """A process that ends between a line's record and its end leaves both to the next one, and the cost counts once."""
    gateway = GatewayProcess(tmp_path, provider_settings(gpt.address, claude.address), SECRETS)
    gpt.is_prompt = False
    with gateway, client_of(gateway) as client:
        batch = begun(client, [line("a", GPT)])
        awaited(lambda: gpt.batches, "the batch at its provider")
        before = _rows(tmp_path, "SELECT * FROM jobs")
        columns = [row[1] for row in _rows(tmp_path, "PRAGMA table_info(jobs)")]
        _rows(tmp_path, "UPDATE batches SET deadline_at = deadline_at")
        gpt.finish()
        first = content(client, ended(client, batch.id).output_file_id)
        gateway.record(first[0]["response"]["request_id"])
    # As if the last steps had not been taken: the line is open again, and its batch in progress.
    _rows(tmp_path, "DELETE FROM jobs")
    with closing(sqlite3.connect(tmp_path / "ponder.db")) as database, database:
        marks = ", ".join("?" for _ in columns)
        database.executemany(f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({marks})", before)
        again = "finished_at = NULL, kept_until = NULL, state = 'in_progress', due_at = created_at, stamps = '{}'"
        database.execute(f"UPDATE batches SET {again}")
    with gateway, client_of(gateway) as client:
        second = content(client, ended(client, batch.id).output_file_id)
        assert [each["response"]["request_id"] for each in second] == [each["response"]["request_id"] for each in first]
    assert _rows(tmp_path, "SELECT count(*) FROM requests") == [(1,)]


def test_a_cancelled_batch_is_cancelled_at_its_provider(tmp_path: Path, claude: BatchingAnthropic) -> None:
    """What the provider had answered by then is kept and paid, and the rest is cancelled."""
    with BatchingOpenAI(is_prompt=False) as gpt:
        gpt.left_out = {1, 2}
        settings = provider_settings(gpt.address, claude.address)
        with GatewayProcess(tmp_path, settings, SECRETS) as gateway, client_of(gateway) as client:
            batch = begun(client, [line(f"q{n}", GPT) for n in range(4)])
            awaited(lambda: {each["status"] for each in gpt.batches.values()} == {"in_progress"}, "its run")
            assert client.batches.cancel(batch.id).status == "cancelling"
            awaited(lambda: {each["status"] for each in gpt.batches.values()} == {"cancelling"}, "its end")
            gpt.finish()
            done = ended(client, batch.id)
            assert (done.status, done.request_counts.completed) == ("cancelled", 2)
            faults = content(client, done.error_file_id)
            assert [(each["custom_id"], each["error"]["code"]) for each in faults] == [
                ("q1", "batch_cancelled"),
                ("q2", "batch_cancelled"),
            ]


def test_a_provider_without_batches_is_asked_line_by_line(tmp_path: Path, claude: BatchingAnthropic) -> None:
    """A refused submission, as by a server that has no such endpoint, brings the batch home."""
    settings = provider_settings(claude.address, claude.address)
    settings["upstreams"]["openai"]["base_url"] = f"{claude.address}/nowhere/v1"
    with GatewayProcess(tmp_path, settings, SECRETS) as gateway, client_of(gateway) as client:
        done = ended(client, begun(client, [line("a", GPT)]).id)
        assert (done.status, done.request_counts.failed) == ("completed", 1)
    assert "is answered here" in gateway.log


def test_keys_with_a_place_limit_keep_their_places(gateway: GatewayProcess, gpt: BatchingOpenAI) -> None:
    """A batch would keep one of the key's places for a day, so it is answered here where places are limited."""
    secret = Administrator.of_home(gateway.address, gateway.home).key(limits={"concurrency": 2})[1]
    with client_of(gateway, secret) as client:
        done = ended(client, begun(client, [line(f"q{n}", GPT) for n in range(5)]).id)
    assert (done.status, done.request_counts.completed) == ("completed", 5)
    assert not gpt.batches


def test_a_batch_that_is_no_batch_is_openai_s_own_word(gateway: GatewayProcess) -> None:
    """The list of batches is the gateway's own, whatever its provider lists."""
    with client_of(gateway) as client:
        batch = begun(client, [line("a", GPT)])
        ended(client, batch.id)
        assert [each.id for each in client.batches.list()] == [batch.id]
        with pytest.raises(openai.NotFoundError):
            client.batches.retrieve("batch_000000000000000000000001")
