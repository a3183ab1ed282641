"""How the program is put together from settings and the environment."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.adapters.price_list import PriceList
from gateway.settings import Settings
from gateway.wiring import HOSTED, catalog, with_hosted


@pytest.fixture(scope="module")
def prices() -> PriceList:
    """The installed price list."""
    return PriceList.read()


@pytest.mark.parametrize("variable", HOSTED)
def test_each_hosted_provider_has_models_with_a_price(variable: str, prices: PriceList) -> None:
    """A key in the environment adds models that can be held and settled; a provider without any has no place here."""
    names = prices.models(HOSTED[variable].name, "chat", retired_by=datetime.now(UTC).date())
    assert names
    assert not [name for name in names if name.startswith("together-ai-")]


@pytest.mark.parametrize("variable", HOSTED)
def test_a_key_in_the_environment_adds_its_provider_and_models(variable: str) -> None:
    """One variable is all it takes, and the key stays out of the settings."""
    provider = HOSTED[variable]
    settings = with_hosted(Settings(), {variable: "sk-1"}, None)
    assert [(name, upstream.kind) for name, upstream in settings.upstreams.items()] == [(provider.name, provider.kind)]
    offered, _ = catalog(Settings(), {variable: "sk-1"}, embedded_url=None)
    assert {model.upstream for model in offered.models.values()} == {provider.name}
    assert all(model.price is not None for model in offered.models.values())


def test_two_names_of_one_key_add_one_provider() -> None:
    """Together's key goes by two names; set to both, it adds the provider once."""
    both = {"TOGETHER_API_KEY": "sk-1", "TOGETHERAI_API_KEY": "sk-2"}
    assert list(with_hosted(Settings(), both, None).upstreams) == ["together_ai"]


def test_a_key_of_our_own_adds_no_provider() -> None:
    """Where OPENAI_API_KEY holds the gateway's key, for its clients, no upstream is made of it."""
    environment = {"OPENAI_API_KEY": "sk-ponder-1", "ANTHROPIC_API_KEY": "sk-ponder-1"}
    assert not with_hosted(Settings(), environment, None).upstreams
