"""The documented call: an effort to any provider; back come thinking, answer and the thinking tokens really used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.litellm_server import GEMINI_USAGE
from tests.thinking.rules import Understood
from tests.thinking.server import ANSWER, ThinkingServer
from tests.upstreams import anthropic_server
from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.heard import openai_client

PRICE = {"input_per_mtok": 1, "output_per_mtok": 2}
BY_LITELLM = ("gemini", "deepseek", "dashscope", "mistral", "xai", "openrouter")
SPENT = {"gemini": GEMINI_USAGE["thoughtsTokenCount"], "llamacpp": 0}
"""What these report of thinking tokens, where it is not what the others do; a plain model's count as output."""
CALLS: list[tuple[str, str, Understood | None]] = [
    ("anthropic", "claude-haiku-4-5", None),
    ("anthropic", "claude-sonnet-4-6", None),
    ("anthropic", "claude-opus-5-5", None),
    ("deepseek", "deepseek-v4-pro", Understood(level="high")),
    ("mistral", "mistral-medium-latest", Understood(level="high")),
    ("xai", "grok-4.3", Understood(level="high")),
    ("openrouter", "deepseek/deepseek-v4-pro", Understood(level="high")),
    ("gemini", "gemini-2.5-flash", Understood(tokens=24_576)),
    ("gemini", "gemini-3.1-pro-preview", Understood(level="high")),
    ("dashscope", "qwen-plus", Understood(tokens=24_576)),
    ("vllm", "qwen3-8b", Understood(tokens=24_576)),
    ("llamacpp", "smollm2", Understood(is_prompted=True)),
]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[AnthropicServer, ThinkingServer]]:
    """Anthropic, and the others."""
    with AnthropicServer() as anthropic, ThinkingServer() as others:
        yield anthropic, others


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, servers: tuple[AnthropicServer, ThinkingServer]
) -> Iterator[GatewayProcess]:
    """The gateway in front of every provider, each by the kind of upstream that its key would add."""
    anthropic, others = servers
    key = {"api_key_env": "LOOPBACK"}
    upstreams: dict[str, Any] = {
        "anthropic": {"kind": "anthropic", "base_url": anthropic.address, "api_key_env": "LOOPBACK_ANTHROPIC"},
        "vllm": {"kind": "openai", "base_url": f"{others.address}/vllm", **key},
        "llamacpp": {"kind": "openai", "base_url": f"{others.address}/llamacpp", **key},
    }
    upstreams |= {name: {"kind": "litellm", "base_url": f"{others.address}/{name}", **key} for name in BY_LITELLM}
    models = {
        f"{provider}:{model}": {"upstream": provider, "name": model, "price": PRICE} for provider, model, _ in CALLS
    }
    settings = {"upstreams": upstreams, "models": models}
    secrets = {"LOOPBACK": "sk-loopback", "LOOPBACK_ANTHROPIC": anthropic_server.KEY}
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), settings, secrets) as process:
        yield process


@pytest.mark.parametrize(
    ("provider", "model", "understood"), CALLS, ids=lambda part: part if isinstance(part, str) else ""
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_one_call_thinks_at_every_provider(
    gateway: GatewayProcess,
    servers: tuple[AnthropicServer, ThinkingServer],
    provider: str,
    model: str,
    understood: Understood | None,
    *,
    stream: bool,
) -> None:
    """``reasoning_effort`` by the official client reaches the provider in its own form, and its thinking comes back."""
    anthropic, others = servers
    anthropic.script(model, ANSWER)
    others.understood.clear()
    ask: dict[str, Any] = {
        "model": f"{provider}:{model}",
        "messages": [{"role": "user", "content": "Why?"}],
        "reasoning_effort": "high",
        "stream": stream,
    }
    if stream:
        ask["stream_options"] = {"include_usage": True}
    with openai_client(gateway) as client:
        answer = client.chat.completions.create(**ask)
        chunks = [chunk.to_dict() for chunk in answer] if stream else [answer.to_dict()]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    parts = [choice["delta"] if stream else choice["message"] for choice in choices]
    usage = [chunk["usage"] for chunk in chunks if chunk.get("usage")][-1]
    assert "".join(part.get("content") or "" for part in parts) == "Because."
    assert "".join(part.get("reasoning_content") or part.get("reasoning") or "" for part in parts) == "Why?"
    assert usage["completion_tokens_details"]["reasoning_tokens"] == SPENT.get(provider, ANSWER.counts.thinking)
    if understood is not None:
        assert others.understood == [understood]
