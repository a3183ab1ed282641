"""Prompts and secrets: in no log, metric, error, record or journal, whatever is asked and whatever goes wrong."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.upstreams.configuration import faulty, one_model
from tests.upstreams.faulty_exchange import ANSWER
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gateway_process import GatewayProcess, awaited

pytest_plugins = ("tests.upstreams.fixtures",)

PROMPT = "canary prompt 5f1c9e: nobody may keep this"
UPSTREAM_KEY = "sk-canary-upstream-8d27f0"
UPSTREAM_HEADER = "canary header b1946a"
WRONG_KEY = "sk-canary-wrong-6c3ff8"
PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": PROMPT}]},
    "/v1/responses": {"input": PROMPT, "instructions": PROMPT},
    "/v1/messages": {"max_tokens": 50, "system": PROMPT, "messages": [{"role": "user", "content": PROMPT}]},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": PROMPT}]},
    "/v1/embeddings": {"input": [PROMPT]},
}
FAULTS = (
    "hints-first", "error-500", "rate-limited", "error-body-with-200", "malformed-json", "bad-utf8", "cut",
    "error-event", "error-event-first", "reset-mid-stream", "wrong-content-type", "gzip-answer",
)  # fmt: skip
TOOL = {"type": "function", "function": {"name": "f", "description": PROMPT, "parameters": {"title": PROMPT}}}
ODD_MEMBERS: tuple[dict[str, Any], ...] = (
    {"messages": PROMPT, "input": {PROMPT: 1}},
    {"messages": [PROMPT], "input": [PROMPT]},
    {"messages": [{"role": PROMPT, "content": PROMPT}]},
    {"messages": [{"role": "user", "content": {PROMPT: PROMPT}}]},
    {"messages": [{"role": "user", "content": [{"type": PROMPT, PROMPT: PROMPT}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PROMPT}}]}]},
    {"messages": [{"role": "tool", "tool_call_id": PROMPT, "content": PROMPT}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": PROMPT, "arguments": PROMPT}}]}]},
    {"tools": [TOOL], "tool_choice": PROMPT},
    {"tools": PROMPT, "tool_choice": {"type": PROMPT, "name": PROMPT}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": PROMPT, "schema": {"title": PROMPT}}}},
    {"output_config": {"effort": PROMPT, "format": {"type": "json_schema", "schema": {"description": PROMPT}}}},
    {"thinking": {"type": PROMPT}, "reasoning": {"effort": PROMPT}, "reasoning_effort": PROMPT},
    {"max_tokens": PROMPT, "max_output_tokens": PROMPT},
    {"stop": [PROMPT], "stop_sequences": [PROMPT], "temperature": PROMPT, "n": PROMPT},
    {"stream": PROMPT},
    {"metadata": {"user_id": PROMPT}, "user": PROMPT, PROMPT: PROMPT},
    {"previous_response_id": PROMPT},
    {"ponder": {"category": PROMPT}},
    {"ponder": {PROMPT: 1}},
    {"ponder": {"max_cost_usd": PROMPT}},
    {"ponder": PROMPT},
)


@dataclass(slots=True)
class Seen:
    """Everything that came out of a gateway while it was asked all kinds of things."""

    gateway: GatewayProcess
    errors: list[httpx.Response] = field(default_factory=list)
    metrics: str = ""

    def post(self, path: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        """Ask, and keep the answer if it is an error."""
        answer = self.gateway.post(path, content=content, headers=headers or {})
        if answer.status_code != httpx.codes.OK:
            self.errors.append(answer)

    def ask(self, path: str, model: str, **members: Any) -> None:
        """Ask ``model`` with the path's own canary body and more members."""
        self.post(path, json.dumps({"model": model, **PATHS[path], **members}).encode())


def _ask_everything(seen: Seen) -> None:
    for path, canary_body in PATHS.items():
        for kind in ("chat", "messages"):
            for fault in FAULTS:
                for stream in (False, True):
                    seen.ask(path, f"{kind}/{fault}", stream=stream)
            for members in ODD_MEMBERS:
                seen.ask(path, f"{kind}/hints-first", **members)
        whole = json.dumps({"model": "chat/hints-first", **canary_body}).encode()
        for broken in (
            whole[:-5],
            whole.replace(b'"model"', b'model"'),
            b'"' + PROMPT.encode() + b'"',
            PROMPT.encode(),
            whole[:-1] + b',"model":"x"}',
            whole.replace(b"canary", b"\xff canary"),
            whole[:-1] + b', "x": ' + b"[" * 300 + b"]" * 300 + b"}",
            whole.replace(b"canary", b"\\ud800 canary \\u0000"),
            whole[:-1] + b'}  "' + b"x" * 2_000_000 + b'"',
        ):
            seen.post(path, broken)
        seen.post(path, whole, {"authorization": f"Bearer {WRONG_KEY}"})
        seen.post(path, whole, {"authorization": WRONG_KEY, "x-api-key": WRONG_KEY})
        seen.post(path, whole, {"x-ponder-category": PROMPT})
        seen.post(path, whole, {f"x-ponder-{WRONG_KEY}": PROMPT})
        seen.post(path, whole, {"content-encoding": PROMPT})
    for path in (f"/v1/models/{PROMPT}", f"/v1/requests/{PROMPT}", f"/{PROMPT}", f"/v1/requests/x?{WRONG_KEY}"):
        seen.errors.append(seen.gateway.get(path))
        seen.errors.append(seen.gateway.get(path, authorization=f"Bearer {WRONG_KEY}"))


