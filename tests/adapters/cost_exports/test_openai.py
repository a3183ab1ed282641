"""OpenAI's exports: what their rows say."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.domain.reconciliation import Tokens
from gateway.errors import ConfigurationError
from tests.adapters.cost_exports.samples import (
    OPENAI_COSTS,
    OPENAI_COSTS_PAGE,
    OPENAI_USAGE,
    OPENAI_USAGE_PAGE,
    opened,
)


def test_the_costs_export_is_read_to_the_last_digit() -> None:
    """Line items name the model, or a service; days without costs have no row that counts."""
    model, search = opened(OPENAI_COSTS).charges
    assert (model.day, model.model) == ("2026-11-20", "gpt-5-2025-08-07")
    assert model.cost == Decimal("0.003835980000000000000000000001")
    assert (search.model, search.item, search.api_keys) == (None, "web search tool calls", ("proj_1",))


@pytest.mark.parametrize(
    ("item", "model"),
    [
        ("gpt-5, input", "gpt-5"),
        ("gpt-5-nano, input_tokens", "gpt-5-nano"),
        ("priority | gpt-5.6-sol, output, long context", "gpt-5.6-sol"),
        ("gpt-audio-mini-2025-12-15 audio, input", "gpt-audio-mini-2025-12-15"),
        ("gpt-image-2.5-sunburst text, cached input", "gpt-image-2.5-sunburst"),
        ("ft-gpt-4o-2024-08-06, input", "ft-gpt-4o-2024-08-06"),
        ("Vector storage", None),
    ],
)
def test_line_items_name_models(item: str, model: str | None) -> None:
    """The model is what stands before the comma, without tier and modality."""
    (first, *_) = opened(OPENAI_COSTS.replace("gpt-5-2025-08-07, cached input", item)).charges
    assert first.model == model


def test_the_usage_export_is_read() -> None:
    """Counts written as decimals are counts; cached tokens are taken out of the input that includes them."""
    (only,) = opened(OPENAI_USAGE).charges
    assert only.tokens == Tokens(input=53_440, cached=5_760, output=10_646)
    assert (only.day, only.model, only.api_keys) == ("2026-11-20", "gpt-5-2025-08-07", ("key_1", "proj_1"))


def test_pages_of_the_admin_api_are_read() -> None:
    """A page has the same fields, in nested form."""
    (cost,) = opened(OPENAI_COSTS_PAGE).charges
    assert (cost.cost, cost.model, cost.day) == (Decimal("0.06"), "gpt-5-2025-08-07", "2026-11-20")
    (usage,) = opened(OPENAI_USAGE_PAGE).charges
    assert usage.tokens == Tokens(input=150, cached=800, cache_write=50, output=500)


def test_other_currencies_are_refused() -> None:
    """Money that is not in dollars cannot be compared, and is not taken for dollars."""
    with pytest.raises(ConfigurationError, match="row 2: an amount is not in US dollars"):
        list(opened(OPENAI_COSTS.replace(",usd,", ",eur,")).charges)


def test_cached_tokens_beyond_the_input_are_refused() -> None:
    """Counts that contradict each other are not read as a negative number."""
    with pytest.raises(ConfigurationError, match="input_tokens is less"):
        list(opened(OPENAI_USAGE.replace("59200.0", "5000.0")).charges)
