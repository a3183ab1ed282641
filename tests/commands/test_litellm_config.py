"""Tests of gateway/commands/litellm_*.py: the shapes of LiteLLM's documentation, converted."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from gateway.adapters.policy_files import PolicyFiles
from gateway.commands.litellm_config import Conversion, convert
from gateway.errors import ConfigurationError
from gateway.policy.reading import read_policy
from gateway.settings import Settings, load
from gateway.wiring import catalog
from tests.commands.conftest import Ponder

OVERVIEW = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://my-endpoint-europe.openai.azure.com/
      api_key: "os.environ/AZURE_API_KEY_EU"
      rpm: 6
  - model_name: bedrock-claude-v1
    litellm_params:
      model: bedrock/anthropic.claude-instant-v1
      aws_region_name: us-east-1
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-ca
      api_base: https://my-endpoint-canada.openai.azure.com/
      api_key: "os.environ/AZURE_API_KEY_CA"
  - model_name: vllm-models
    litellm_params:
      model: openai/facebook/opt-125m
      api_base: http://0.0.0.0:4000/v1
      api_key: none
    model_info:
      version: 2
  - model_name: "*"
    litellm_params:
      model: "*"
litellm_settings:
  drop_params: True
  success_callback: ["langfuse"]
general_settings:
  master_key: sk-1234
  alerting: ["slack"]
"""
RELIABLE = """
model_list:
  - {model_name: zephyr-beta, litellm_params: {model: huggingface/HuggingFaceH4/zephyr-7b-beta, api_base: "http://0.0.0.0:8001"}}
  - {model_name: zephyr-beta, litellm_params: {model: huggingface/HuggingFaceH4/zephyr-7b-beta, api_base: "http://0.0.0.0:8002"}}
  - {model_name: gpt-4o, litellm_params: {model: gpt-4o, api_key: sk-literal-secret, rpm: 200}}
litellm_settings:
  num_retries: 3
  request_timeout: 10
  fallbacks: [{"zephyr-beta": ["gpt-4o"]}]
  context_window_fallbacks: [{"zephyr-beta": ["gpt-3.5-turbo-16k"]}]
  allowed_fails: 3
  max_budget: 100
  budget_duration: 30d
router_settings:
  routing_strategy: simple-shuffle
  model_group_alias: {"gpt-4": "gpt-4o"}
  redis_host: redis.internal
  redis_port: 1992
"""


def _converted(text: str, **environment: str) -> Conversion:
    return convert(yaml.safe_load(text), environment)


def _settings(made: Conversion) -> Settings:
    return Settings.model_validate({"upstreams": made.upstreams, "models": made.models, **made.others})


def _why(made: Conversion) -> dict[str, str]:
    return {each.where: each.why for each in made.remarks}


def test_the_overview_of_its_documentation_is_converted() -> None:
    """Azure, Bedrock and a compatible server become upstreams; the rest is told, with reasons."""
    made = _converted(OVERVIEW)
    settings = _settings(made)
    assert set(settings.models) == {"gpt-4o", "gpt-4o-2", "bedrock-claude-v1", "vllm-models"}
    europe = settings.upstreams[settings.models["gpt-4o"].upstream]
    assert (europe.kind, europe.provider, europe.api_key_env) == ("openai", "azure", "AZURE_API_KEY_EU")
    assert europe.base_url == "https://my-endpoint-europe.openai.azure.com/openai/v1"
    assert settings.models["gpt-4o"].name == "gpt-4o-eu"
    bedrock = settings.upstreams[settings.models["bedrock-claude-v1"].upstream]
    assert (bedrock.kind, bedrock.provider, bedrock.api_key_env) == ("litellm", "bedrock", None)
    local = settings.upstreams[settings.models["vllm-models"].upstream]
    assert (local.kind, local.base_url, local.api_key_env) == ("openai", "http://0.0.0.0:4000/v1", None)
    assert settings.models["vllm-models"].name == "facebook/opt-125m"
    assert set(_why(made)) >= {
        "model_list[0].litellm_params.rpm", "model_list[1].litellm_params.aws_region_name", "model_list[4]",
        "models.vllm-models", "litellm_settings.drop_params", "litellm_settings.success_callback",
        "general_settings.master_key", "general_settings.alerting",
    }  # fmt: skip
    assert made.variables.keys() == {"AZURE_API_KEY_EU", "AZURE_API_KEY_CA"}


