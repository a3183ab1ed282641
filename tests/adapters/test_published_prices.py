"""Published prices, end to end: from the installed price list to dollars."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.adapters.price_list import PriceList
from gateway.domain.pricing import Price, cost
from gateway.domain.usage import Usage

WEDNESDAY_NOON = datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp()
WEDNESDAY_SEVEN = datetime(2026, 11, 18, 7, tzinfo=UTC).timestamp()
SUNDAY_SEVEN = datetime(2026, 11, 22, 7, tzinfo=UTC).timestamp()

CACHED = Usage(input_tokens=1_000, cached_tokens=4_000, output_tokens=500)
WRITTEN = Usage(input_tokens=1_000, cache_write_5m_tokens=2_000, cache_write_1h_tokens=3_000, output_tokens=500)
THOUGHT = Usage(input_tokens=1_000, output_tokens=500, thinking_tokens=400)
EMBEDDED = Usage(input_tokens=1_000)


def served(tier: str, usage: Usage = CACHED) -> Usage:
    """The same call, answered at a service tier."""
    return replace(usage, service_tier=tier)


def prompt(tokens: int, tier: str | None = None) -> Usage:
    """A call with a prompt of this many tokens, half of it cached, and 1,000 tokens of output."""
    return Usage(input_tokens=tokens - tokens // 2, cached_tokens=tokens // 2, output_tokens=1_000, service_tier=tier)


# Dollars worked out apart from the code, from prices that the providers publish, as they stood in
# October and November 2026 (the pages themselves or others' copies of them):
# platform.claude.com/docs/en/about-claude/pricing, developers.openai.com/api/docs/pricing,
# openai.com/api-priority-processing, ai.google.dev/gemini-api/docs/pricing,
# api-docs.deepseek.com/quick_start/pricing, docs.x.ai, mistral.ai/pricing, platform.moonshot.ai,
# groq.com/pricing, docs.z.ai.
PUBLISHED = [
    ("anthropic", "claude-fable-5-1", CACHED, "0.036"),
    ("anthropic", "claude-fable-5-1", WRITTEN, "0.12"),
    ("anthropic", "claude-fable-5", CACHED, "0.039"),
    ("anthropic", "claude-fable-5", WRITTEN, "0.12"),
    ("anthropic", "claude-opus-5-5", CACHED, "0.0148"),
    ("anthropic", "claude-opus-5-5", WRITTEN, "0.048"),
    ("anthropic", "claude-opus-5", CACHED, "0.0195"),
    ("anthropic", "claude-opus-5", WRITTEN, "0.06"),
    ("anthropic", "claude-opus-4-8", CACHED, "0.0195"),
    ("anthropic", "claude-opus-4-8", WRITTEN, "0.06"),
    ("anthropic", "claude-opus-4-7", CACHED, "0.0195"),
    ("anthropic", "claude-opus-4-7", WRITTEN, "0.06"),
    ("anthropic", "claude-opus-4-6", CACHED, "0.0195"),
    ("anthropic", "claude-opus-4-6", WRITTEN, "0.06"),
    ("anthropic", "claude-opus-4-5", CACHED, "0.0195"),
    ("anthropic", "claude-opus-4-5", WRITTEN, "0.06"),
    ("anthropic", "claude-sonnet-5-5", CACHED, "0.0074"),
    ("anthropic", "claude-sonnet-5-5", WRITTEN, "0.024"),
    ("anthropic", "claude-sonnet-5", CACHED, "0.0078"),
    ("anthropic", "claude-sonnet-5", WRITTEN, "0.024"),
    ("anthropic", "claude-sonnet-4-6", CACHED, "0.0117"),
    ("anthropic", "claude-sonnet-4-6", WRITTEN, "0.036"),
    ("anthropic", "claude-sonnet-4-5", CACHED, "0.0117"),
    ("anthropic", "claude-sonnet-4-5", WRITTEN, "0.036"),
    ("anthropic", "claude-haiku-4-5", CACHED, "0.0039"),
    ("anthropic", "claude-haiku-4-5", WRITTEN, "0.012"),
    ("openai", "gpt-6-astra", CACHED, "0.039"),
    ("openai", "gpt-6-sol", CACHED, "0.0078"),
    ("openai", "gpt-6.1-sol", CACHED, "0.0074"),
    ("openai", "gpt-6-luna", CACHED, "0.00039"),
    ("openai", "gpt-5.6-sol", CACHED, "0.0156"),
    ("openai", "gpt-5.6-terra", CACHED, "0.0088"),
    ("openai", "gpt-5.6-luna", CACHED, "0.00088"),
    ("openai", "gpt-5.5", CACHED, "0.022"),
    ("openai", "gpt-5.4", CACHED, "0.011"),
    ("openai", "gpt-5.4-mini", CACHED, "0.0033"),
    ("openai", "gpt-5.4-nano", CACHED, "0.000905"),
    ("openai", "gpt-5.2", CACHED, "0.00945"),
    ("openai", "gpt-5.1", CACHED, "0.00675"),
    ("openai", "gpt-5", CACHED, "0.00675"),
    ("openai", "gpt-5-mini", CACHED, "0.00135"),
    ("openai", "gpt-5-nano", CACHED, "0.00027"),
    ("openai", "gpt-4.1", CACHED, "0.008"),
    ("openai", "gpt-4.1-mini", CACHED, "0.0016"),
    ("openai", "gpt-4o", CACHED, "0.0125"),
    ("openai", "gpt-4o-mini", CACHED, "0.00075"),
    ("openai", "o3", CACHED, "0.008"),
    ("openai", "o4-mini", CACHED, "0.0044"),
    ("gemini", "gemini-2.5-pro", CACHED, "0.00675"),
    ("gemini", "gemini-2.5-flash", CACHED, "0.00167"),
    ("gemini", "gemini-2.5-flash-lite", CACHED, "0.00034"),
    ("gemini", "gemini-3.1-pro-preview", CACHED, "0.0088"),
    ("xai", "grok-4.3", CACHED, "0.0033"),
    ("moonshot", "kimi-k2.6", CACHED, "0.00359"),
    ("moonshot", "kimi-k2.5", CACHED, "0.0025"),
    ("moonshot", "kimi-k2.7-code", CACHED, "0.00371"),
    ("groq", "openai/gpt-oss-120b", CACHED, "0.00075"),
    ("zai", "glm-4.6", CACHED, "0.00214"),
    ("deepseek", "deepseek-v4-pro", CACHED, "0.003476"),
    ("deepseek", "deepseek-flash", CACHED, "0.000924"),
    # Thinking is charged as output.
    ("openai", "gpt-5-mini", THOUGHT, "0.00125"),
    ("anthropic", "claude-sonnet-4-6", THOUGHT, "0.0105"),
    ("gemini", "gemini-3.5-flash", THOUGHT, "0.006"),
    ("gemini", "gemini-3.5-flash-lite", THOUGHT, "0.00155"),
    ("gemini", "gemini-3.8-flash", THOUGHT, "0.002625"),
    ("mistral", "mistral-medium-3-5", THOUGHT, "0.00525"),
    ("mistral", "mistral-large-2512", THOUGHT, "0.00125"),
    ("mistral", "codestral-latest", THOUGHT, "0.00075"),
    ("gemini", "gemini-2.5-flash", THOUGHT, "0.00155"),
    ("gemini", "gemini-2.5-flash", served("flex", THOUGHT), "0.000775"),
    # GPT-6 and Claude Haiku 5.5 charge for writing to the cache.
    ("openai", "gpt-6-sol", Usage(cache_write_5m_tokens=2_000, output_tokens=500), "0.01"),
    ("openai", "gpt-6-luna", Usage(cache_write_5m_tokens=2_000, output_tokens=500), "0.0005"),
    # Priority, flex and batch.
    ("openai", "gpt-5", served("priority"), "0.0135"),
    ("openai", "gpt-5-mini", served("priority"), "0.00243"),
    ("openai", "gpt-5.2", served("priority"), "0.0189"),
    ("openai", "gpt-5.4", served("priority"), "0.022"),
    ("openai", "gpt-5.4-mini", served("priority"), "0.0066"),
    ("openai", "gpt-5.5", served("priority"), "0.055"),
    ("openai", "gpt-4.1", served("priority"), "0.014"),
    ("openai", "gpt-5.4", served("fast"), "0.022"),
    ("openai", "gpt-5.5", served("flex"), "0.011"),
    ("openai", "gpt-5", served("flex"), "0.003375"),
    ("openai", "gpt-5-mini", served("batch"), "0.000675"),
    ("openai", "gpt-5-mini", served("default"), "0.00135"),
    ("anthropic", "claude-opus-5", served("batch"), "0.00975"),
    (
        "anthropic",
        "claude-sonnet-4-6",
        served("batch", Usage(input_tokens=1_000, cache_write_5m_tokens=2_000)),
        "0.00525",
    ),
    ("anthropic", "claude-sonnet-4-6", served("standard"), "0.0117"),
    ("anthropic", "claude-opus-5", served("fast"), "0.039"),
    ("anthropic", "claude-opus-5-5", served("fast"), "0.0296"),
    ("gemini", "gemini-2.5-pro", served("priority"), "0.01215"),
    ("gemini", "gemini-2.5-flash", served("priority"), "0.003006"),
    # Long prompts: all tokens at the dearer rates, from the first token above the threshold.
    ("gemini", "gemini-2.5-pro", prompt(200_000), "0.1475"),
    ("gemini", "gemini-2.5-pro", prompt(200_002), "0.29000275"),
    ("gemini", "gemini-3.1-pro-preview", prompt(200_000), "0.232"),
    ("gemini", "gemini-3.1-pro-preview", prompt(200_002), "0.4580044"),
    ("openai", "gpt-5.4", prompt(272_000), "0.389"),
    ("openai", "gpt-5.4", prompt(272_002), "0.7705055"),
    ("openai", "gpt-6-sol", prompt(272_000), "0.3092"),
    ("openai", "gpt-6-sol", prompt(272_002), "0.6134044"),
    ("anthropic", "claude-haiku-5-5", prompt(100_000), "0.006"),
    ("anthropic", "claude-haiku-5-5", prompt(100_002), "0.03000055"),
    ("anthropic", "claude-opus-4-8", prompt(900_000), "2.5"),
    # Sound, searches, embeddings.
    ("gemini", "gemini-2.5-flash", Usage(input_tokens=1_000, audio_input_tokens=600, output_tokens=100), "0.00097"),
    ("openai", "gpt-audio", Usage(input_tokens=900, audio_input_tokens=900, output_tokens=500), "0.0338"),
    ("anthropic", "claude-opus-5", Usage(input_tokens=1_000, output_tokens=500, web_searches=3), "0.0475"),
    ("openai", "gpt-5-mini", Usage(input_tokens=1_000, output_tokens=500, web_searches=2), "0.02125"),
    ("openai", "text-embedding-3-small", EMBEDDED, "0.00002"),
    ("openai", "text-embedding-3-large", EMBEDDED, "0.00013"),
    ("gemini", "gemini-embedding-2", EMBEDDED, "0.0002"),
]

# Worked out in the same way from the price list alone: no second source was found for one of the
# rates (cached input at Mistral and Gemini 3.5, tiers at a long context, xAI's threshold).
LISTED = [
    ("gemini", "gemini-3.5-flash", CACHED, "0.0066"),
    ("gemini", "gemini-3.5-flash-lite", CACHED, "0.00167"),
    ("gemini", "gemini-3.8-flash", CACHED, "0.002925"),
    ("mistral", "mistral-medium-3-5", CACHED, "0.00585"),
    ("mistral", "mistral-large-2512", CACHED, "0.00145"),
    ("mistral", "codestral-latest", CACHED, "0.00087"),
    ("gemini", "gemini-2.5-pro", served("batch"), "0.003625"),
    ("gemini", "gemini-2.5-flash", served("flex"), "0.000895"),
    ("gemini", "gemini-2.5-pro", prompt(200_002, "flex"), "0.1575015"),
    ("openai", "gpt-5.4", prompt(272_002, "flex"), "0.38525275"),
    ("openai", "gpt-6-sol", prompt(272_002, "priority"), "1.2268088"),
    ("xai", "grok-4.3", prompt(199_998), "0.14749855"),
    ("xai", "grok-4.3", prompt(200_000), "0.295"),
]


def priced(prices: PriceList, provider: str, model: str) -> Price:
    """The listed price of a model that has one."""
    listed = prices.find(provider, model)
    assert listed is not None
    assert listed.price is not None
    return listed.price


@pytest.fixture(scope="module")
def prices() -> PriceList:
    """The list of the installed litellm."""
    return PriceList.read()


@pytest.mark.parametrize(("provider", "model", "usage", "dollars"), PUBLISHED)
def test_published_prices(prices: PriceList, provider: str, model: str, usage: Usage, dollars: str) -> None:
    """Each model and shape of usage costs what its provider publishes, to the nano-dollar."""
    assert cost(usage, priced(prices, provider, model), at=WEDNESDAY_SEVEN) == Decimal(dollars)


def test_the_table_covers_many_models() -> None:
    """At least thirty models of at least six providers are checked against published prices."""
    assert len({(provider, model) for provider, model, _, _ in PUBLISHED}) >= 30
    assert len({provider for provider, _, _, _ in PUBLISHED}) >= 6


@pytest.mark.parametrize(("provider", "model", "usage", "dollars"), LISTED)
def test_listed_prices(prices: PriceList, provider: str, model: str, usage: Usage, dollars: str) -> None:
    """Shapes of usage that only the list prices cost what the list says, to the nano-dollar."""
    assert cost(usage, priced(prices, provider, model), at=WEDNESDAY_SEVEN) == Decimal(dollars)


@pytest.mark.parametrize(
    ("at", "dollars"),
    [(WEDNESDAY_SEVEN, "0.003476"), (WEDNESDAY_NOON, "0.001738"), (SUNDAY_SEVEN, "0.001738")],
)
def test_off_peak_hours(prices: PriceList, at: float, dollars: str) -> None:
    """DeepSeek halves its prices outside of its peak hours and at weekends."""
    assert cost(CACHED, priced(prices, "deepseek", "deepseek-v4-pro"), at=at) == Decimal(dollars)


def test_tiered_tables(prices: PriceList) -> None:
    """Alibaba's tables by prompt length charge all tokens at the row of the whole prompt."""
    price = priced(prices, "dashscope", "qwen3.5-plus")
    assert cost(Usage(input_tokens=256_000, output_tokens=1_000), price, at=0) == Decimal("0.1048")
    assert cost(Usage(input_tokens=256_001, output_tokens=1_000), price, at=0) == Decimal("0.1310005")


def test_dearer_thinking(prices: PriceList) -> None:
    """Thinking tokens have a price of their own where the list has one."""
    assert cost(THOUGHT, priced(prices, "dashscope", "qwen-turbo"), at=0) == Decimal("0.00027")
