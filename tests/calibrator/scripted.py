"""A model's server whose answers are right or wrong by a script, a policy over it, and golden items to measure on."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.upstreams.gateway_process import GatewayProcess

NAMES = ("cheap", "middle", "dear")
PRICES = {"cheap": "0.1", "middle": "1", "dear": "10"}
"""Dollars per million tokens of each kind."""
TOKENS = 100
"""In the prompt, and again in the answer, as the server counts them."""
TIERS = ("easy", "medium", "hard")
_NUMBER = re.compile(r"Item (\d+)")

Script = Callable[[str, int], bool]
"""Whether a model is right about the item of a number."""


class ScriptedServer:
    """Answers chat completions; ``asked`` has the model and the item's number of each, in the order they came."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[tuple[str, int]] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.refusals: dict[str, tuple[int, Mapping[str, str]]] = {}
        """By model, what it is refused with, instead of an answer."""
        self.address = ""

    def reply(self, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], dict[str, Any]]:
        """Status, headers and body of the answer."""
        model = str(body["model"])
        found = _NUMBER.search(body["messages"][-1]["content"])
        assert found is not None
        number = int(found[1])
        self.asked.append((model, number))
        self.is_open.wait(30)
        if model in self.refusals:
            status, headers = self.refusals[model]
            return status, headers, {"error": {"message": "scripted", "type": "scripted"}}
        said = truth(number) if self.script(model, number) else "0"
        message = {"role": "assistant", "content": f"Answer: {said}"}
        usage = {"prompt_tokens": TOKENS, "completion_tokens": TOKENS, "total_tokens": 2 * TOKENS}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return 200, {}, {
            "id": f"c-{len(self.asked)}",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [choice],
            "usage": usage,
        }  # fmt: skip


@contextmanager
def scripted(script: Script, kind: type[ScriptedServer] = ScriptedServer) -> Iterator[ScriptedServer]:
    """The server, on loopback."""
    server = kind(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, headers, answer = server.reply(body)
            raw = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Tests need no access log."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A gateway that was killed in the middle of a call is what some tests are about."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.address = f"http://127.0.0.1:{http.server_port}/v1"
        try:
            yield server
        finally:
            server.is_open.set()
            http.shutdown()
            thread.join()


def truth(number: int) -> str:
    """What is right about an item."""
    return str(7 * number + 1)


def golden(items: int) -> str:
    """A golden file of so many items, a third of them in each tier."""
    rows = (
        {
            "id": f"i{number:05}",
            "prompt": f"Item {number}: seven times the number of this item, and one. End with: Answer: <number>",
            "category": "math",
            "difficulty": TIERS[number % 3],
            "check": {"kind": "math", "answer": truth(number)},
        }
        for number in range(items)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


def policy(loss_at_most: float = 0.05, **calibrate: Any) -> dict[str, Any]:
    """A policy with an arm for each model, and one calibrated rule."""
    return {
        "policy": "work",
        "arms": {name: {"model": name} for name in NAMES},
        "defaults": {"arm": "dear", "reference": "dear", "max_cost_usd": 0.25, "deadline_s": 20},
        "rules": [
            {
                "name": "checkable",
                "when": {"category": "math"},
                "calibrated": {
                    "among": list(NAMES),
                    "loss_at_most": loss_at_most,
                    "confidence": 0.9,
                    "until_certified": "dear",
                },
            }
        ],
        "calibrate": {"every": "1d", "spend_at_most_usd": 5, **calibrate},
    }


def settings(address: str) -> dict[str, Any]:
    """The gateway's ``ponder.yaml`` in front of the server."""
    return {
        "policy": "work",
        "upstreams": {"only": {"kind": "openai", "base_url": address, "dialects": ["openai-chat"], "retries": 0}},
        "models": {
            name: {
                "upstream": "only",
                "price": {"input_per_mtok": float(price), "output_per_mtok": float(price)},
                "max_output_tokens": 1000,
            }
            for name, price in PRICES.items()
        },
    }


def write_policy(home: Path, document: Mapping[str, Any], items: int) -> None:
    """Put a policy and its golden items beside ``home``'s ponder.yaml."""
    folder = home / "policies" / str(document["policy"])
    (folder / "golden").mkdir(parents=True, exist_ok=True)
    (folder / "policy.yaml").write_text(yaml.safe_dump(dict(document), sort_keys=False), "utf-8")
    (folder / "golden" / "items.jsonl").write_text(golden(items), "utf-8")


@contextmanager
def site(home: Path, script: Script, *, items: int, **given: Any) -> Iterator[tuple[GatewayProcess, ScriptedServer]]:
    """A gateway that is running, with a policy to calibrate and the models that it calls."""
    with scripted(script) as server:
        home.mkdir(parents=True, exist_ok=True)
        write_policy(home, policy(**given), items)
        with GatewayProcess(home, settings(server.address), {}) as gateway:
            yield gateway, server


def environment(gateway: GatewayProcess) -> dict[str, str]:
    """What a command or a worker beside the gateway is started with."""
    return {
        "PONDER_HOST": "127.0.0.1",
        "PONDER_PORT": str(gateway.port),
        "PONDER_HOME": str(gateway.home),
        "PONDER_CONFIG": str(gateway.home / "ponder.yaml"),
    }
