"""Batches through the real gateway with the official client: files, lines, results, refusals, cancelling and kills."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.batching import CHAT, TURNS, begun, client_of, content, ended, line, uploaded
from tests.http.admin.administrator import Administrator
from tests.upstreams.configuration import SECRETS, one_model
from tests.upstreams.gated_server import GatedServer
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.openai_server import OpenAIServer

pytest_plugins = ("tests.upstreams.fixtures",)

MODEL = "qwen3-8b"
COST = Decimal("0.000094")
"""What the stand-in's counts cost at $1, $0.5 (cached) and $2 per million tokens."""
LIMITS = {"max_batch_lines": 5, "max_file_bytes": 4096, "max_key_bytes": 5000, "concurrency": 3}


@pytest.fixture(name="admin")
def _admin(gateway: GatewayProcess) -> Administrator:
    return Administrator.of_home(gateway.address, gateway.home)


@pytest.fixture(name="client")
def _client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    with client_of(gateway) as client:
        yield client


@pytest.fixture(scope="module", name="narrow")
def _narrow(tmp_path_factory: pytest.TempPathFactory, compatible_server: OpenAIServer) -> Iterator[GatewayProcess]:
    settings = one_model(compatible_server.address, key_env="LOOPBACK_OPENAI", background=LIMITS)
    with GatewayProcess(tmp_path_factory.mktemp("narrow"), settings, SECRETS) as process:
        yield process


def _rows(home: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(home / "ponder.db", timeout=20)) as database, database:
        return database.execute(statement).fetchall()


def _stored(gateway: GatewayProcess, claim: str, what: str) -> None:
    """Wait until the claim is true of the database."""
    awaited(lambda: _rows(gateway.home, f"SELECT {claim}") == [(1,)], what)


def _record(gateway: GatewayProcess, secret: str, request_id: str) -> Any:
    def find() -> Any:
        answer = gateway.get(f"/v1/requests/{request_id}", authorization=f"Bearer {secret}")
        return answer.json() if answer.status_code == httpx.codes.OK else None

    return awaited(find, f"a record of {request_id}")


def test_a_batch_is_answered_line_by_line(client: openai.OpenAI, gateway: GatewayProcess, admin: Administrator) -> None:
    """Every line has one answer or one error under its custom_id, a record of its own, and its cost in the budget."""
    key, secret = admin.key(budgets=[{"period": "total", "amount_usd": "1"}])
    lines = [line(f"q{number}", MODEL) for number in range(30)]
    lines[7] = line("unknown", "nobody")
    lines[8] = line("odd", MODEL, messages=[])
    with client_of(gateway, secret) as mine:
        batch = begun(mine, lines, metadata={"for": "a test"})
        assert (batch.status, batch.endpoint, batch.metadata) == ("validating", CHAT, {"for": "a test"})
        done = ended(mine, batch.id)
        assert (done.status, done.completed_at is not None) == ("completed", True)
        counts = done.request_counts
        assert (counts.total, counts.completed, counts.failed) == (30, 28, 2)
        answers, faults = content(mine, done.output_file_id), content(mine, done.error_file_id)
    assert [answer["custom_id"] for answer in answers] == [f"q{n}" for n in range(30) if n not in {7, 8}]
    assert {answer["response"]["status_code"] for answer in answers} == {200}
    assert all(answer["response"]["body"]["choices"][0]["message"]["content"] for answer in answers)
    assert {fault["custom_id"]: fault["response"]["status_code"] for fault in faults} == {"unknown": 404, "odd": 400}
    assert "not configured" in faults[0]["response"]["body"]["error"]["message"]
    records = [_record(gateway, secret, answer["response"]["request_id"]) for answer in answers]
    assert {record["result"] for record in records} == {"answered"}
    assert sum(Decimal(record["cost_usd"]) for record in records) == 28 * COST
    assert _rows(gateway.home, f"SELECT sum(cost_nanos) FROM requests WHERE key_id = '{key['id']}'") == [
        (int(28 * COST * 10**9),)
    ]


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/responses", {"model": "gpt-4.1-mini", "input": "Hello"}),
        ("/v1/messages", {"model": "claude-haiku-4-5", "messages": TURNS, "max_tokens": 50}),
        ("/v1/messages", {"model": MODEL, "messages": TURNS, "max_tokens": 50}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "Hello"}),
    ],
)
def test_every_endpoint_has_batches(client: openai.OpenAI, endpoint: str, body: dict[str, Any]) -> None:
    """Lines for each endpoint are answered in its dialect, whichever dialect the model speaks."""
    lines = [{"custom_id": "only", "method": "POST", "url": endpoint, "body": body}]
    done = ended(client, begun(client, lines, endpoint).id)
    answers = content(client, done.output_file_id)
    assert [(each["custom_id"], each["response"]["status_code"]) for each in answers] == [("only", 200)], content(
        client, done.error_file_id
    )