def test_deployments_and_fallbacks_become_a_policy() -> None:
    """Several deployments of one name, and its fallbacks, are arms that are tried in their order."""
    made = _converted(RELIABLE)
    assert set(made.policies) == {"zephyr-beta"}
    text = yaml.safe_dump(made.policies["zephyr-beta"], sort_keys=False)
    policy = read_policy("zephyr-beta", text)
    assert list(policy.document.arms) == ["zephyr-beta", "zephyr-beta-2", "gpt-4o"]
    assert policy.document.defaults.arm == "zephyr-beta"
    assert policy.document.defaults.fallbacks == ("zephyr-beta-2", "gpt-4o")


def test_settings_that_have_a_place_are_taken_over() -> None:
    """Retries, the time limit, Redis, aliases and a budget are; a key in the file never is."""
    made = _converted(RELIABLE)
    settings = _settings(made)
    assert settings.limits.deadline_s == 10
    assert settings.redis.url == "redis://redis.internal:1992/0"
    assert {upstream.retries for upstream in settings.upstreams.values()} == {3}
    assert settings.models["gpt-4"].name == "gpt-4o"
    assert settings.upstreams[settings.models["gpt-4o"].upstream].api_key_env == "OPENAI_API_KEY"
    assert "sk-literal-secret" not in repr(made)
    assert made.commands == ["ponder teams create everyone", "ponder budgets set --team everyone month 100"]
    assert "sk-literal-secret" not in repr(_why(made))
    assert _why(made)["router_settings.routing_strategy"].startswith("the first deployment is called")


PARAMS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("openai/gpt-5.4", {}, {"kind": "openai", "base_url": None, "provider": "openai", "api_key_env": "OPENAI_API_KEY"}),
    ("gpt-4o", {"api_key": "os.environ/MY_KEY"}, {"kind": "openai", "provider": "openai", "api_key_env": "MY_KEY"}),
    ("text-embedding-ada-002", {}, {"kind": "openai", "provider": "openai"}),
    ("anthropic/claude-sonnet-5-5", {}, {"kind": "anthropic", "api_key_env": "ANTHROPIC_API_KEY"}),
    ("claude-haiku-5-5", {"api_base": "https://relay.example/v1"}, {"kind": "anthropic", "base_url": "https://relay.example"}),
    ("hosted_vllm/Qwen/Qwen3-8B", {"api_base": "http://gpu-1:8000"}, {"kind": "vllm", "base_url": "http://gpu-1:8000/v1"}),
    ("ollama/mistral", {}, {"kind": "openai", "base_url": "http://127.0.0.1:11434/v1", "api_key_env": None}),
    ("gemini/gemini-pro-latest", {}, {"kind": "litellm", "provider": "gemini", "api_key_env": "GEMINI_API_KEY"}),
    ("together_ai/x/y", {}, {"kind": "litellm", "provider": "together_ai", "api_key_env": "TOGETHER_API_KEY"}),
    ("vertex_ai/gemini-pro", {}, {"kind": "litellm", "provider": "vertex_ai", "api_key_env": None}),
    ("fireworks_ai/x", {}, {"kind": "litellm", "provider": "fireworks_ai", "api_key_env": "FIREWORKS_AI_API_KEY"}),
    ("openrouter/x/y", {}, {"base_url": "https://openrouter.ai/api/v1", "api_key_env": "OPENROUTER_API_KEY"}),
    ("azure/d", {"api_base": "https://r.openai.azure.com"}, {"provider": "azure", "api_key_env": "AZURE_API_KEY"}),
    ("openai/m", {"api_base": "https://x.example/v1", "timeout": 300, "stream_timeout": 60, "max_parallel_requests": 9},
     {"first_byte_s": 300, "idle_s": 60, "connections": 9}),
    ("gpt-4o", {"organization": "org-1", "extra_headers": {"AI-Group": "a", "X-Api-Key": "s3cret"}},
     {"headers": {"AI-Group": "a", "OpenAI-Organization": "org-1"}}),
    ("gpt-4o", {"max_retries": 12}, {"retries": 5}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "params", "expected"), PARAMS, ids=lambda part: part if isinstance(part, str) else ""
)
def test_each_provider_has_its_upstream(model: str, params: dict[str, Any], expected: dict[str, Any]) -> None:
    """A provider's prefix, or the family of a bare name, decides the kind, the address and the key's variable."""
    made = convert({"model_list": [{"model_name": "m", "litellm_params": {"model": model, **params}}]}, {})
    settings = _settings(made)
    upstream = settings.upstreams[settings.models["m"].upstream]
    assert {name: getattr(upstream, name) for name in expected} == expected
    assert "s3cret" not in repr(made)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"model": "a-model-nobody-knows"}, "the provider of a-model-nobody-knows is not known"),
        ({"model": "azure/d"}, "azure needs its api_base"),
        ({"model": "azure/d", "api_base": "os.environ/NOT_SET"}, "its address is in NOT_SET, which is not set here"),
        ({"model": "openai/m", "api_base": "<model-api-base>"}, "its api_base is no address"),
        ({"model": "hosted_vllm/x"}, "hosted_vllm needs its api_base"),
        ({"model": "auto_router/x"}, "auto_router has no kind of upstream here"),
    ],
)
def test_what_cannot_be_called_is_told(entry: dict[str, Any], reason: str) -> None:
    """A deployment without a provider, an address or a kind of upstream is left out, with its reason."""
    made = convert({"model_list": [{"model_name": "m", "litellm_params": entry}]}, {})
    assert not made.models
    assert _why(made)["model_list[0]"].startswith(reason)


