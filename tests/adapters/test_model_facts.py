"""What a model takes, put together from the operator, its provider, the price list and the table."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.adapters.model_facts import capability_of, read_reported
from gateway.adapters.price_list import ListedModel, PriceList
from gateway.domain.capabilities import Budget, Control, Shown, Taken
from gateway.domain.capability_table import find
from gateway.domain.chat import ThinkingMode
from gateway.thinking_settings import ThinkingSettings
from tests.upstreams.anthropic_rules import CATALOGUE
from tests.upstreams.anthropic_server import KEY, AnthropicServer


def listed(provider: str, model: str) -> ListedModel | None:
    """The price list's entry."""
    return PriceList.read().find(provider, model)


def told(**settings: Any) -> ThinkingSettings:
    """What an operator writes below ``models.NAME.thinking``."""
    return ThinkingSettings.model_validate(settings)


def entry(*modes: str, levels: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """One model as Anthropic lists it."""
    types = {mode: {"supported": mode in modes} for mode in ("enabled", "adaptive", "disabled", "between_tools")}
    effort = {level: {"supported": level in levels} for level in ("low", "medium", "high", "xhigh", "max")}
    capabilities = {
        "thinking": {"supported": True, "types": types},
        "effort": {"supported": bool(levels), **effort},
        "image_input": {"supported": True},
    }
    return {"id": "claude-new", "capabilities": capabilities, "max_tokens": 99_000, "max_input_tokens": 500_000, **more}


def test_the_price_list_says_whether_tools_and_images_are_taken() -> None:
    """Its flags for vision and function calling are taken over."""
    capability = capability_of("openai", "gpt-4.1", listed=listed("openai", "gpt-4.1"), reported=None, told=None)
    assert (capability.takes_tools, capability.takes_images) == (True, True)
    unknown = capability_of("openai", "gpt-4.1", listed=None, reported=None, told=None)
    assert (unknown.takes_tools, unknown.takes_images) == (None, None)


def test_a_provider_knows_its_models_better_than_the_table() -> None:
    """Modes, levels and the range of budgets come from the provider's list, for models that nobody has heard of too."""
    reported = read_reported(entry("enabled", "adaptive", levels=("low", "max")))
    assert (reported.max_input_tokens, reported.max_output_tokens) == (500_000, 99_000)
    capability = capability_of("anthropic", "claude-new", listed=None, reported=reported, told=None)
    assert capability.modes == {ThinkingMode.ENABLED, ThinkingMode.ADAPTIVE}
    assert capability.levels == ("low", "max")
    assert capability.budget == Budget(1024, 97_976)
    assert capability.takes_images
    off = read_reported(entry("adaptive", "between_tools", levels=("low",)))
    assert capability_of("anthropic", "claude-new", listed=None, reported=off, told=None).levels == ("none", "low")


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "x"},
        {"id": "x", "capabilities": None},
        {"id": "x", "capabilities": {"thinking": {"types": []}, "effort": 3}, "max_tokens": "many"},
        {"id": "x", "max_tokens": -5, "max_input_tokens": True},
    ],
)
def test_a_list_that_says_nothing_changes_nothing(odd: dict[str, Any]) -> None:
    """An entry without capabilities, or with odd ones, leaves the table's facts as they are."""
    reported = read_reported(odd)
    capability = capability_of("anthropic", "claude-opus-4-8", listed=None, reported=reported, told=None)
    assert capability == find("anthropic", "claude-opus-4-8")


@pytest.mark.parametrize("model", CATALOGUE)
def test_the_table_and_anthropics_own_list_agree(model: str) -> None:
    """What the stand-in lists for a model, as the official type has it, is what the table says of its thinking."""
    facts = CATALOGUE[model]
    modes = {mode.value for mode in find("anthropic", model).modes}
    assert modes == facts.thinking
    levels = set(find("anthropic", model).levels) - {"none"}
    assert levels == set(facts.efforts)


def test_the_operator_has_the_last_word() -> None:
    """Every fact can be set, whatever table and provider say."""
    reported = read_reported(entry("adaptive", levels=("low",)))
    capability = capability_of(
        "anthropic",
        "claude-new",
        listed=None,
        reported=reported,
        told=told(
            levels=["high", "none"], default="high", modes=["enabled", "disabled"], least_tokens=2000, most_tokens=9000,
            forced_tools="never", sampling="always", prefill="always", tools=False, images=False,
        ),
    )  # fmt: skip
    assert capability.levels == ("none", "high")
    assert capability.modes == {ThinkingMode.ENABLED, ThinkingMode.DISABLED}
    assert (capability.budget, capability.default) == (Budget(2000, 9000), "high")
    assert (capability.forced_tools, capability.sampling, capability.prefill) == (
        Taken.NEVER,
        Taken.ALWAYS,
        Taken.ALWAYS,
    )
    assert (capability.takes_tools, capability.takes_images) == (False, False)


def test_a_model_can_be_like_another() -> None:
    """A name of the operator's own gets the facts of a model that the table knows."""
    capability = capability_of(
        "internal", "assistant", listed=None, reported=None, told=told(like="anthropic/claude-sonnet-5")
    )
    assert capability == find("anthropic", "claude-sonnet-5")


def test_another_control_begins_anew() -> None:
    """The facts of the table's control do not outlive it, and a server without a parser is described in two words."""
    capability = capability_of(
        "openai", "gpt-5", listed=None, reported=None, told=told(control="vllm", shown="tagged", takes_tokens=False)
    )
    assert (capability.control, capability.shown, capability.budget) == (Control.VLLM, Shown.TAGGED, None)
    assert (capability.levels, capability.sampling) == (("none",), Taken.ALWAYS)
    numbered = capability_of("x", "m", listed=None, reported=None, told=told(control="vllm", takes_tokens=True))
    assert numbered.budget == Budget(1, None)


def test_the_stand_in_lists_models_as_the_official_package_reads_them() -> None:
    """The shape that we read is the shape of ``anthropic.types.ModelInfo``."""
    import anthropic

    with AnthropicServer() as server:
        client = anthropic.Anthropic(base_url=server.address, api_key=KEY)
        models = {model.id: model for model in client.models.list()}
    reported = read_reported(models["claude-sonnet-5-5"].to_dict())
    assert reported.modes == {ThinkingMode.ADAPTIVE, ThinkingMode.BETWEEN_TOOLS}
    assert reported.levels == ("none", "low", "medium", "high", "xhigh", "max")