BAD = {
    "no JSON": ('{"custom_id": ', "invalid_json_line", None),
    "no object": ("[]", "invalid_json_line", None),
    "no custom_id": ({"method": "POST", "url": CHAT, "body": {}}, "invalid_custom_id", "custom_id"),
    "another url": (line("a", MODEL, url="/v1/responses"), "mismatched_url", "url"),
    "another method": ({**line("a", MODEL), "method": "GET"}, "invalid_method", "method"),
    "no body": ({"custom_id": "a", "method": "POST", "url": CHAT}, "missing_required_parameter", "body"),
    "no model": (line("a", ""), "invalid_request", "body.model"),
    "a stream": (line("a", MODEL, stream=True), "invalid_request", "body.stream"),
    "in the background": (line("a", MODEL, background=True), "invalid_request", "body.background"),
    "a misspelt hint": (line("a", MODEL, ponder={"dead_line": 3}), "invalid_request", "body.ponder"),
    "a custom_id twice": (line("first", MODEL), "duplicate_custom_id", "custom_id"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_fails_the_batch(client: openai.OpenAI, compatible_server: OpenAIServer, case: str) -> None:
    """One bad line fails the whole batch before anything is sent, and is named by its number."""
    bad, code, param = BAD[case]
    sent = len(compatible_server.requests)
    done = ended(client, begun(client, [line("first", MODEL), "", bad]).id)
    assert (done.status, done.output_file_id, done.request_counts.total) == ("failed", None, 0)
    assert [(each.line, each.code, each.param) for each in done.errors.data] == [(3, code, param)]
    assert len(compatible_server.requests) == sent


def test_an_empty_file_fails_the_batch(client: openai.OpenAI) -> None:
    """A file without a request makes no batch."""
    assert [each.code for each in ended(client, begun(client, [""]).id).errors.data] == ["empty_file"]


def test_lines_are_limited(narrow: GatewayProcess) -> None:
    """As many lines as the limit are answered; one more fails the batch."""
    admin = Administrator.of_home(narrow.address, narrow.home)
    with client_of(narrow, admin.key()[1]) as client:
        most = ended(client, begun(client, [line(f"q{n}", "m") for n in range(5)]).id)
        assert (most.status, most.request_counts.completed) == ("completed", 5)
        over = ended(client, begun(client, [line(f"q{n}", "m") for n in range(6)]).id)
    assert (over.status, over.errors.data[0].code, over.errors.data[0].line) == ("failed", "too_many_requests", 6)
    assert "background.max_batch_lines" in over.errors.data[0].message


def test_files_are_limited(narrow: GatewayProcess) -> None:
    """A file as large as the limit is kept; one byte more is refused with 413, and nothing of it stays."""
    admin = Administrator.of_home(narrow.address, narrow.home)
    with client_of(narrow, admin.key()[1]) as client:
        kept = client.files.create(file=("most", b" " * 4096), purpose="batch")
        assert (kept.bytes, client.files.content(kept.id).content) == (4096, b" " * 4096)
        with pytest.raises(openai.APIStatusError, match=r"more than 4096 bytes.*background\.max_file_bytes") as refused:
            client.files.create(file=("over", b" " * 4097), purpose="batch")
        client.files.delete(kept.id)
    assert refused.value.status_code == 413
    assert _rows(narrow.home, "SELECT count(*) FROM files WHERE name IN ('over', 'most') OR NOT is_complete") == [(0,)]


def test_the_files_of_a_key_are_limited(narrow: GatewayProcess) -> None:
    """A key whose files have reached their limit uploads again when it has deleted some; another key is not held up."""
    admin = Administrator.of_home(narrow.address, narrow.home)
    with client_of(narrow, admin.key()[1]) as client, client_of(narrow, admin.key()[1]) as other:
        kept = [client.files.create(file=("a", b" " * 2500), purpose="batch") for _ in range(2)]
        with pytest.raises(openai.APIStatusError, match=r"background\.max_key_bytes") as refused:
            client.files.create(file=("a", b" "), purpose="batch")
        assert refused.value.status_code == 413
        other.files.create(file=("a", b" "), purpose="batch")
        client.files.delete(kept[0].id)
        client.files.create(file=("a", b" "), purpose="batch")


class _SlowUpload:
    """An upload whose client sends its file piece by piece."""

    def __init__(self, gateway: GatewayProcess, secret: str) -> None:
        self._connection = HTTPConnection(gateway.address.removeprefix("http://"), timeout=30)
        self._connection.putrequest("POST", "/v1/files")
        self._connection.putheader("authorization", f"Bearer {secret}")
        self._connection.putheader("content-type", "multipart/form-data; boundary=cut")
        self._connection.putheader("content-length", str(100 * 2**20))
        self._connection.endheaders(b'--cut\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n')

    def send(self, size: int) -> None:
        self._connection.send(b"x" * size)

    def status(self) -> int:
        return self._connection.getresponse().status

    def close(self) -> None:
        self._connection.close()


def test_uploads_under_way_count(tmp_path: Path, compatible_server: OpenAIServer) -> None:
    """What has arrived of one upload stands in the way of another, begun after it or at the same time."""
    limits = {"max_key_bytes": 2**18, "max_file_bytes": 200 * 2**20}
    settings = one_model(compatible_server.address, key_env="LOOPBACK_OPENAI", background=limits)
    with GatewayProcess(tmp_path, settings, SECRETS) as gateway, client_of(gateway) as client:
        together, first = _SlowUpload(gateway, gateway.key), _SlowUpload(gateway, gateway.key)
        _stored(gateway, "count(*) = 2 FROM files", "both uploads to begin")
        first.send(2**19)
        _stored(gateway, "max(size) = 524288 FROM files", "the first to be stored")
        with pytest.raises(openai.APIStatusError, match=r"background\.max_key_bytes") as refused:
            client.files.create(file=("after", b" "), purpose="batch")
        assert refused.value.status_code == 413
        together.send(17 * 2**20)
        assert together.status() == 413
        first.close()
        together.close()
        _stored(gateway, "count(*) = 0 FROM files", "both uploads to be forgotten")


def test_a_large_line_is_told(tmp_path: Path, compatible_server: OpenAIServer) -> None:
    """A line whose request is larger than a live one may be is a fault of that line."""
    settings = one_model(compatible_server.address, key_env="LOOPBACK_OPENAI", limits={"body_bytes": 2000})
    with GatewayProcess(tmp_path, settings, SECRETS) as gateway, client_of(gateway) as client:
        for size in (1700, 9000):
            large = line("large", "m", messages=[{"role": "user", "content": "x" * size}])
            done = ended(client, begun(client, [line("small", "m"), large, line("after", "m")]).id)
            assert [each.line for each in (done.errors.data if done.errors else [])] == ([2] if size > 2000 else [])


def test_files_are_listed_and_deleted(gateway: GatewayProcess, admin: Administrator) -> None:
    """A key's files come newest first, page by page, and one that is deleted is gone."""
    _, secret = admin.key()
    with client_of(gateway, secret) as client:
        made = [uploaded(client, [line("a", MODEL)]) for _ in range(3)]
        assert [file.id for file in client.files.list(limit=2)] == made[::-1]
        assert [file.id for file in client.files.list(order="asc")] == made
        assert client.files.retrieve(made[0]).filename == "lines.jsonl"
        assert client.files.delete(made[0]).deleted
        for act in (client.files.retrieve, client.files.content, client.files.delete):
            with pytest.raises(openai.NotFoundError):
                act(made[0])
        assert [file.id for file in client.files.list()] == made[:0:-1]
        with pytest.raises(openai.BadRequestError, match="'purpose' must be 'batch'"):
            client.files.create(file=("a.txt", b"hello"), purpose="assistants")
    assert _rows(gateway.home, f"SELECT count(*) FROM file_chunks WHERE file_id = '{made[0]}'") == [(0,)]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=b", b"no form"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n',
        ),
    ],
)
def test_what_is_no_upload_is_refused(gateway: GatewayProcess, kind: str, body: bytes) -> None:
    """A body that is no form, or a form cut short or without its file, is refused with 400."""
    answer = gateway.post("/v1/files", content=body, headers={"content-type": kind})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == "file"