def test_wildcards_are_the_keys_of_the_environment() -> None:
    """``openai/*`` is what a key in the environment does here; of other providers models are listed."""
    names = ("openai/*", "fireworks_ai/*")
    made = convert({"model_list": [{"model_name": "*", "litellm_params": {"model": name}} for name in names]}, {})
    first, second = made.remarks
    assert first.why == "with OPENAI_API_KEY in the environment the models of openai are there by themselves"
    assert second.why == "models of fireworks_ai are listed one by one"
    assert made.variables == {"OPENAI_API_KEY": "openai"}


def test_addresses_and_credentials_are_looked_up() -> None:
    """An address in the environment is read there, and a named credential has its key and address."""
    text = """
    model_list:
      - {model_name: a, litellm_params: {model: azure/d, litellm_credential_name: eu}}
    credential_list:
      - credential_name: eu
        credential_values: {api_key: os.environ/AZURE_EU, api_base: os.environ/AZURE_BASE, api_version: "2023-05-15"}
        credential_info: {description: EU}
    """
    made = _converted(text, AZURE_BASE="https://eu.openai.azure.com")
    (upstream,) = made.upstreams.values()
    assert (upstream["base_url"], upstream["api_key_env"]) == ("https://eu.openai.azure.com/openai/v1", "AZURE_EU")


def test_prices_are_per_million_tokens() -> None:
    """Prices per token, in the parameters or in the model's info, are exact per million; half a price is none."""
    info = {"input_cost_per_token": 0.000421, "output_cost_per_token": 5.2e-07, "cache_read_input_token_cost": 1e-08}
    limits = {"max_input_tokens": 128000, "max_output_tokens": 4096}
    entries = [
        {"model_name": "a", "litellm_params": {"model": "mistral/m"}, "model_info": info | limits},
        {"model_name": "b", "litellm_params": {"model": "gpt-4o", "input_cost_per_token": 1e-06}},
    ]  # fmt: skip
    made = convert({"model_list": entries}, {})
    model = _settings(made).models["a"]
    assert model.model_dump(include={"context_tokens", "max_output_tokens"}) == {
        "context_tokens": 128000,
        "max_output_tokens": 4096,
    }
    assert made.models["a"]["price"] == {
        "input_per_mtok": 421.0,
        "output_per_mtok": 0.52,
        "cached_input_per_mtok": 0.01,
    }
    assert "price" not in made.models["b"]


