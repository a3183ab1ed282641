"""The judge at other providers: asked in their own words, which strict servers take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.domain.verification import Chain
from gateway.errors import UpstreamFailed
from gateway.search_ports import Verifier
from gateway.settings import Settings
from gateway.wiring import catalog
from tests.adapters.verifiers.conftest import PATIENCE_S, PROBLEM
from tests.upstreams import anthropic_server, openai_server
from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.openai_server import OpenAIServer
from tests.upstreams.replies import Reply

ANSWER = Chain(("5",), is_whole=True)


@pytest.fixture(scope="module")
def anthropic() -> Iterator[AnthropicServer]:
    """Anthropic, strict."""
    with AnthropicServer() as server:
        yield server


@pytest.fixture(scope="module")
def openai() -> Iterator[OpenAIServer]:
    """OpenAI, strict."""
    with OpenAIServer() as server:
        yield server


@asynccontextmanager
async def judge(upstream: dict[str, Any], model: str, **settings: Any) -> AsyncIterator[Verifier]:
    """A judge that is a model at this upstream."""
    configured = Settings.model_validate(
        {
            "upstreams": {"there": {"api_key_env": "KEY", **upstream}},
            "models": {model: {"upstream": "there"}},
            "verifiers": {"judge": {"kind": "judge", "model": model, **settings}},
        }
    )
    key = anthropic_server.KEY if upstream["kind"] == "anthropic" else openai_server.KEY
    offered, _ = catalog(configured, {"KEY": key}, embedded_url=None)
    try:
        yield offered.verifiers["judge"]
    finally:
        await offered.upstreams["there"].close()


@pytest.mark.parametrize(("says", "score"), [("Yes", 1.0), (" No.", 0.0)])
@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-4-8"])
async def test_at_anthropic(anthropic: AnthropicServer, model: str, says: str, score: float) -> None:
    """Anthropic is asked without thinking, for a word, and its usage is told."""
    anthropic.script(model, Reply(text=says))
    upstream = {"kind": "anthropic", "base_url": anthropic.address, "provider": "anthropic"}
    async with judge(upstream, model) as verifier:
        verdict = await verifier.score(PROBLEM, ANSWER, deadline_s=PATIENCE_S, salt="s")
    assert verdict.scores == (score,)
    (use,) = verdict.uses
    assert use.model == model
    assert use.usage is not None
    assert use.usage.prompt_tokens > 0
    assert "cache_salt" not in anthropic.last.json


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "gpt-5.1", "gpt-5-mini", "o4-mini"])
@pytest.mark.parametrize("dialects", [["openai-chat"], ["openai-responses"]])
async def test_at_openai(openai: OpenAIServer, model: str, dialects: list[str]) -> None:
    """OpenAI's models, reasoning ones too, are asked in either API with nothing that they refuse."""
    openai.script(model, Reply(text="No"))
    upstream = {"kind": "openai", "base_url": f"{openai.address}/v1", "provider": "openai", "dialects": dialects}
    async with judge(upstream, model) as verifier:
        verdict = await verifier.score(PROBLEM, ANSWER, deadline_s=PATIENCE_S, salt="s")
    assert verdict.scores == (0.0,)
    assert [use.usage is not None for use in verdict.uses] == [True]
    assert "cache_salt" not in openai.last.json


async def test_a_judge_that_refuses(anthropic: AnthropicServer) -> None:
    """What says nothing is no score."""
    anthropic.script("claude-haiku-4-5", Reply(refusal="I would rather not."))
    upstream = {"kind": "anthropic", "base_url": anthropic.address, "provider": "anthropic"}
    async with judge(upstream, "claude-haiku-4-5") as verifier:
        with pytest.raises(UpstreamFailed, match="neither Yes nor No"):
            await verifier.score(PROBLEM, ANSWER, deadline_s=PATIENCE_S, salt="s")
