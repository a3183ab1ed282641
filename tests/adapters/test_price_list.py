"""The price list: reading it, finding models in it, and what it leaves out."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.price_list import PriceList, installed_file
from gateway.domain.pricing import Price, cost
from gateway.domain.usage import Usage
from gateway.errors import ConfigurationError

CACHED = Usage(input_tokens=1_000, cached_tokens=4_000, output_tokens=500)
WRITTEN = Usage(input_tokens=1_000, cache_write_5m_tokens=2_000, cache_write_1h_tokens=3_000, output_tokens=500)


@pytest.fixture(scope="module")
def prices() -> PriceList:
    """The list of the installed litellm."""
    return PriceList.read()


def listing(tmp_path: Path, entries: Any) -> PriceList:
    """A price list made of these entries."""
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(entries))
    return PriceList.read(file)


def priced(prices: PriceList, provider: str, model: str) -> Price:
    """The listed price of a model that has one."""
    listed = prices.find(provider, model)
    assert listed is not None
    assert listed.price is not None
    return listed.price


def test_off_peak_windows_past_midnight(tmp_path: Path) -> None:
    """A window that begins late and ends early covers both ends of the day."""
    prices = listing(
        tmp_path,
        {
            "night/owl": {
                "litellm_provider": "night",
                "input_cost_per_token": 2e-06,
                "output_cost_per_token": 2e-06,
                "off_peak_pricing": {
                    "input_cost_per_token": 1e-06,
                    "output_cost_per_token": 1e-06,
                    "hours_utc": "22:30-02:00",
                },
            }
        },
    )
    off_peak = priced(prices, "night", "owl").off_peak
    assert off_peak is not None
    day = datetime(2026, 11, 18, tzinfo=UTC).timestamp()
    assert [off_peak.covers(day + 3600 * hour) for hour in (0, 1.99, 2, 12, 22.49, 22.5, 23.9)] == [
        True, True, False, False, False, True, True,
    ]  # fmt: skip


def test_quiet_hours_by_a_foreign_calendar(tmp_path: Path) -> None:
    """Off-peak hours on weekdays of another time zone are not guessed at: the peak price holds."""
    entry = {
        "litellm_provider": "x",
        "input_cost_per_token": 2e-06,
        "output_cost_per_token": 2e-06,
        "off_peak_pricing": {
            "input_cost_per_token": 1e-06,
            "weekday_timezone": "Asia/Shanghai",
            "windows": [{"hours_utc": "00:00-00:00", "weekdays": [1, 2, 3, 4, 5, 6, 7]}],
        },
    }
    assert priced(listing(tmp_path, {"model": entry}), "x", "model").off_peak is None


def test_rates_are_exact(prices: PriceList) -> None:
    """Rates are the decimals that the file's text says, not the nearest binary fractions."""
    assert priced(prices, "openai", "gpt-5-mini").standard.rates.cached == Decimal("0.000000025")


def test_searches_cost_the_dearest_context_size(prices: PriceList) -> None:
    """Where a search costs more with more context, which usage does not tell, the dearest fee holds."""
    assert priced(prices, "perplexity", "sonar").web_search_usd == Decimal("0.012")


def test_reading_does_not_import_litellm() -> None:
    """The price list is read without importing litellm, which takes seconds and much memory."""
    program = (
        "import sys\n"
        "from gateway.adapters.price_list import PriceList\n"
        "PriceList.read().find('openai', 'gpt-5-mini')\n"
        "print('litellm' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_entry_can_be_read(prices: PriceList) -> None:
    """No entry of the installed file, whatever its shape, breaks the reader; most chat models have a price."""
    entries = json.loads(installed_file().read_bytes())
    found = [prices.find(str(entry.get("litellm_provider")), name) for name, entry in entries.items()]
    chat = [model for model in found if model is not None and model.mode == "chat"]
    assert len(chat) > 2_500
    assert sum(model.price is not None for model in chat) > 0.8 * len(chat)


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("openai", "gpt-5-mini", "gpt-5-mini"),
        ("openai", "gpt-5-mini-2025-08-07", "gpt-5-mini-2025-08-07"),
        ("openai", "ft:gpt-4.1-mini-2025-04-14:acme::AbC123", "ft:gpt-4.1-mini-2025-04-14"),
        ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929"),
        ("gemini", "gemini-2.5-pro", "gemini/gemini-2.5-pro"),
        ("gemini", "gemini/gemini-2.5-pro", "gemini/gemini-2.5-pro"),
        ("vertex_ai", "gemini-2.5-flash", "gemini-2.5-flash"),
        ("azure", "gpt-5-mini", "azure/gpt-5-mini"),
        ("azure", "eu/gpt-4.1", "azure/eu/gpt-4.1"),
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("cohere", "command-a-03-2025", "command-a-03-2025"),
        ("deepseek", "deepseek-v4-pro", "deepseek/deepseek-v4-pro"),
    ],
)
def test_find(prices: PriceList, provider: str, model: str, name: str) -> None:
    """A model is found by the name that its provider uses, with or without the list's prefix."""
    found = prices.find(provider, model)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("groq", "gpt-5-mini"),
        ("openai", "claude-sonnet-4-6"),
        ("openai", "gpt-5-mini-2031-01-01"),
        ("openai", "gpt-5-min"),
        ("openai", "sample_spec"),
    ],
)
def test_nothing_is_guessed(prices: PriceList, provider: str, model: str) -> None:
    """Another provider's model, an unlisted date and a misspelling are not found, so never mispriced."""
    assert prices.find(provider, model) is None


