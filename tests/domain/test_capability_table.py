"""The facts of model families: which row a model finds, and what the rows must not say together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.price_list import PriceList
from gateway.domain.capabilities import Control, Taken
from gateway.domain.capability_table import TABLE, find
from gateway.domain.chat import ThinkingMode
from gateway.domain.effort import LEVELS, OFF

FAMILIES = [
    ("anthropic", "claude-haiku-4-5-20251001", "claude-4.5"),
    ("anthropic", "claude-opus-4-5", "claude-opus-4.5"),
    ("anthropic", "claude-opus-4-6-20260205", "claude-4.6"),
    ("anthropic", "claude-opus-4-7", "claude-4.7"),
    ("anthropic", "claude-opus-4-20250514", "claude-4"),
    ("anthropic", "claude-sonnet-5", "claude-5"),
    ("anthropic", "claude-sonnet-5-5", "claude-sonnet-5.5"),
    ("anthropic", "claude-opus-5-5", "claude-opus-5.5"),
    ("anthropic", "claude-haiku-5-5", "claude-haiku-5.5"),
    ("anthropic", "claude-fable-5", "claude-fable-5"),
    ("anthropic", "claude-mythos-preview", "claude-fable-5"),
    ("anthropic", "claude-fable-5-2", "claude-always-on"),
    ("anthropic", "claude-unheard-of-9", "claude-newer"),
    ("openai", "gpt-4.1-mini", "plain"),
    ("openai", "gpt-5-mini", "gpt-5"),
    ("openai", "gpt-5.1", "gpt-5.1"),
    ("openai", "gpt-5.1-codex-max", "gpt-5.2-codex"),
    ("openai", "gpt-5.1-codex", "gpt-5-codex"),
    ("openai", "gpt-5-chat-latest", "gpt-5-chat"),
    ("openai", "gpt-5.3-chat-latest", "gpt-5.1-chat"),
    ("openai", "gpt-5-pro", "gpt-5-pro"),
    ("openai", "gpt-5.5-pro-2026-04-23", "gpt-5.2-pro"),
    ("openai", "o3-pro", "o-series"),
    ("openai", "gpt-5.4-nano", "gpt-5.4"),
    ("openai", "gpt-5.6-luna", "gpt-5.5"),
    ("openai", "gpt-6-sol", "gpt-6"),
    ("openai", "gpt-6-astra", "gpt-6-always-on"),
    ("openai", "gpt-6.1-sol", "gpt-6-always-on"),
    ("openai", "o4-mini", "o-series"),
    ("gemini", "gemini-2.5-flash-lite", "gemini-2.5-flash-lite"),
    ("gemini", "gemini/gemini-2.5-flash", "gemini-2.5-flash"),
    ("gemini", "gemini-2.5-pro", "gemini-2.5-pro"),
    ("gemini", "gemini-3-flash-preview", "gemini-3-flash"),
    ("gemini", "gemini-3.5-flash-lite", "gemini-3-flash"),
    ("gemini", "gemini-3.8-flash", "gemini-3.7-flash"),
    ("gemini", "gemini-3.1-pro-preview", "gemini-3-pro"),
    ("deepseek", "deepseek-v4-pro", "deepseek-v4"),
    ("deepseek", "deepseek-reasoner", "deepseek-r1"),
    ("mistral", "mistral-medium-latest", "mistral"),
    ("mistral", "mistral-large-2512", "plain"),
    ("mistral", "magistral-small-latest", "magistral"),
    ("xai", "grok-4.3-latest", "grok-4.3"),
    ("xai", "grok-4.5", "grok-4.5"),
    ("xai", "grok-4.7", "grok-4.7"),
    ("xai", "grok-4.20-0309-non-reasoning", "grok-plain"),
    ("xai", "grok-4.20", "grok-4"),
    ("dashscope", "qwen3-8b", "qwen3-open"),
    ("dashscope", "qwen3-next-80b-a3b-thinking", "qwen-thinking"),
    ("dashscope", "qwen-plus-latest", "qwen-hybrid"),
    ("dashscope", "qwen3.7-max", "qwen3.5"),
    ("openrouter", "anthropic/claude-sonnet-5", "openrouter"),
    ("hosted_vllm", "Qwen/Qwen3-8B", "vllm"),
    ("vllm", "Qwen/QwQ-32B", "vllm-always-on"),
    ("somebody", "something", "plain"),
]


@pytest.mark.parametrize(("provider", "model", "family"), FAMILIES)
def test_a_model_finds_the_row_of_its_family(provider: str, model: str, family: str) -> None:
    """The most particular row that fits a model's name at its provider holds."""
    assert find(provider, model).family == family


