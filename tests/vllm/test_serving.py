"""The gateway in front of a real vLLM on CPU that serves a real, if tiny and random, Llama."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

pytestmark = pytest.mark.vllm

_ROOT = Path(__file__).parent.parent.parent
_ENVIRONMENT = _ROOT / ".venv-vllm"
_START_S = 300
_GPU_HOUR_USD = Decimal("2.10")
_OUTPUT_TOKENS_PER_S = 700
_MESSAGES: list[Any] = [{"role": "user", "content": "What is 2 + 3?"}]
_TOKENS = 24


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def _running(command: list[str], ready: str, log: Path, environment: dict[str, str]) -> Iterator[None]:
    """A server, from the moment that ``ready`` answers 200."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process:
        try:
            deadline = time.monotonic() + _START_S
            while not _answers(ready):
                assert process.poll() is None, log.read_text("utf-8", "replace")[-4000:]
                assert time.monotonic() < deadline, log.read_text("utf-8", "replace")[-4000:]
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a vLLM that serves the tiny model as ``tiny``."""
    folder = tmp_path_factory.mktemp("model")
    maker = Path(__file__).with_name("make_model.py")
    subprocess.run([_ENVIRONMENT / "bin" / "python", maker, folder], check=True, capture_output=True)
    port = _free_port()
    command = [str(_ENVIRONMENT / "bin" / "vllm"), "serve", str(folder), "--served-model-name", "tiny"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", "512", "--max-num-seqs", "8"]
    command += ["--dtype", "float32", "--enforce-eager"]
    command += ["--gpu-memory-utilization", "0.4"]  # on a processor: the share of one NUMA node's memory
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    # Its compilers are looked for beside its Python, and its engine runs in a process of its own.
    environment["PATH"] = f"{_ENVIRONMENT / 'bin'}{os.pathsep}{environment['PATH']}"
    with _running(command, f"http://127.0.0.1:{port}/health", folder / "vllm.log", environment):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="module")
def client(vllm: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """The official client, pointed at a gateway that is configured on that vLLM."""
    home = tmp_path_factory.mktemp("home")
    price = f"{{gpu_hour_usd: {_GPU_HOUR_USD}, output_tokens_per_s: {_OUTPUT_TOKENS_PER_S}}}"
    (home / "ponder.yaml").write_text(
        f"upstreams: {{gpu: {{kind: openai, base_url: '{vllm}'}}}}\n"
        f"models: {{small: {{upstream: gpu, name: tiny, price: {price}, context_tokens: 512}}}}\n"
    )
    port = _free_port()
    environment = {
        **os.environ,
        "PONDER_HOME": str(home / "state"),
        "PONDER_CONFIG": str(home / "ponder.yaml"),
        "PONDER_PORT": str(port),
    }
    command = [sys.executable, "-m", "gateway.cli", "serve"]
    url = f"http://127.0.0.1:{port}"
    with _running(command, f"{url}/health/ready", home / "gateway.log", environment):
        key = (home / "state" / "default.key").read_text().strip()
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60) as official:
            yield official


def _record(client: openai.OpenAI, request_id: str) -> dict[str, Any]:
    return client.get(f"/requests/{request_id}", cast_to=dict[str, Any])


def _expected_usd(tokens: int) -> Decimal:
    return _GPU_HOUR_USD / 3600 / _OUTPUT_TOKENS_PER_S * tokens


def test_the_model_is_offered_under_its_configured_name(client: openai.OpenAI) -> None:
    """Callers see the configured name, not vLLM's."""
    assert [model.id for model in client.models.list()] == ["small"]


def test_a_whole_answer_is_priced_by_the_hour(client: openai.OpenAI) -> None:
    """An answer of vLLM passes through, and its record holds vLLM's own token counts and their price."""
    raw = client.chat.completions.with_raw_response.create(
        model="small", messages=_MESSAGES, max_tokens=_TOKENS, temperature=0, extra_body={"ignore_eos": True}
    )
    answer = raw.parse()
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    record = _record(client, raw.headers["x-ponder-request-id"])
    (call,) = record["calls"]
    assert (record["result"], call["upstream"], call["model"]) == ("answered", "gpu", "tiny")
    assert call["spent"]["output_tokens"] == answer.usage.completion_tokens == _TOKENS
    assert call["spent"]["input_tokens"] + call["spent"]["cached_tokens"] == answer.usage.prompt_tokens
    assert call["spent"]["source"] == "reported"
    assert Decimal(record["cost_usd"]) >= _expected_usd(_TOKENS).quantize(Decimal("1e-9"))


def test_a_stream_says_the_same_and_is_counted(client: openai.OpenAI) -> None:
    """At temperature 0 the streamed answer equals the whole one, and its tokens are recorded although unasked."""
    asked: dict[str, Any] = {
        "model": "small",
        "messages": _MESSAGES,
        "max_tokens": _TOKENS,
        "temperature": 0,
        "extra_body": {"ignore_eos": True},
    }
    whole = client.chat.completions.create(**asked).choices[0].message.content
    with client.chat.completions.with_streaming_response.create(**asked, stream=True) as response:
        request_id = response.headers["x-ponder-request-id"]
        chunks = list(response.parse())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert len(chunks) > 2
    assert all(chunk.usage is None for chunk in chunks)
    (call,) = _record(client, request_id)["calls"]
    assert call["spent"]["output_tokens"] == _TOKENS
    assert call["first_byte_s"] is not None


def test_vllms_refusal_reaches_the_client(client: openai.OpenAI) -> None:
    """A prompt beyond the context is refused with status 400 and no charge."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="small", messages=[{"role": "user", "content": "x" * 600}], max_tokens=8)
    record = _record(client, refused.value.response.headers["x-ponder-request-id"])
    assert record["result"] == "refused"
    assert Decimal(record["cost_usd"]) == 0
