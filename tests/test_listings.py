"""What providers say of their own models, asked in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from gateway.adapters.anthropic_upstream import AnthropicUpstream
from gateway.domain.chat import ThinkingMode
from gateway.listings import Listings
from gateway.settings import Settings
from gateway.wiring import catalog
from tests.upstreams.anthropic_server import KEY, AnthropicServer


@pytest.fixture(scope="module")
def server() -> Iterator[AnthropicServer]:
    """Anthropic, strict."""
    with AnthropicServer() as running:
        yield running


def upstream(address: str, key: str = KEY) -> AnthropicUpstream:
    """Anthropic at ``address``."""
    return AnthropicUpstream(name="anthropic", base_url=address, api_key=key, headers={}, connections=2)


async def test_a_providers_list_is_asked_once_and_told(server: AnthropicServer) -> None:
    """The answer is kept by upstream and model, a change is told once, and the same upstream is not asked again."""
    listings, changed = Listings(), asyncio.Event()
    anthropic = upstream(server.address)
    before = len(server.requests)
    listings.ask({"anthropic": anthropic}, changed.set)
    await asyncio.wait_for(changed.wait(), 10)
    assert listings.reported["anthropic"]["claude-opus-4-8"].modes == {ThinkingMode.ADAPTIVE, ThinkingMode.DISABLED}
    listings.ask({"anthropic": anthropic}, changed.set)
    await listings.close()
    await anthropic.close()
    assert [each.path.split("?")[0] for each in server.requests[before:]] == ["/v1/models"]


async def test_a_provider_that_does_not_answer_costs_a_line_in_the_log(
    server: AnthropicServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal leaves the table's facts, and is said."""
    listings = Listings()
    denied = upstream(server.address, key="sk-wrong")
    with caplog.at_level(logging.WARNING):
        listings.ask({"anthropic": denied}, lambda: pytest.fail("nothing has changed"))
        await asyncio.wait({task for task in asyncio.all_tasks() if task.get_name() == "listing of anthropic"})
    await listings.close()
    await denied.close()
    assert listings.reported == {}
    assert "did not say what its models take, so the built-in table holds" in caplog.text
    assert "sk-wrong" not in caplog.text


async def test_the_catalog_takes_reports_up() -> None:
    """A model's capability and limits come from its provider's report where nothing else says them."""
    with AnthropicServer() as server:
        listings, changed = Listings(), asyncio.Event()
        anthropic = upstream(server.address)
        listings.ask({"anthropic": anthropic}, changed.set)
        await asyncio.wait_for(changed.wait(), 10)
        await listings.close()
        await anthropic.close()
    settings = Settings.model_validate(
        {
            "upstreams": {"anthropic": {"kind": "anthropic", "base_url": server.address}},
            "models": {"mine": {"upstream": "anthropic", "name": "claude-opus-4-5", "price": "free"}},
        }
    )
    models = catalog(settings, {}, embedded_url=None, reported=listings.reported)[0].models
    assert models["mine"].capability.levels == ("none", "low", "medium", "high")
    assert models["mine"].capability.budget is not None
    assert models["mine"].capability.budget.most == 64_000 - 1024