@pytest.mark.parametrize("duration", ["10d", "45s"])
def test_a_budget_of_another_period_is_told(duration: str) -> None:
    """There are budgets by day, week, month and of all time; no other is rounded to one of these."""
    made = convert({"model_list": [], "litellm_settings": {"max_budget": 5, "budget_duration": duration}}, {})
    assert made.commands == []
    assert f"a period of {duration} has no counterpart" in _why(made)["litellm_settings.budget_duration"]


def test_secrets_of_its_environment_are_not_copied() -> None:
    """Variables that the file sets are named, and a Redis password leads to the variable that may hold it."""
    document = {
        "model_list": [],
        "environment_variables": {"LANGFUSE_KEY": "lf-secret"},
        "router_settings": {"redis_host": "r", "redis_password": "hush"},
        "guardrails": [{"guardrail_name": "x"}],
    }
    made = convert(document, {})
    assert "lf-secret" not in repr(made)
    assert "hush" not in repr(made)
    assert "redis" not in made.others
    assert _why(made).keys() == {"environment_variables.LANGFUSE_KEY", "router_settings.redis_*", "guardrails"}


@pytest.mark.parametrize("document", [None, [], {}, {"model_list": {}}, "text"])
def test_another_file_is_refused(document: object) -> None:
    """What has no model_list is no configuration of its proxy."""
    with pytest.raises(ConfigurationError, match=r"config\.yaml of LiteLLM's proxy"):
        convert(document, {})


def _examples() -> list[Path]:
    found = find_spec("litellm")
    assert found is not None
    assert found.origin is not None
    return sorted((Path(found.origin).parent / "proxy").rglob("*config*/*.yaml"))


@pytest.mark.parametrize("path", _examples(), ids=lambda path: path.stem)
def test_its_own_examples_make_a_configuration_that_loads(path: Path) -> None:
    """Every example that LiteLLM ships becomes settings and policies that are accepted, or is refused as none."""
    document = yaml.safe_load(path.read_text("utf-8"))
    if not isinstance(document, dict) or not isinstance(document.get("model_list"), list):
        with pytest.raises(ConfigurationError):
            convert(document, {})
        return
    made = convert(document, {})
    settings = _settings(made)
    catalog(settings, dict.fromkeys(made.variables, "x" * 32), embedded_url=None)
    for name, policy in made.policies.items():
        assert read_policy(name, yaml.safe_dump(policy))


def _init(run: Ponder, config: Path, text: str, *more: str) -> Result:
    source = config.parent / "config.yaml"
    source.write_text(text)
    return run("init", "--from-litellm", str(source), *more)


def test_the_command_writes_files_that_load(run: Ponder, config: Path) -> None:
    """The files are commented, load together, and the output has what to set, to run and what did not map."""
    done = _init(run, config, RELIABLE)
    assert done.exit_code == 0, done.output
    settings = load(config)
    assert set(settings.models) == {"zephyr-beta", "zephyr-beta-2", "gpt-4o", "gpt-4"}
    assert set(PolicyFiles(config).read(settings)) >= {"zephyr-beta", "default"}
    assert "#cors:" in config.read_text()
    for words in (
        "Ask for auto:zephyr-beta to have zephyr-beta, then zephyr-beta-2, then gpt-4o",
        "OPENAI_API_KEY", "ponder budgets set --team everyone month 100", "router_settings.routing_strategy",
    ):  # fmt: skip
        assert words in done.output
    assert "sk-literal-secret" not in done.output + config.read_text()


def test_nothing_is_overwritten_unasked(run: Ponder, config: Path) -> None:
    """A policy that is there already keeps everything from being written."""
    there = config.parent / "policies" / "zephyr-beta" / "policy.yaml"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    refused = _init(run, config, RELIABLE)
    assert refused.exit_code == 2
    assert not config.exists()
    assert there.read_text() == "mine"
    assert _init(run, config, RELIABLE, "--force").exit_code == 0
    assert there.read_text() != "mine"
