"""How the program is put together from settings and the environment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.adapters.price_list import PriceList
from gateway.errors import ConfigurationError
from gateway.settings import Settings, places
from gateway.wiring import HOSTED, catalog, home_secrets, with_hosted


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


def test_decisions_know_which_upstreams_are_vllms() -> None:
    """Strategies that continue an answer by its tokens go there and nowhere else."""
    servers = {
        "gpu": {"kind": "vllm", "base_url": "http://127.0.0.1:8080/v1"},
        "cpu": {"kind": "openai", "base_url": "http://127.0.0.1:8081/v1"},
    }
    offered, _ = catalog(Settings.model_validate({"upstreams": servers}), {}, embedded_url=None)
    assert offered.defaults.vllm_upstreams == {"gpu"}


def test_secrets_come_from_home_or_environment(tmp_path: Path) -> None:
    """A first start makes three files of the owner's alone; the environment goes before two of them."""
    first = home_secrets(places({"PONDER_HOME": str(tmp_path)}), {})
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        ("default.key", "admin.key", "pepper.key"), 0o600
    )
    assert len({first.default, first.admin, first.pepper.text}) == 3
    assert home_secrets(places({"PONDER_HOME": str(tmp_path)}), {}) == first
    given = {"PONDER_ADMIN_KEY": "a" * 24, "PONDER_PEPPER": "p" * 24}
    secrets = home_secrets(places({"PONDER_HOME": str(tmp_path)}), given)
    assert (secrets.default, secrets.admin, secrets.pepper.text) == (first.default, "a" * 24, "p" * 24)
    assert not [secret for secret in (first.default, first.admin, first.pepper.text) if secret in repr(first)]


@pytest.mark.parametrize("name", ["PONDER_ADMIN_KEY", "PONDER_PEPPER"])
@pytest.mark.parametrize("secret", ["x", "changeme", "x" * 23])
def test_weak_secrets_are_refused(tmp_path: Path, name: str, secret: str) -> None:
    """A short secret in the environment ends the start, and is not repeated; an empty one is none."""
    with pytest.raises(ConfigurationError, match=f"{name} has {len(secret)} characters") as refused:
        home_secrets(places({"PONDER_HOME": str(tmp_path)}), {name: secret})
    assert "changeme" not in refused.value.message
    assert home_secrets(places({"PONDER_HOME": str(tmp_path)}), {name: ""}).pepper.text
