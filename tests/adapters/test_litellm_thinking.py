"""A budget set by us arrives at litellm's providers as it was set: what litellm would make of it is not asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.adapters.litellm_thinking import take_native
from gateway.adapters.thinking import actuate
from gateway.domain.capability_table import find
from gateway.domain.chat import Dialect
from gateway.domain.thinking import Wish
from gateway.errors import InvalidRequest
from tests.adapters.litellm_calls import AS_LITELLM_WARNS, ask, calling, chat_body, upstream_at
from tests.adapters.litellm_server import ToldServer, chat, gemini, told_json

pytestmark = AS_LITELLM_WARNS

ARRIVES: list[tuple[str, str, Wish, dict[str, Any]]] = [
    (
        "gemini",
        "gemini-2.5-flash",
        Wish("high"),
        {"thinkingConfig": {"thinkingBudget": 24_576, "includeThoughts": True}},
    ),
    (
        "gemini",
        "gemini-2.5-flash",
        Wish(thinking_tokens=5000),
        {"thinkingConfig": {"thinkingBudget": 5000, "includeThoughts": True}},
    ),
    ("gemini", "gemini-2.5-flash", Wish("none"), {"thinkingConfig": {"thinkingBudget": 0, "includeThoughts": False}}),
    (
        "gemini",
        "gemini-2.5-pro",
        Wish("none"),
        {"thinkingConfig": {"thinkingBudget": 128, "includeThoughts": True}},
    ),
    (
        "gemini",
        "gemini-3-flash-preview",
        Wish("minimal"),
        {"thinkingConfig": {"thinkingLevel": "minimal", "includeThoughts": True}},
    ),
    (
        "gemini",
        "gemini-3.1-pro-preview",
        Wish("max"),
        {"thinkingConfig": {"thinkingLevel": "high", "includeThoughts": True}},
    ),
    ("deepseek", "deepseek-v4-pro", Wish("max"), {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
    ("deepseek", "deepseek-v4-flash", Wish("none"), {"thinking": {"type": "disabled"}}),
    ("dashscope", "qwen-plus", Wish(thinking_tokens=3000), {"enable_thinking": True, "thinking_budget": 3000}),
    ("dashscope", "qwen-plus", Wish("none"), {"enable_thinking": False}),
    (
        "hosted_vllm",
        "qwen3-8b",
        Wish(thinking_tokens=700),
        {"thinking_token_budget": 700, "chat_template_kwargs": {"enable_thinking": True}},
    ),
    ("openrouter", "anthropic/claude-sonnet-5", Wish("max"), {"reasoning": {"effort": "xhigh"}}),
    ("openrouter", "anthropic/claude-sonnet-4.5", Wish(thinking_tokens=2000), {"reasoning": {"max_tokens": 2000}}),
    ("mistral", "mistral-medium-latest", Wish("high"), {"reasoning_effort": "high"}),
    ("mistral", "mistral-medium-latest", Wish("none"), {"reasoning_effort": "none"}),
    ("xai", "grok-4.3", Wish("none"), {"reasoning_effort": "none"}),
    ("xai", "grok-4.5", Wish("medium"), {"reasoning_effort": "medium"}),
]


@pytest.fixture(scope="module")
def provider() -> Iterator[ToldServer]:
    """The server that every test tells what to answer."""
    with ToldServer() as server:
        yield server


@pytest.mark.parametrize(("name", "model", "wish", "expected"), ARRIVES)
async def test_what_the_actuator_sets_arrives(
    provider: ToldServer, name: str, model: str, wish: Wish, expected: dict[str, Any]
) -> None:
    """The provider's request has exactly the thinking parameters that the actuator chose."""
    body = chat_body(model, max_tokens=40_000)
    actuation = actuate(find(name, model), Dialect.OPENAI_CHAT, body, wish, max_output_tokens=64_000)
    is_gemini = name == "gemini"
    provider.tell(told_json(gemini({"text": "Paris"}) if is_gemini else chat(content="Paris")))
    await ask(upstream_at(provider.address, name), calling({**body, **actuation.changes}))
    sent = provider.last.json["generationConfig"] if is_gemini else provider.last.json
    told = {
        key: value
        for key, value in sent.items()
        if "think" in key.lower() or "reason" in key or key == "chat_template_kwargs"
    }
    assert told == expected


def test_a_clients_openai_effort_means_the_same_at_deepseek() -> None:
    """``reasoning_effort: none`` switches DeepSeek's thinking off; another effort switches it on and is kept."""
    assert take_native({"reasoning_effort": "none"}, "deepseek") == ({"thinking": {"type": "disabled"}}, {})
    native, _ = take_native({"reasoning_effort": "low", "model": "m"}, "deepseek")
    assert native == {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gemini", {"extra_body": {"api_base": "http://elsewhere"}}),
        ("gemini", {"extra_body": {"google": {"thinking_config": {"thinking_budget": "all"}}}}),
        ("gemini", {"extra_body": {"google": {"thinking_config": {"x": 1}}}}),
        ("gemini", {"extra_body": {"google": {"thinking_config": {}}}}),
        ("deepseek", {"thinking": {"type": "adaptive"}}),
        ("deepseek", {"reasoning_effort": 3}),
        ("dashscope", {"thinking_budget": True}),
        ("hosted_vllm", {"chat_template_kwargs": {"path": "/etc/passwd"}}),
        ("openrouter", {"reasoning": {"effort": "high", "secret": "x"}}),
    ],
)
def test_nothing_else_gets_past_litellm(name: str, body: dict[str, Any]) -> None:
    """Members and values that are not a provider's own thinking parameters are refused."""
    with pytest.raises(InvalidRequest):
        take_native(body, name)


def test_a_provider_without_parameters_of_its_own_leaves_the_body_alone() -> None:
    """Fields stay where they are for litellm to judge."""
    body = {"model": "m", "thinking_budget": 5, "extra_body": {}}
    assert take_native(body, "groq") == ({}, body)
