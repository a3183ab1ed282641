"""Searches from end to end: a gateway process before a stand-in for a vLLM, asked by the official clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
import yaml

from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.listening import START_AND_STOP_S, LoopThread
from tests.upstreams.raw_client import RawConnection, head
from tests.upstreams.searched_vllm import CONTEXT_TOKENS, MODEL, SearchedVllm

CHAINS = ("2+2=5\n5*2=10\nA:10", "2+2=4\n4*2=8\nA:8")
QUESTION = "What is (2 + 2) * 2? Work it out step by step."
TREE: dict[str, Any] = {"strategy": "dvts", "beams": 4, "groups": 2, "depth": 5, "step": "newline", "verifier": "prm"}
PRM = {"kind": "classify", "model": MODEL, "template": "{question}\n{steps}", "aggregation": "min"}
HARD = {"category": "math", "difficulty": ["hard", "very_hard"]}
POLICY: dict[str, Any] = {
    "policy": "house",
    "arms": {
        "one": {"model": MODEL},
        "vote": {"model": MODEL, "strategy": "vote", "samples": 4},
        "race": {"model": MODEL, "strategy": "vote", "samples": 4, "schedule": "concurrent", "stop": "never"},
        "tree": {"model": MODEL, **TREE},
    },
    "defaults": {"arm": "one", "reference": "tree", "max_cost_usd": 1, "fallbacks": ["one"]},
    "rules": [
        {"name": "hard sums are searched", "when": HARD, "arm": "tree"},
        {"name": "easy sums are not", "when": {"category": "math"}, "arm": "one"},
    ],
}


def _continues(prompt: str, seed: int) -> str:
    begun = prompt.rpartition("<assistant>")[2]
    fitting = [chain for chain in CHAINS if chain.startswith(begun)]
    return (fitting[seed % len(fitting)] if fitting else CHAINS[0])[len(begun) :]


class Served:
    """The stand-in in a thread of its own."""

    def __init__(self) -> None:
        self._thread = LoopThread("vllm")
        self.server = SearchedVllm(_continues, lambda text: 0.05 if "=5" in text else 0.9)
        self._thread.run(self.server.__aenter__())

    def close_gate(self) -> None:
        """Let no answer come to its end."""
        self._thread.run(self._set(is_open=False))

    def open_gate(self) -> None:
        """Let all go on."""
        self._thread.run(self._set(is_open=True))

    def stop(self) -> None:
        """End the server and its thread."""
        self._thread.run(self.server.__aexit__(None, None, None))
        self._thread.close()

    async def _set(self, *, is_open: bool) -> None:
        self.server.at_gate.clear()
        self.server.gate.set() if is_open else self.server.gate.clear()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """The stand-in for a vLLM."""
    running = Served()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def gateway(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway whose hard sums are searched."""
    home = tmp_path_factory.mktemp("searches")
    folder = home / "policies" / "house"
    folder.mkdir(parents=True)
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY, sort_keys=False), "utf-8")
    (folder / "cases.yaml").write_text("models: {}\ncases: []\n", "utf-8")
    configuration = {
        "upstreams": {"gpu": {"kind": "vllm", "base_url": f"http://127.0.0.1:{served.server.port}/v1"}},
        "models": {
            MODEL: {
                "upstream": "gpu",
                "price": {"gpu_hour_usd": 2.1, "output_tokens_per_s": 700},
                "context_tokens": CONTEXT_TOKENS,
                "max_output_tokens": 64,
            }
        },
        "verifiers": {"prm": PRM},
        "policies_dir": str(home / "policies"),
        "policy": "house",
    }
    with GatewayProcess(home / "home", configuration, {}) as running:
        yield running


def _openai(gateway: GatewayProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.address}/v1", api_key=gateway.key, max_retries=0)


def _ask(gateway: GatewayProcess, model: str = "auto", **hints: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 64, "ponder": hints}
    return gateway.post("/v1/chat/completions", json=body)


def test_hard_sums_are_searched_and_easy_ones_are_not(gateway: GatewayProcess) -> None:
    """The policy sends a hard sum to a tree search by steps, and an easy one to a single draw; both are on record."""
    hard = _ask(gateway, category="math", difficulty="hard")
    assert hard.headers["x-ponder-arm"] == "tree"
    assert hard.json()["choices"][0]["message"]["content"].endswith("A:8")
    record = gateway.record(hard.headers["x-ponder-request-id"])
    assert record["search"]["strategy"] == "dvts"
    assert record["search"]["verifier"] == "prm"
    chosen = [draw for draw in record["search"]["draws"] if draw["is_chosen"]]
    assert [draw["parent"] for draw in chosen] == [None, *(draw["draw"] for draw in chosen[:-1])]
    assert all(score > 0.5 for draw in chosen for score in draw["scores"])
    easy = _ask(gateway, category="math", difficulty="easy")
    assert easy.headers["x-ponder-arm"] == "one"
    assert gateway.record(easy.headers["x-ponder-request-id"])["search"] is None