def test_a_model_without_a_row_reasons_if_the_price_list_says_so() -> None:
    """At a provider that the table has not, the price list decides between levels and a prompt."""
    assert find("groq", "m", reasons=True).control is Control.EFFORT
    assert find("groq", "m").control is Control.PLAIN
    assert find("anthropic", "claude-haiku-4-5", reasons=True).family == "claude-4.5"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.capability.family)
def test_the_facts_of_a_row_agree_with_each_other(row: object) -> None:
    """Levels are known and in order, defaults are levels, budgets have a range, and modes are Anthropic's."""
    capability = row.capability  # type: ignore[attr-defined]
    assert list(capability.levels) == [level for level in LEVELS if level in capability.levels]
    assert capability.default is None or capability.default in {*capability.levels, OFF}
    assert capability.levels_only_in_responses <= set(capability.levels)
    if capability.budget is not None and capability.budget.most is not None:
        assert 0 <= capability.budget.least < capability.budget.most
    assert bool(capability.modes) == (capability.control is Control.ANTHROPIC)
    if capability.control is Control.ANTHROPIC:
        stops = {ThinkingMode.DISABLED, ThinkingMode.BETWEEN_TOOLS} & capability.modes
        assert bool(stops) == capability.can_stop_thinking
        assert (ThinkingMode.ENABLED in capability.modes) == (capability.budget is not None)
    if capability.control is Control.ALWAYS:
        assert not capability.levels


def test_every_row_can_be_found() -> None:
    """No row is hidden behind those before it: each is found by some model of the price list or of this file."""
    known = [(provider, model) for provider, model, _ in FAMILIES]
    prices = PriceList.read()
    known += [(provider, model) for row in TABLE for provider in row.providers for model in prices.models(provider)]
    known += [("openai", name) for name in ("o1-mini", "gpt-5-chat-latest", "gpt-5-pro", "gpt-5", "gpt-5.2", "gpt-4o")]
    known += [
        ("gemini", "gemma-3"),
        ("deepseek", "coder"),
        ("mistral", "m"),
        ("dashscope", "glm"),
        ("xai", "grok-3-mini"),
    ]
    known += [("xai", "grok-3"), ("dashscope", "qwen2.5"), ("openai", "gpt-5-codex")]
    found = {id(find(provider, model)) for provider, model in known}
    assert not [row.capability.family for row in TABLE if id(row.capability) not in found]


def test_tools_and_thinking_meet_in_the_responses_api() -> None:
    """A request with tools prefers the Responses API exactly where Chat Completions would cost it its thinking."""
    assert find("openai", "gpt-5.4").prefers_responses(has_tools=True, effort="high")
    assert not find("openai", "gpt-5.4").prefers_responses(has_tools=False, effort="high")
    assert not find("openai", "gpt-5.1").prefers_responses(has_tools=True, effort="high")
    assert find("openai", "gpt-6-sol").prefers_responses(has_tools=False, effort="max")
    assert find("openai", "gpt-6-astra").tools_in_chat is Taken.NEVER


def test_what_cannot_be_served_at_all_is_named() -> None:
    """Some requests no setting can save; the policy drops the arm for them."""
    astra = find("openai", "gpt-6-astra")
    said = "takes tools in the Responses API only"
    assert astra.obstacle(is_chat=True, has_tools=True, is_stream=False) == said
    assert astra.obstacle(is_chat=False, has_tools=True, is_stream=False) is None
    qwq = find("dashscope", "qwq-plus")
    said = "always thinks, and answers in streams only"
    assert qwq.obstacle(is_chat=True, has_tools=False, is_stream=False) == said
    assert qwq.obstacle(is_chat=True, has_tools=False, is_stream=True) is None
    toolless = replace(find("openai", "gpt-5"), takes_tools=False)
    assert toolless.obstacle(is_chat=True, has_tools=True, is_stream=True) == "takes no tools"


@pytest.mark.parametrize("provider", ["anthropic", "openai", "gemini", "mistral", "deepseek", "xai"])
def test_the_table_knows_every_reasoning_model_of_the_price_list(provider: str) -> None:
    """No model that the price list calls reasoning is taken for one that does not think."""
    prices = PriceList.read()
    plain = set()
    for model in prices.models(provider):
        listed = prices.find(provider, model)
        if listed is not None and "reasoning" in listed.abilities:
            plain |= {model} if find(provider, model, reasons=True).control is Control.PLAIN else set()
    # The list says so of these too; OpenAI refuses an effort for them, and litellm's own code excepts them.
    assert plain <= {"gpt-5-chat", "gpt-5-chat-latest"}
