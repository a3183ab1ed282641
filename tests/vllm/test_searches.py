"""Every strategy, end to end: through the gateway's HTTP port, on real vLLMs with a verifier that was trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import openai
import pytest
import yaml

from tests.reasoner.prompts import CONTEXT_TOKENS, messages
from tests.reasoner.tasks import Problem, fresh, is_right, stated_answer
from tests.upstreams.gateway_process import GatewayProcess
from tests.vllm.servers import Vllm

pytestmark = pytest.mark.vllm

_PATIENCE_S: Final = 120.0
_BY_STEPS: Final = {"depth": 16, "step": "newline", "verifier": "prm"}
_ARMS: Final[dict[str, Any]] = {
    "one": {"model": "large"},
    "vote": {"model": "large", "strategy": "vote", "samples": 6},
    "race": {"model": "large", "strategy": "vote", "samples": 6, "schedule": "concurrent"},
    "weighted": {"model": "large", "strategy": "vote", "samples": 4, "weighted": True, "verifier": "prm"},
    "best": {"model": "small", "strategy": "best_of_n", "samples": 16, "verifier": "prm"},
    "reject": {"model": "small", "strategy": "best_of_n", "samples": 16, "reject_after": 2, "reject_below": 0.2,
               "step": "newline", "verifier": "prm"},
    "beam": {"model": "small", "strategy": "beam", "beams": 4, "expand": 4, **_BY_STEPS},
    "dvts": {"model": "small", "strategy": "dvts", "beams": 16, "groups": 4, **_BY_STEPS},
    "mcts": {"model": "small", "strategy": "mcts", "simulations": 24, **_BY_STEPS},
    "repair": {"model": "small", "strategy": "repair", "rounds": 8, "step": "newline", "verifier": "prm"},
    "draft": {"model": "large", "strategy": "draft", "draft": "small", **_BY_STEPS},
    "revise": {"model": "large", "strategy": "revise"},
    "decompose": {"model": "large", "strategy": "decompose"},
    "cascade": {"cascade": ["best", "one"], "escalate_below": 0.8, "verifier": "prm"},
}  # fmt: skip
_RULES: Final = [
    {"name": "hard math is searched", "when": {"category": "math", "difficulty": ["hard", "very_hard"]}, "arm": "dvts"},
    {"name": "easy math is one draw", "when": {"category": "math", "difficulty": ["easy", "medium"]}, "arm": "one"},
]
_HEAD: Final = json.loads(Path(__file__).parents[1].joinpath("reasoner/weights/likelihood/prm.json").read_text("utf-8"))
_PRM: Final = {"kind": "likelihood", "model": "prm", "template": _HEAD["template"], "weights": _HEAD["weights"]}
_UNTAUGHT: Final = ("revise", "decompose")
"""Strategies that put words to the model which it was never taught: what it answers to them may be nonsense."""


_PROBLEMS: Final = dict(zip(_ARMS, fresh("test", 3, len(_ARMS), seed=17), strict=True))
"""Each arm has its own: what was scored for another would not be scored, nor charged, again."""


@pytest.fixture(scope="module")
def gateway(
    small: Vllm, large: Vllm, verifying: Vllm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway in front of a vLLM for each model, with an arm for each strategy."""
    home = tmp_path_factory.mktemp("home")
    servers = {"small": small, "large": large, "prm": verifying}
    price = {"gpu_hour_usd": 2.0, "output_tokens_per_s": 1000, "input_tokens_per_s": 10_000}
    configuration = {
        "upstreams": {name: {"kind": "vllm", "base_url": each.base_url} for name, each in servers.items()},
        "models": {
            name: {"upstream": name, "price": price, "context_tokens": CONTEXT_TOKENS, "max_output_tokens": 200}
            for name in servers
        },
        "verifiers": {"prm": _PRM},
        "policy": "math",
        "limits": {"deadline_s": _PATIENCE_S},
    }
    defaults = {"arm": "one", "reference": "one", "max_cost_usd": 1, "deadline_s": _PATIENCE_S}
    policy = {"policy": "math", "arms": _ARMS, "defaults": defaults, "rules": _RULES, "sticky": False}
    folder = home / "policies" / "math"
    folder.mkdir(parents=True)
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False), "utf-8")
    with GatewayProcess(home, configuration, {}) as process:
        yield process