def test_the_tree_is_drawn_by_the_command(gateway: GatewayProcess) -> None:
    """``ponder request show ID --tree`` prints every draw, and says so for a request without one."""
    hard, easy = (_ask(gateway, category="math", difficulty=each) for each in ("hard", "easy"))
    ids = [answer.headers["x-ponder-request-id"] for answer in (hard, easy)]
    draws = gateway.record(ids[0])["search"]["draws"]
    gateway.record(ids[1])
    environment = {**os.environ, "PONDER_HOME": str(gateway.home), "PONDER_PORT": str(gateway.port)}
    environment["PONDER_CONFIG"] = str(gateway.home / "ponder.yaml")
    shown, refused = (
        subprocess.run(
            [sys.executable, "-m", "gateway.cli", "request", "show", each, "--tree"],
            capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[1], check=False,
        )
        for each in ids
    )  # fmt: skip
    assert shown.stdout.startswith("dvts · ")
    assert len(shown.stdout.splitlines()) == len(draws) + 1
    assert "★ 0" in shown.stdout or "★ 1" in shown.stdout
    assert refused.returncode != 0
    assert "single call" in refused.stderr


def test_official_clients_get_one_answer_whole_and_streamed(gateway: GatewayProcess) -> None:
    """Chat, Responses and Messages, with progress asked for: what comes is one text and a clean end."""
    client = _openai(gateway)
    extra: dict[str, Any] = {"ponder": {"progress": True}}
    whole = client.chat.completions.create(model="arm:vote", messages=[{"role": "user", "content": QUESTION}])
    assert "A:" in (whole.choices[0].message.content or "")
    assert whole.usage is not None
    assert whole.usage.completion_tokens_details is not None
    assert whole.usage.completion_tokens_details.reasoning_tokens > 0  # type: ignore[operator]
    chunks = client.chat.completions.create(
        model="arm:vote", messages=[{"role": "user", "content": QUESTION}], stream=True, extra_body=extra
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "A:" in text
    with client.responses.stream(model="arm:vote", input=QUESTION, extra_body=extra) as events:
        assert "A:" in events.get_final_response().output_text
    messages = anthropic.Anthropic(base_url=gateway.address, api_key=gateway.key, max_retries=0).messages
    with messages.stream(
        model="arm:vote", max_tokens=64, messages=[{"role": "user", "content": QUESTION}], extra_body=extra
    ) as told:
        final = told.get_final_message()
    assert "A:" in final.content[0].text  # type: ignore[union-attr]
    assert final.stop_reason == "end_turn"


def test_the_deadline_ends_a_search_in_time(gateway: GatewayProcess, served: Served) -> None:
    """No draw comes back within the deadline: the request fails by then, its draws are cancelled, and so it is told."""
    served.close_gate()
    try:
        answer = _ask(gateway, "arm:race", deadline_s=0.6)
    finally:
        served.open_gate()
    assert answer.status_code == httpx.codes.GATEWAY_TIMEOUT
    record = gateway.record(answer.headers["x-ponder-request-id"])
    assert record["total_s"] < 5
    assert {draw["fate"] for draw in record["search"]["draws"]} == {"cancelled"}


def test_a_client_that_leaves_ends_its_draws(gateway: GatewayProcess, served: Served) -> None:
    """The connection closes while four draws are under way: the server sees every one of them go."""
    served.close_gate()
    before = served.server.cancelled
    left = threading.Event()

    def leave() -> None:
        body = {
            "model": "arm:race",
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": True,
            "ponder": {"progress": True},
        }
        headers = {"authorization": f"Bearer {gateway.key}"}
        with httpx.stream(
            "POST", f"{gateway.address}/v1/chat/completions", json=body, headers=headers, timeout=START_AND_STOP_S
        ) as stream:
            pieces = stream.iter_raw()  # kept: an iterator that is dropped closes the stream
            next(pieces)
            awaited(served.server.at_gate.is_set, "a draw at the gate")
        left.set()

    thread = threading.Thread(target=leave)
    thread.start()
    try:
        assert left.wait(START_AND_STOP_S)
        awaited(lambda: served.server.cancelled > before, "the end of the draws")
    finally:
        served.open_gate()
        thread.join()


def test_metrics_count_draws_without_a_word_of_them(gateway: GatewayProcess) -> None:
    """Draws are counted by strategy and fate; no prompt and no answer is in metrics or log."""
    _ask(gateway, "arm:vote")
    page = gateway.get("/metrics").text
    assert 'ponder_search_draws_total{fate="whole",strategy="vote"}' in page
    assert "step by step" not in page + gateway.log
    assert "A:8" not in page + gateway.log


def test_what_cannot_search_is_refused_in_the_callers_dialect(gateway: GatewayProcess) -> None:
    """A search cannot call tools: 400, with the reason."""
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    body = {"model": "arm:vote", "messages": [{"role": "user", "content": QUESTION}], "tools": [tool]}
    answer = gateway.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert "tools" in json.dumps(answer.json()["error"])


def test_a_client_that_leaves_without_a_stream_ends_its_draws(gateway: GatewayProcess, served: Served) -> None:
    """Nothing has been sent to it, and yet its leaving is noticed while its draws are under way."""
    served.close_gate()
    before = served.server.cancelled
    body = json.dumps({"model": "arm:race", "messages": [{"role": "user", "content": QUESTION}]}).encode()
    credential = f"authorization: Bearer {gateway.key}"
    try:
        with RawConnection(gateway) as connection:
            connection.send(head("/v1/chat/completions", credential, f"content-length: {len(body)}") + body)
            awaited(served.server.at_gate.is_set, "a draw at the gate")
        awaited(lambda: served.server.cancelled > before, "the end of the draws")
    finally:
        served.open_gate()
