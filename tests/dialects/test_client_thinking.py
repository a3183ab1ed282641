"""Thinking parameters in a client's own body."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.client_thinking import foreign_wish, sets_thinking, without_thinking
from gateway.domain.capability_table import find
from gateway.domain.chat import Dialect
from gateway.domain.thinking import Wish

CHAT, RESPONSES, MESSAGES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC_MESSAGES
GOOGLE = {"thinking_config": {"thinking_budget": 5}}


@pytest.mark.parametrize(
    ("dialect", "body", "changes", "removals"),
    [
        (CHAT, {"reasoning_effort": "high", "temperature": 0}, {}, ("reasoning_effort",)),
        (CHAT, {"reasoning": {"effort": "high"}}, {}, ("reasoning",)),
        (CHAT, {"thinking": {"type": "enabled"}, "thinking_budget": 5}, {}, ("thinking", "thinking_budget")),
        (CHAT, {"enable_thinking": False}, {}, ("enable_thinking",)),
        (CHAT, {"thinking_token_budget": 0}, {}, ("thinking_token_budget",)),
        (CHAT, {"chat_template_kwargs": {"enable_thinking": True}}, {}, ("chat_template_kwargs",)),
        (
            CHAT,
            {"chat_template_kwargs": {"enable_thinking": True, "lang": "de"}},
            {"chat_template_kwargs": {"lang": "de"}},
            (),
        ),
        (CHAT, {"extra_body": {"google": GOOGLE}}, {}, ("extra_body",)),
        (
            CHAT,
            {"extra_body": {"google": {**GOOGLE, "cached_content": "c"}}},
            {"extra_body": {"google": {"cached_content": "c"}}},
            (),
        ),
        (RESPONSES, {"reasoning": {"effort": "low", "mode": "pro"}}, {}, ("reasoning",)),
        (RESPONSES, {"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning": {"summary": "auto"}}, ()),
        (MESSAGES, {"thinking": {"type": "adaptive"}, "max_tokens": 5}, {}, ("thinking",)),
        (MESSAGES, {"output_config": {"effort": "low", "format": {}}}, {"output_config": {"format": {}}}, ()),
    ],
)
def test_what_says_how_hard_to_think_is_found_and_taken_out(
    dialect: Dialect, body: dict[str, Any], changes: dict[str, Any], removals: tuple[str, ...]
) -> None:
    """Each dialect's parameters and its servers' extensions are found, and what stands beside them stays."""
    stripped = without_thinking(dialect, body)
    assert (stripped.changes, stripped.removals) == (changes, removals)
    assert sets_thinking(dialect, body)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (CHAT, {"messages": [], "reasoning_effort": None, "verbosity": "low"}),
        (CHAT, {"chat_template_kwargs": {"lang": "de"}, "extra_body": {"google": {"cached_content": "c"}}}),
        (CHAT, {"extra_body": "odd", "chat_template_kwargs": []}),
        (RESPONSES, {"reasoning": {"summary": "auto"}}),
        (RESPONSES, {"thinking": {"type": "enabled"}}),
        (MESSAGES, {"output_config": {"format": {}}, "reasoning_effort": "high"}),
    ],
)
def test_a_body_that_says_nothing_of_it_is_left_alone(dialect: Dialect, body: dict[str, Any]) -> None:
    """Null fields, other members and other dialects' words set no thinking."""
    assert not sets_thinking(dialect, body)
    assert without_thinking(dialect, body).is_empty


@pytest.mark.parametrize(
    ("provider", "model", "body", "wish"),
    [
        ("gemini", "gemini-2.5-flash", {"reasoning_effort": "high"}, Wish("high")),
        ("vllm", "Qwen/Qwen3-8B", {"thinking": {"type": "enabled", "budget_tokens": 500}}, Wish(thinking_tokens=500)),
        ("dashscope", "qwen-plus", {"thinking": {"type": "disabled"}}, Wish(thinking_tokens=0)),
        ("somebody", "plain", {"reasoning_effort": "low"}, Wish("low")),
        ("gemini", "gemini-2.5-flash", {"reasoning_effort": "much"}, None),
        ("gemini", "gemini-2.5-flash", {"thinking": {"type": "enabled", "budget_tokens": -1}}, None),
        ("gemini", "gemini-2.5-flash", {"extra_body": {"google": GOOGLE}, "reasoning_effort": "low"}, None),
        ("vllm", "Qwen/Qwen3-8B", {"thinking_token_budget": 5}, None),
        ("openai", "gpt-5.4", {"reasoning_effort": "high"}, None),
        ("gemini", "gemini-2.5-flash", {"temperature": 0}, None),
    ],
)
def test_openais_words_to_another_provider_are_a_wish(
    provider: str, model: str, body: dict[str, Any], wish: Wish | None
) -> None:
    """One call serves every model; parameters that a provider takes itself pass as they are."""
    assert foreign_wish(find(provider, model), CHAT, body) == wish
    assert foreign_wish(find(provider, model), MESSAGES, body) is None
