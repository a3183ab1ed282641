"""What `ponder init` writes, served: configurations from answers, and from LiteLLM's, before a stand-in for a vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner

from gateway.cli import ponder
from tests.test_searches import Served
from tests.upstreams.faulty_server import closed_port
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.searched_vllm import MODEL

QUESTION = [{"role": "user", "content": "Hello, who are you?"}]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A server of one's own."""
    running = Served()
    yield running
    running.stop()


def _init(home: Path, *arguments: str, typed: str | None = None) -> str:
    home.mkdir()
    environment = {"PONDER_CONFIG": str(home / "ponder.yaml")}
    done = CliRunner().invoke(ponder, ["init", *arguments], input=typed, env=environment)
    assert done.exit_code == 0, done.output
    return (home / "ponder.yaml").read_text("utf-8")


def _ask(gateway: GatewayProcess, model: str) -> httpx.Response:
    return gateway.post("/v1/chat/completions", json={"model": model, "messages": QUESTION, "max_tokens": 32})


def test_answers_make_a_gateway_that_answers(served: Served, tmp_path: Path) -> None:
    """With a server of one's own, both its model and ``auto`` are answered, at no cost."""
    answers = yaml.safe_dump({"models": [f"http://127.0.0.1:{served.server.port}/v1 {MODEL}"]})
    text = _init(tmp_path / "home", "--answers", "-", typed=answers)
    with GatewayProcess(tmp_path / "home", text, {}) as gateway:
        for model in ("local", "auto"):
            answer = _ask(gateway, model)
            assert answer.status_code == httpx.codes.OK, answer.text
            assert answer.headers["x-ponder-cost-usd"] == "0"
            assert answer.json()["model"] == MODEL


def test_a_converted_configuration_falls_back(served: Served, tmp_path: Path) -> None:
    """Of LiteLLM's fallbacks the policy is made that has them: the dead model is passed over, the other one paid."""
    prices = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "max_retries": 0}
    gone = {"model": "openai/gone", "api_base": f"http://127.0.0.1:{closed_port()}/v1", **prices}
    here = {"model": f"hosted_vllm/{MODEL}", "api_base": f"http://127.0.0.1:{served.server.port}", **prices}
    limits = {"max_input_tokens": 1024, "max_output_tokens": 64}
    document: dict[str, Any] = {
        "model_list": [
            {"model_name": "zephyr", "litellm_params": gone, "model_info": limits},
            {"model_name": "backup", "litellm_params": here, "model_info": limits},
        ],
        "router_settings": {"fallbacks": [{"zephyr": ["backup"]}]},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(document))
    text = _init(tmp_path / "home", "--from-litellm", str(tmp_path / "config.yaml"))
    with GatewayProcess(tmp_path / "home", text, {}) as gateway:
        answer = _ask(gateway, "auto:zephyr")
        assert answer.status_code == httpx.codes.OK, answer.text
        assert answer.headers["x-ponder-arm"] == "backup"
        assert float(answer.headers["x-ponder-cost-usd"]) > 0
        assert _ask(gateway, "zephyr").status_code == httpx.codes.BAD_GATEWAY