@pytest.fixture(scope="module", name="seen")
def _seen(tmp_path_factory: pytest.TempPathFactory, faulty_server: FaultyServer) -> Iterator[Seen]:
    """A gateway that was asked everything, broke a reload, and has ended."""
    settings = faulty(faulty_server)
    settings["limits"]["body_bytes"] = 1_000_000
    for upstream in settings["upstreams"].values():
        upstream |= {"api_key_env": "CANARY_KEY", "headers": {"x-team": UPSTREAM_HEADER}}
    home = tmp_path_factory.mktemp("privacy")
    with GatewayProcess(home, settings, {"CANARY_KEY": UPSTREAM_KEY}) as gateway:
        seen = Seen(gateway)
        _ask_everything(seen)
        gateway.configure(f"upstreams: {{x: {{headers: {{x-team: '{UPSTREAM_HEADER}']}}}}}}")
        awaited(lambda: gateway.get("/health/ready").json()["degraded"], "the broken reload")
        seen.errors.append(gateway.get("/health/ready"))
        seen.metrics = gateway.get("/metrics").text
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait() == 0
        yield seen


CANARIES = {
    "prompt": PROMPT,
    "upstream key": UPSTREAM_KEY,
    "upstream header": UPSTREAM_HEADER,
    "wrong key": WRONG_KEY,
    "answer": ANSWER.text,
}


@pytest.mark.parametrize("canary", CANARIES.values(), ids=CANARIES)
def test_no_canary_comes_out(seen: Seen, canary: str) -> None:
    """No log line, metric or error body holds a piece of a prompt, an answer or a secret."""
    assert canary not in seen.gateway.log
    assert canary not in seen.metrics
    for answer in seen.errors:
        assert canary not in answer.text, answer.request.url
        assert canary not in str(answer.headers), answer.request.url


@pytest.mark.parametrize("canary", [*CANARIES.values(), None], ids=[*CANARIES, "own key"])
def test_no_canary_is_kept(seen: Seen, canary: str | None) -> None:
    """Nothing on disk holds one either: not the database, its journal, nor any other file but the keys' own."""
    home = seen.gateway.home
    needle = (canary or seen.gateway.key).encode()
    configured = {"ponder.yaml"} | {path.name for path in home.glob("*.key")}
    files = [path for path in home.rglob("*") if path.is_file() and path.name not in configured]
    assert home / "ponder.db" in files
    assert not [path for path in files if needle in path.read_bytes()]


def test_own_keys_come_out_nowhere(seen: Seen) -> None:
    """The gateway's own keys are in no log and no metric."""
    for path in seen.gateway.home.glob("*.key"):
        secret = path.read_text().strip()
        assert secret
        assert secret not in seen.gateway.log
        assert secret not in seen.metrics


def test_key_files_are_the_owners_alone(seen: Seen) -> None:
    """Keys are written for their owner's eyes."""
    assert {path.stat().st_mode & 0o777 for path in seen.gateway.home.glob("*.key")} == {0o600}


def test_everything_was_recorded(seen: Seen) -> None:
    """The silence above is not for lack of records: every request that reached a model has one."""
    database = sqlite3.connect(seen.gateway.home / "ponder.db")
    rows = dict(database.execute("SELECT result, count(*) FROM requests GROUP BY result"))
    database.close()
    assert {"answered", "failed", "truncated", "refused"} <= rows.keys()
    assert sum(rows.values()) > 200
    assert "Traceback" not in seen.gateway.log
    assert "a fault of the gateway" not in seen.gateway.log
    assert "internal_error" not in seen.gateway.log


def test_text_is_kept_on_request(tmp_path: Path, faulty_server: FaultyServer) -> None:
    """With ``retention.store_text`` the text of requests and answers is in the database, and still in no log."""
    settings = one_model(faulty_server.address("hints-first"), retention={"store_text": True})
    body = {"model": "m", **PATHS["/v1/chat/completions"]}
    with GatewayProcess(tmp_path, settings, {}) as gateway:
        answers = [
            gateway.post("/v1/chat/completions", json={**body, "stream": is_stream}) for is_stream in (False, True)
        ]
        for answer in answers:
            gateway.record(answer.headers["x-ponder-request-id"])
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait() == 0
    database = sqlite3.connect(tmp_path / "ponder.db")
    rows = database.execute("SELECT request, answer FROM request_texts ORDER BY started_at, rowid").fetchall()
    database.close()
    assert len(rows) == 2
    for request, _ in rows:
        assert PROMPT in bytes(request).decode()
    assert rows[0][1] == answers[0].content
    comment = b": x-ponder-cost-usd " + answers[1].content.partition(b": x-ponder-cost-usd ")[2].partition(b"\n\n")[0]
    assert b"[DONE]" in rows[1][1]
    for event in answers[1].content.replace(comment + b"\n\n", b"").split(b"\n\n"):
        assert event in rows[1][1]
    assert PROMPT not in gateway.log