def test_the_file_may_come_before_its_purpose(gateway: GatewayProcess) -> None:
    """The parts of the form may stand in any order."""
    parts = [("file", ("a.jsonl", b"{}\n")), ("purpose", (None, "batch"))]
    headers = {"authorization": f"Bearer {gateway.key}"}
    answer = httpx.post(f"{gateway.address}/v1/files", files=parts, headers=headers)
    assert (answer.status_code, answer.json()["bytes"]) == (200, 3)


def test_other_keys_see_nothing(client: openai.OpenAI, gateway: GatewayProcess, admin: Administrator) -> None:
    """Files and batches are their key's own: for another one they are not there."""
    batch = begun(client, [line("a", MODEL)])
    done = ended(client, batch.id)
    with client_of(gateway, admin.having("admin").secret) as other:
        for file_id in (done.input_file_id, done.output_file_id):
            for act in (other.files.retrieve, other.files.content, other.files.delete):
                with pytest.raises(openai.NotFoundError):
                    act(file_id)
        for act in (other.batches.retrieve, other.batches.cancel):
            with pytest.raises(openai.NotFoundError):
                act(batch.id)
        with pytest.raises(openai.BadRequestError, match="must be a file of this key"):
            other.batches.create(input_file_id=done.input_file_id, endpoint=CHAT, completion_window="24h")
        assert not list(other.files.list())
        assert not list(other.batches.list())
    assert batch.id in [each.id for each in client.batches.list(limit=1)]


