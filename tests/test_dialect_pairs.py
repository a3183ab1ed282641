"""Every client dialect against every upstream dialect, streamed and whole, through the official packages."""

from __future__ import annotations

import pytest

from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.heard import ASK
from tests.upstreams.listening import ProviderServer
from tests.upstreams.openai_server import OpenAIServer
from tests.upstreams.replies import (
    CUT_SHORT,
    DECLINED,
    GREETING,
    ONE_TOOL,
    PARALLEL_TOOLS,
    THOUGHTFUL,
    THOUGHTFUL_TOOL,
    Reply,
)

pytest_plugins = ("tests.upstreams.fixtures",)

WEATHER = {
    '{"city": "Paris", "unit": "celsius"}': {"city": "Paris", "unit": "celsius"},
    '{"city": "Oslo", "unit": "celsius"}': {"city": "Oslo", "unit": "celsius"},
}
TARGETS = {
    "openai": ("gpt-4.1-mini", "gpt-4.1-mini"),
    "openai-responses": ("responder", "gpt-5.4"),
    "anthropic-messages": ("claude-sonnet-4-6", "claude-sonnet-4-6"),
    "compatible": ("qwen3-8b", "qwen3-8b"),
}
"""Upstream → the name to ask the gateway for, and the upstream's own name."""

HIDES_THINKING = {("chat", "openai"), ("messages", "openai")}
"""OpenAI shows its reasoning in Responses alone, and other clients are served by its Chat API."""

REPLIES = {
    "text": GREETING,
    "one tool": ONE_TOOL,
    "parallel tools": PARALLEL_TOOLS,
    "thinking": THOUGHTFUL,
    "thinking and tool": THOUGHTFUL_TOOL,
    "refusal": DECLINED,
    "cut short": CUT_SHORT,
}


@pytest.fixture(scope="module", name="servers")
def _servers(
    openai_server: OpenAIServer, anthropic_server: AnthropicServer, compatible_server: OpenAIServer
) -> dict[str, ProviderServer]:
    return {
        "openai": openai_server,
        "openai-responses": openai_server,
        "anthropic-messages": anthropic_server,
        "compatible": compatible_server,
    }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("client", ASK)
def test_every_pair_says_the_same(
    gateway: GatewayProcess,
    servers: dict[str, ProviderServer],
    *,
    client: str,
    target: str,
    reply: Reply,
    stream: bool,
) -> None:
    """Whatever dialects meet, the client hears the answer's words, calls, thinking, stop and token counts."""
    asked, own = TARGETS[target]
    servers[target].script(own, reply)
    heard = ASK[client](gateway, asked, stream=stream)
    assert heard.words == reply.text + reply.refusal
    assert heard.calls == tuple((tool.name, WEATHER[tool.arguments]) for tool in reply.tools)
    assert heard.thinking == ("" if (client, target) in HIDES_THINKING else reply.thinking)
    assert heard.stop == reply.finish
    assert (heard.prompt_tokens, heard.cached_tokens) == (reply.counts.prompt, reply.counts.cached)
    assert (heard.completion_tokens, heard.thinking_tokens) == (reply.counts.completion, reply.counts.thinking)
