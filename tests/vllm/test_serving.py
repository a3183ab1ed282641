"""The gateway in front of a real vLLM on a processor that serves a real, if small, reasoner."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest

from tests.reasoner.prompts import CONTEXT_TOKENS, messages
from tests.reasoner.tasks import fresh
from tests.vllm.servers import Vllm, free_port, running

pytestmark = pytest.mark.vllm

_GPU_HOUR_USD = Decimal("2.10")
_OUTPUT_TOKENS_PER_S = 700
_MESSAGES: list[Any] = [*messages(fresh("test", 6, 1, seed=41)[0])]
_TOKENS = 24
"""Fewer than the solution takes."""


@pytest.fixture(scope="module")
def client(small: Vllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """The official client, pointed at a gateway that is configured on that vLLM."""
    home = tmp_path_factory.mktemp("home")
    price = f"{{gpu_hour_usd: {_GPU_HOUR_USD}, output_tokens_per_s: {_OUTPUT_TOKENS_PER_S}}}"
    (home / "ponder.yaml").write_text(
        f"upstreams: {{gpu: {{kind: openai, base_url: '{small.base_url}'}}}}\n"
        f"models: {{reasoner: {{upstream: gpu, name: small, price: {price}, context_tokens: {CONTEXT_TOKENS}}}}}\n"
    )
    port = free_port()
    environment = {
        **os.environ,
        "PONDER_HOME": str(home / "state"),
        "PONDER_CONFIG": str(home / "ponder.yaml"),
        "PONDER_PORT": str(port),
    }
    command = [sys.executable, "-m", "gateway.cli", "serve"]
    url = f"http://127.0.0.1:{port}"
    with running(command, f"{url}/health/ready", home / "gateway.log", environment):
        key = (home / "state" / "default.key").read_text().strip()
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60) as official:
            yield official


def _record(client: openai.OpenAI, request_id: str) -> dict[str, Any]:
    return client.get(f"/requests/{request_id}", cast_to=dict[str, Any])


def _expected_usd(tokens: int) -> Decimal:
    return _GPU_HOUR_USD / 3600 / _OUTPUT_TOKENS_PER_S * tokens


def test_the_model_is_offered_under_its_configured_name(client: openai.OpenAI) -> None:
    """Callers see the configured name, not vLLM's."""
    offered = {model.id for model in client.models.list()}
    assert {"reasoner", "auto"} <= offered
    assert "small" not in offered


def test_a_whole_answer_is_priced_by_the_hour(client: openai.OpenAI) -> None:
    """An answer of vLLM passes through, and its record holds vLLM's own token counts and their price."""
    raw = client.chat.completions.with_raw_response.create(
        model="reasoner", messages=_MESSAGES, max_tokens=_TOKENS, temperature=0
    )
    answer = raw.parse()
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    record = _record(client, raw.headers["x-ponder-request-id"])
    (call,) = record["calls"]
    assert (record["result"], call["upstream"], call["model"]) == ("answered", "gpu", "small")
    assert call["spent"]["output_tokens"] == answer.usage.completion_tokens == _TOKENS
    assert call["spent"]["input_tokens"] + call["spent"]["cached_tokens"] == answer.usage.prompt_tokens
    assert call["spent"]["source"] == "reported"
    assert Decimal(record["cost_usd"]) >= _expected_usd(_TOKENS).quantize(Decimal("1e-9"))


def test_a_stream_says_the_same_and_is_counted(client: openai.OpenAI) -> None:
    """At temperature 0 the streamed answer equals the whole one, and its tokens are recorded although unasked."""
    asked: dict[str, Any] = {
        "model": "reasoner",
        "messages": _MESSAGES,
        "max_tokens": _TOKENS,
        "temperature": 0,
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
        client.chat.completions.create(
            model="reasoner", messages=[{"role": "user", "content": "x" * (CONTEXT_TOKENS + 1)}], max_tokens=8
        )
    record = _record(client, refused.value.response.headers["x-ponder-request-id"])
    assert record["result"] == "refused"
    assert Decimal(record["cost_usd"]) == 0