@pytest.fixture(scope="module")
def client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    """The official client at that gateway."""
    url = f"{gateway.address}/v1"
    with openai.OpenAI(base_url=url, api_key=gateway.key, max_retries=0, timeout=_PATIENCE_S) as official:
        yield official


def _ask(client: openai.OpenAI, problem: Problem, model: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """The answer's text and the request's record."""
    chat: Any = messages(problem)
    raw = client.chat.completions.with_raw_response.create(model=model, messages=chat, seed=7, **more)
    content = raw.parse().choices[0].message.content
    assert content is not None
    return content, client.get(f"/requests/{raw.headers['x-ponder-request-id']}", cast_to=dict[str, Any])


@pytest.mark.parametrize("arm", [arm for arm in _ARMS if arm != "one"])
def test_a_search_answers_and_every_token_is_charged(client: openai.OpenAI, arm: str) -> None:
    """One answer comes back; its record holds the whole tree, and costs the sum of all calls, scores included."""
    problem = _PROBLEMS[arm]
    content, record = _ask(client, problem, f"arm:{arm}")
    search = record["search"]
    assert (record["result"], record["plan"]["arm"]) == ("answered", arm)
    assert search["strategy"] == _ARMS[arm].get("strategy", "cascade")
    assert search["draws"]
    assert any(draw["is_chosen"] for draw in search["draws"])
    assert sum(Decimal(call["cost_usd"]) for call in record["calls"]) == Decimal(record["cost_usd"]) > 0
    if "verifier" in _ARMS[arm]:
        assert any(draw["scores"] for draw in search["draws"])
        assert any(call["upstream"] == "prm" for call in record["calls"])
    if arm not in _UNTAUGHT:
        assert stated_answer(content) is not None, content


def test_searches_find_what_one_draw_does_not(client: openai.OpenAI) -> None:
    """Of problems that one greedy draw of the small reasoner mostly gets wrong, a tree gets more right."""
    problems = fresh("test", 6, 8, seed=23)
    by_tree = [is_right(problem, _ask(client, problem, "arm:dvts")[0]) for problem in problems]
    by_draw = [is_right(problem, _ask(client, problem, "small", temperature=0)[0]) for problem in problems]
    assert sum(by_tree) > sum(by_draw)


def test_hard_asks_are_searched_and_easy_ones_are_not(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    """Under ``auto`` the difficulty decides, and ``ponder request show --tree`` draws what was done."""
    problem = fresh("test", 4, 1, seed=29)[0]
    hint = {"ponder": {"category": "math", "difficulty": "hard"}}
    _, searched = _ask(client, problem, "auto", extra_body=hint)
    _, drawn = _ask(client, problem, "auto", extra_body={"ponder": {"category": "math", "difficulty": "easy"}})
    assert (searched["plan"]["arm"], drawn["plan"]["arm"]) == ("dvts", "one")
    assert len(drawn["calls"]) == 1 < len(searched["calls"])
    shown = _show_tree(gateway, searched["id"])
    assert shown.startswith("dvts · ")
    assert "verified by prm" in shown


def test_a_client_that_leaves_leaves_no_draw_behind(client: openai.OpenAI, small: Vllm) -> None:
    """Soon after the connection is closed, nothing of the search runs on the engine any more."""
    chat: Any = messages(fresh("test", 12, 1, seed=31)[0])
    with client.chat.completions.create(model="arm:dvts", messages=chat, stream=True, timeout=_PATIENCE_S) as stream:
        deadline = time.monotonic() + _PATIENCE_S
        while small.metric("vllm:num_requests_running") == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        stream.close()
    while small.metric("vllm:num_requests_running") > 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert small.metric("vllm:num_requests_running") == 0
    assert small.metric("vllm:num_requests_waiting") == 0


def _show_tree(gateway: GatewayProcess, request_id: str) -> str:
    """What the command prints, once the record is in the database."""
    environment = {
        **os.environ,
        "PONDER_HOME": str(gateway.home),
        "PONDER_CONFIG": str(gateway.home / "ponder.yaml"),
        "PONDER_PORT": str(gateway.port),
    }
    command = [sys.executable, "-m", "gateway.cli", "request", "show", request_id, "--tree"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