def test_an_odd_batch_is_refused(client: openai.OpenAI) -> None:
    """Endpoint, window, metadata and unknown members are checked as the batch is made."""
    file_id = uploaded(client, [line("a", MODEL)])
    good: Any = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
    odd = {"endpoint": "/v1/completions", "completion_window": "1h", "metadata": {"a": 1}, "surplus": 1}
    for name, value in odd.items():
        with pytest.raises(openai.BadRequestError) as refused:
            client.batches.create(**good, extra_body={name: value})
        assert refused.value.param == name


def test_a_cancelled_batch_keeps_what_was_answered(tmp_path: Path, gated_server: GatedServer) -> None:
    """Cancelling ends what waits and lets finish what runs; the files say which line met which end."""
    settings = one_model(gated_server.address, background={"concurrency": 2})
    with GatewayProcess(tmp_path, settings, {}) as gateway, client_of(gateway) as client:
        batch = begun(client, [line(f"q{n}", "m") for n in range(9)])
        gated_server.wait_until_halfway()
        gated_server.wait_until_halfway()
        assert client.batches.cancel(batch.id).status == "cancelling"
        awaited(lambda: client.batches.retrieve(batch.id).request_counts.failed == 7, "the end of the waiting")
        gated_server.open()
        done = ended(client, batch.id)
        assert done.status == "cancelled"
        answers, faults = content(client, done.output_file_id), content(client, done.error_file_id)
        with pytest.raises(openai.ConflictError, match="the batch is cancelled"):
            client.batches.cancel(batch.id)
    assert sorted(each["custom_id"] for each in answers + faults) == [f"q{n}" for n in range(9)]
    assert (len(answers), {each["error"]["code"] for each in faults}) == (2, {"batch_cancelled"})


def test_a_late_batch_expires(tmp_path: Path, gated_server: GatedServer) -> None:
    """At the end of its window a batch ends with what it has; the lines that nobody took are expired."""
    settings = one_model(gated_server.address, background={"concurrency": 1})
    with GatewayProcess(tmp_path, settings, {}) as gateway, client_of(gateway) as client:
        batch = begun(client, [line(f"q{n}", "m") for n in range(3)])
        gated_server.wait_until_halfway()
        _rows(tmp_path, "UPDATE batches SET deadline_at = created_at")
        awaited(lambda: client.batches.retrieve(batch.id).request_counts.failed == 2, "the end of the waiting")
        gated_server.open()
        done = ended(client, batch.id)
        assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("expired", 1, 2)
        assert {each["error"]["code"] for each in content(client, done.error_file_id)} == {"batch_expired"}


def test_a_killed_process_loses_no_line(tmp_path: Path, gated_server: GatedServer) -> None:
    """After a kill in the middle of a batch the next process answers what is left: each line has one result."""
    gateway = GatewayProcess(tmp_path, one_model(gated_server.address, background={"concurrency": 3}), {})
    with gateway:
        with client_of(gateway) as client:
            batch = begun(client, [line(f"q{n}", "m") for n in range(20)])
        gated_server.wait_until_halfway()
        gateway.send_signal(signal.SIGKILL)
        gateway.wait()
    _rows(tmp_path, "UPDATE jobs SET lease_until = '2000-01-01 00:00:00.000000' WHERE lease_until IS NOT NULL")
    _rows(tmp_path, "UPDATE batches SET lease_until = NULL")
    gated_server.open()
    with gateway, client_of(gateway) as client:
        done = ended(client, batch.id)
        assert (done.status, done.request_counts.completed) == ("completed", 20)
        answers = content(client, done.output_file_id)
        assert [each["custom_id"] for each in answers] == [f"q{n}" for n in range(20)]
        assert len({each["response"]["request_id"] for each in answers}) == 20


def test_a_request_is_kept_no_longer_than_it_waits(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    """When a batch has ended no line of it has its request, and results go with their files."""
    done = ended(client, begun(client, [line("a", MODEL)]).id)
    rows = _rows(gateway.home, f"SELECT count(*), count(request) FROM jobs WHERE batch_id = '{done.id}'")
    assert rows[0][1] == 0
    _rows(gateway.home, f"UPDATE files SET kept_until = created_at WHERE id = '{done.output_file_id}'")
    with pytest.raises(openai.NotFoundError):
        client.files.content(done.output_file_id)