def test_what_a_listed_model_can_do(prices: PriceList) -> None:
    """The list's limits, flags and retirement date come with a model; what it leaves out is None."""
    model = prices.find("openai", "gpt-5-mini-2025-08-07")
    assert model is not None
    assert (model.mode, model.max_input_tokens, model.max_output_tokens) == ("chat", 272_000, 128_000)
    assert {"vision", "function_calling", "reasoning", "response_schema"} <= model.abilities
    assert model.retires_on == date(2026, 12, 11)
    sonar = prices.find("perplexity", "sonar")
    assert sonar is not None
    assert (sonar.max_output_tokens, sonar.retires_on) == (None, None)


def test_models_of_a_provider(prices: PriceList) -> None:
    """A provider's priced models are listed under its own names, in order, by mode."""
    names = prices.models("gemini")
    assert names == tuple(sorted(names))
    assert {"gemini-2.5-pro", "gemini-3.5-flash"} <= set(names)
    assert "gemma-4-31b-it" not in names, "listed at zero, so it has no price"
    assert "text-embedding-3-small" in prices.models("openai", "embedding")
    assert not [name for name in prices.models("openai") if name.startswith("ft:")]
    assert prices.models("nobody") == ()


def test_retired_models_are_left_out(prices: PriceList) -> None:
    """A model is listed until the day on which its provider retires it."""
    dated = "gpt-5-mini-2025-08-07"
    assert dated in prices.models("openai", retired_by=date(2026, 12, 10))
    assert dated not in prices.models("openai", retired_by=date(2026, 12, 11))


@pytest.mark.parametrize(
    "entry",
    [
        {"input_cost_per_token": 0, "output_cost_per_token": 0},
        {"input_cost_per_token": 1e-06, "output_cost_per_token": 0.0},
        {"input_cost_per_token": 1e-06},
        {"output_cost_per_token": 1e-06},
        {"input_cost_per_character": 1e-06, "output_cost_per_character": 1e-06},
        {},
    ],
)
def test_a_listed_zero_is_no_price(tmp_path: Path, entry: dict[str, Any]) -> None:
    """A model whose input or output is missing or zero is listed, without a price."""
    found = listing(tmp_path, {"x/model": {"litellm_provider": "x", "mode": "chat", **entry}}).find("x", "model")
    assert found is not None
    assert found.price is None


def test_an_unlisted_model_is_not_found(prices: PriceList) -> None:
    """A model that the list does not know is nothing, not the nearest name."""
    assert prices.find("openai", "my-model") is None


def test_zero_classes_fall_back(tmp_path: Path) -> None:
    """A class listed at zero costs as much as the class that stands in for it, never nothing."""
    entry = {
        "litellm_provider": "x",
        "input_cost_per_token": 1e-06,
        "cache_read_input_token_cost": 0.0,
        "cache_creation_input_token_cost": 0,
        "output_cost_per_token": 2e-06,
    }
    price = priced(listing(tmp_path, {"model": entry}), "x", "model")
    assert cost(WRITTEN, price, at=0) == Decimal("0.007")
    assert cost(CACHED, price, at=0) == Decimal("0.006")


@pytest.mark.parametrize("text", ["", "[]", '{"model": 3}', "{"])
def test_a_broken_file(tmp_path: Path, text: str) -> None:
    """A file that is no price list is refused at start, by name."""
    file = tmp_path / "prices.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"prices\.json"):
        PriceList.read(file)


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that is not there is refused at start, by name."""
    with pytest.raises(ConfigurationError, match=r"absent\.json"):
        PriceList.read(tmp_path / "absent.json")
